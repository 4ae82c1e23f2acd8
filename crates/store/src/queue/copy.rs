//! What a content knows of its own message.
//!
//! Written with it, in the same row or file, and never read while the message has its row: when that is lost, the
//! content still says from whom it is and for whom it was.

use std::borrow::Cow;
use std::fmt::Write as _;

use envelope::{Choice, MailParameters, RcptParameters, RelayId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::queue::words::{self, EACH, SHARED, body_of, forward_path_of, notify_of, ret_of, reverse_path_of};
use crate::{Copies, QueueState, QueuedMessage, QueuedRecipient, RecipientState};

/// A message as it was when it was put, and what its content must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    /// Set aside, for what has become of its recipients since is not known; all of them wait.
    pub message: QueuedMessage,
    pub checksum: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "as many as a message has")]
struct Line<'a> {
    id: Cow<'a, str>,
    at: i64,
    sender: Cow<'a, str>,
    upstream: Cow<'a, str>,
    from: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_not")]
    smtputf8: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ret: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    envid: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_not")]
    require_tls: bool,
    copies: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_not")]
    opens: bool,
    #[serde(default, skip_serializing_if = "is_not")]
    links: bool,
    octets: u64,
    sha256: Cow<'a, str>,
    to: Vec<To<'a>>,
}

#[derive(Serialize, Deserialize)]
struct To<'a> {
    n: u16,
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orcpt: Option<Cow<'a, str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_not(flag: &bool) -> bool {
    !flag
}

/// The line before a content that is a file: a header field, so that the file stays a message for whoever opens it.
const FIELD: &[u8] = b"X-Waxseal-Envelope: ";
/// Of a hundred thousand recipients with the longest addresses, and more.
const LONGEST: usize = 64 << 20;

/// One line without its end: sixteen digits of its own checksum, a blank, JSON.
pub(crate) fn line(message: &QueuedMessage, octets: u64, checksum: &[u8; 32]) -> String {
    let (copies, choice) = match message.copies {
        Copies::Shared => (SHARED, Choice::NONE),
        Copies::Each { choice } => (EACH, choice),
    };
    let parameters = &message.parameters;
    let to = message.recipients.iter().map(|recipient| To {
        n: recipient.index,
        path: recipient.forward_path.to_string().into(),
        notify: recipient.parameters.notify.map(|notify| words::notify(notify).into()),
        orcpt: recipient.parameters.orcpt.as_deref().map(Cow::Borrowed),
    });
    let line = Line {
        id: message.id.to_string().into(),
        at: message.queued_at.unix_millis(),
        sender: Cow::Borrowed(&message.sender),
        upstream: Cow::Borrowed(&message.upstream),
        from: message.reverse_path.to_string().into(),
        size: parameters.size,
        body: parameters.body.map(|body| words::body(body).into()),
        smtputf8: parameters.smtputf8,
        ret: parameters.ret.map(|ret| words::ret(ret).into()),
        envid: parameters.envid.as_deref().map(Cow::Borrowed),
        require_tls: parameters.require_tls,
        copies: copies.into(),
        opens: choice.opens,
        links: choice.links,
        octets,
        sha256: hex(checksum).into(),
        to: to.collect(),
    };
    // Strings and numbers: there is nothing in it that JSON could not say.
    let json = serde_json::to_string(&line).unwrap_or_default();
    format!("{} {json}", own_checksum(&json))
}

/// `None`: it is not what was written.
pub(crate) fn of_line(line: &str) -> Option<Copy> {
    let (sum, json) = line.split_once(' ')?;
    if sum != own_checksum(json) {
        return None;
    }
    let line: Line = serde_json::from_str(json).ok()?;
    let queued_at = Timestamp::from_unix_millis(line.at);
    let recipient = |to: &To| {
        Some(QueuedRecipient {
            index: to.n,
            forward_path: forward_path_of(&to.path)?,
            parameters: RcptParameters {
                notify: known(to.notify.as_deref(), notify_of).ok()?,
                orcpt: to.orcpt.as_deref().map(str::to_owned),
            },
            state: RecipientState::Waiting,
            attempts: 0,
            due_at: queued_at,
            code: 0,
            reply: String::new(),
        })
    };
    let message = QueuedMessage {
        id: line.id.parse::<RelayId>().ok()?,
        queued_at,
        sender: line.sender.into_owned(),
        upstream: line.upstream.into_owned(),
        reverse_path: reverse_path_of(&line.from)?,
        parameters: MailParameters {
            size: line.size,
            body: known(line.body.as_deref(), body_of).ok()?,
            smtputf8: line.smtputf8,
            ret: known(line.ret.as_deref(), ret_of).ok()?,
            envid: line.envid.map(Cow::into_owned),
            require_tls: line.require_tls,
        },
        copies: match &*line.copies {
            SHARED => Copies::Shared,
            EACH => Copies::Each { choice: Choice { opens: line.opens, links: line.links } },
            _ => return None,
        },
        octets: line.octets,
        state: QueueState::SetAside(String::new()),
        delay_told: false,
        recipients: line.to.iter().map(recipient).collect::<Option<_>>()?,
    };
    Some(Copy { message, checksum: octets_of(&line.sha256)? })
}

/// What stands before the content in its file.
pub(crate) fn head(line: &str) -> Vec<u8> {
    [FIELD, line.as_bytes(), b"\r\n"].concat()
}

/// How long the head of a file is, and its line; `None`: it has none, or what is there of it does not end.
pub(crate) fn head_of(octets: &[u8]) -> Option<(usize, &[u8])> {
    let rest = octets.strip_prefix(FIELD)?;
    let end = rest.iter().take(LONGEST).position(|octet| *octet == b'\n')?;
    Some((FIELD.len() + end + 1, rest[..end].strip_suffix(b"\r")?))
}

/// What the head says, if it can be read.
pub(crate) fn of_head(octets: &[u8]) -> Option<Copy> {
    let (_, line) = head_of(octets)?;
    of_line(std::str::from_utf8(line).ok()?)
}

struct UnknownWord;

fn known<T>(text: Option<&str>, of: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, UnknownWord> {
    text.map(|text| of(text).ok_or(UnknownWord)).transpose()
}

fn own_checksum(json: &str) -> String {
    hex(&Sha256::digest(json)[..8])
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn octets_of(hex: &str) -> Option<[u8; 32]> {
    let mut octets = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (octet, digits) in octets.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use envelope::{Body, ForwardPath, Notify, Ret, ReversePath};

    use super::*;
    use crate::samples::{moment, queued, queued_recipient};

    fn rich() -> QueuedMessage {
        let mut message = queued(7, "Grüße@example.com", moment(7)).message;
        message.parameters = MailParameters {
            size: Some(12),
            body: Some(Body::EightBitMime),
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some("QQ+2D1 \"\\".to_owned()),
            require_tls: true,
        };
        message.copies = Copies::Each { choice: Choice { opens: true, links: false } };
        message.recipients = vec![
            queued_recipient(3, "\"odd \\\" one\"@example.net", message.queued_at),
            queued_recipient(9, "bö@exämple.net", message.queued_at),
        ];
        message.recipients[0].parameters = RcptParameters {
            notify: Some(Notify::On { success: true, failure: false, delay: true }),
            orcpt: Some("rfc822;bo+2B@example.net".to_owned()),
        };
        message.recipients[1].forward_path = ForwardPath::Postmaster;
        message
    }

    #[test]
    fn reads_back_as_it_was_written() {
        let mut bounce = queued(8, "ana@example.com", moment(8)).message;
        bounce.reverse_path = ReversePath::Null;
        for mut message in [rich(), bounce] {
            let text = line(&message, message.octets, &[0xa5; 32]);
            assert!(!text.contains(['\r', '\n']), "{text}");
            let copy = of_line(&text).unwrap();
            message.state = QueueState::SetAside(String::new());
            assert_eq!(copy, Copy { message, checksum: [0xa5; 32] });
            let file = [head(&text), b"X-Waxseal-Envelope: theirs\r\n\r\nbody\r\n".to_vec()].concat();
            assert_eq!(of_head(&file), Some(copy));
            let (length, _) = head_of(&file).unwrap();
            assert_eq!(&file[length..], b"X-Waxseal-Envelope: theirs\r\n\r\nbody\r\n");
        }
    }

    #[test]
    fn one_changed_octet_is_noticed_wherever_it_is() {
        let text = line(&rich(), 12, &[1; 32]);
        for at in 0..text.len() {
            let mut octets = text.clone().into_bytes();
            octets[at] ^= 1;
            assert_eq!(std::str::from_utf8(&octets).ok().and_then(of_line), None, "{at}");
        }
        for cut in 0..text.len() {
            assert_eq!(text.get(..cut).and_then(of_line), None, "{cut}");
        }
        for odd in [
            &b""[..],
            b"X-Waxseal-Envelope: ",
            b"X-Waxseal-Envelope: \n",
            b"X-Waxseal-Envelope: \r\n",
            b"Subject: x\r\n",
        ] {
            assert_eq!(of_head(odd), None);
        }
    }
}
