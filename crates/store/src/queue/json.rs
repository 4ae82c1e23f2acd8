//! How a queued message looks in JSON. `envelope` knows nothing of serde.

use envelope::{ForwardPath, MailParameters, RcptParameters, ReversePath};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::queue::words::{self, EACH, SHARED};
use crate::{Copies, QueueState, RecipientState, text};

/// `"<ana@example.com>"`, as the store has it too.
pub(crate) fn reverse_path<S: Serializer>(path: &ReversePath, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_path())
}

/// `"bo@example.net"`.
pub(crate) fn forward_path<S: Serializer>(path: &ForwardPath, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(path)
}

pub(crate) fn mail_parameters<S: Serializer>(parameters: &MailParameters, to: S) -> Result<S::Ok, S::Error> {
    let mut fields = to.serialize_struct("MailParameters", 6)?;
    fields.serialize_field("size", &parameters.size)?;
    fields.serialize_field("body", &parameters.body.map(words::body))?;
    fields.serialize_field("smtputf8", &parameters.smtputf8)?;
    fields.serialize_field("ret", &parameters.ret.map(words::ret))?;
    fields.serialize_field("envid", &parameters.envid)?;
    fields.serialize_field("require_tls", &parameters.require_tls)?;
    fields.end()
}

pub(crate) fn rcpt_parameters<S: Serializer>(parameters: &RcptParameters, to: S) -> Result<S::Ok, S::Error> {
    let mut fields = to.serialize_struct("RcptParameters", 2)?;
    fields.serialize_field("notify", &parameters.notify.map(words::notify))?;
    fields.serialize_field("orcpt", &parameters.orcpt)?;
    fields.end()
}

/// `{"form":"shared"}`, `{"form":"each","choice":{"opens":true,"links":false}}`.
pub(crate) fn copies<S: Serializer>(copies: &Copies, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Each<'a> {
        form: &'static str,
        #[serde(serialize_with = "text::choice")]
        choice: &'a envelope::Choice,
    }
    match copies {
        Copies::Shared => {
            let mut fields = to.serialize_struct("Copies", 1)?;
            fields.serialize_field("form", SHARED)?;
            fields.end()
        }
        Copies::Each { choice } => Each { form: EACH, choice }.serialize(to),
    }
}

/// `{"code":"set_aside","why":"its content was changed"}`.
pub(crate) fn state<S: Serializer>(state: &QueueState, to: S) -> Result<S::Ok, S::Error> {
    let mut fields = to.serialize_struct("QueueState", 2)?;
    fields.serialize_field("code", state.code())?;
    let why = match state {
        QueueState::SetAside(why) => Some(why),
        QueueState::Waiting | QueueState::Held => None,
    };
    fields.serialize_field("why", &why)?;
    fields.end()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
pub(crate) fn recipient_state<S: Serializer>(state: &RecipientState, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(state.code())
}

#[cfg(test)]
mod tests {
    use envelope::{Choice, Notify};

    use super::*;
    use crate::samples::{moment, queued};

    #[test]
    fn a_queued_message_looks_so() {
        let mut message = queued(1, "ana@example.com", moment(7)).message;
        message.copies = Copies::Each { choice: Choice { opens: true, links: false } };
        message.state = QueueState::SetAside("why".to_owned());
        message.recipients[0].parameters.notify = Some(Notify::Never);
        let json = serde_json::to_string_pretty(&message).unwrap();
        assert_eq!(
            json,
            r#"{
  "id": "01a20ca4-ddc9-7000-8000-000000000001",
  "queued_at": "2026-11-24T08:21:01.001Z",
  "sender": "ana@example.com",
  "upstream": "main",
  "reverse_path": "<ana@example.com>",
  "parameters": {
    "size": null,
    "body": null,
    "smtputf8": false,
    "ret": null,
    "envid": null,
    "require_tls": false
  },
  "copies": {
    "form": "each",
    "choice": {
      "opens": true,
      "links": false
    }
  },
  "octets": 23,
  "state": {
    "code": "set_aside",
    "why": "why"
  },
  "delay_told": false,
  "recipients": [
    {
      "index": 0,
      "forward_path": "bo@example.net",
      "parameters": {
        "notify": "NEVER",
        "orcpt": null
      },
      "state": "waiting",
      "attempts": 0,
      "due_at": "2026-11-24T08:21:01.007Z",
      "code": 0,
      "reply": ""
    }
  ]
}"#
        );
    }
}
