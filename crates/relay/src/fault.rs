use envelope::Severity;
use upstream::HandoffError;

/// What a failed handoff is about, and so what may be done with the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This message: it is refused here, and would be again.
    Message,
    /// The provider is away, for every message. Nothing was delivered.
    Provider,
    /// The same until somebody mends it: a login, a certificate, a greeting that turns us away. It is no fault
    /// of the message, which is better kept than refused.
    Operator,
    /// The whole message was sent and nobody answered: it may have been delivered.
    Unknown,
}

impl Fault {
    pub(crate) fn of(error: &HandoffError) -> Self {
        match error {
            HandoffError::OutcomeUnknown { .. } => Self::Unknown,
            HandoffError::Refused { reply, .. } | HandoffError::LoginRefused { reply, .. } => {
                if reply.severity() == Some(Severity::Permanent) { Self::Operator } else { Self::Provider }
            }
            HandoffError::Certificate { .. }
            | HandoffError::StartTlsNotOffered { .. }
            | HandoffError::StartTlsInjected { .. }
            | HandoffError::NoToken { .. }
            | HandoffError::LoginNotOffered { .. }
            | HandoffError::LoginUnencrypted { .. }
            | HandoffError::LoginUnsendable { .. } => Self::Operator,
            // What is said of this message's size, octets or addresses, and is so for good.
            other if other.severity() == Severity::Permanent => Self::Message,
            _ => Self::Provider,
        }
    }
}

#[cfg(test)]
mod tests {
    use envelope::Reply;
    use upstream::Step;

    use super::*;

    #[test]
    fn what_a_failure_is_about() {
        let host = || "h.example".to_owned();
        let refused = |code| HandoffError::Refused {
            host: host(),
            step: Step::Greeting,
            reply: Reply::of(code, "", "no"),
        };
        let login = |code| HandoffError::LoginRefused { host: host(), reply: Reply::of(code, "", "no") };
        let lost = || HandoffError::Lost { host: host(), step: Step::Content, source: None };
        let shut_down =
            HandoffError::ShutDown { host: host(), step: Step::Rcpt, reply: Reply::of(421, "", "bye") };
        let unknown = HandoffError::OutcomeUnknown { host: host(), source: Box::new(lost()) };
        for (error, fault) in [
            (refused(554), Fault::Operator),
            (refused(450), Fault::Provider),
            (login(535), Fault::Operator),
            (login(454), Fault::Provider),
            (lost(), Fault::Provider),
            (shut_down, Fault::Provider),
            (unknown, Fault::Unknown),
            (HandoffError::StartTlsNotOffered { host: host() }, Fault::Operator),
            (HandoffError::LoginUnsendable { host: host() }, Fault::Operator),
            (HandoffError::BareLineEnd { host: host() }, Fault::Message),
            (HandoffError::EightBitNotOffered { host: host() }, Fault::Message),
            (HandoffError::TooLarge { host: host(), octets: 2, limit: 1 }, Fault::Message),
        ] {
            assert_eq!(Fault::of(&error), fault, "{error}");
        }
    }
}
