use crate::{ForwardPath, ReversePath};

/// What the client said of the content's octets: the BODY parameter (RFC 6152 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// `BODY=7BIT`.
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
}

/// The ESMTP parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// The declared size in octets (RFC 1870 §5).
    pub size: Option<u64>,
    /// The declared body type; `None` means 7BIT was not even said.
    pub body: Option<Body>,
    /// Addresses or header fields may hold UTF-8 (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// How much of the message a notification of failure returns (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// The sender's own name for this transaction, as xtext (RFC 3461 §4.4).
    pub envid: Option<String>,
    /// Only over TLS, or not at all (RFC 8689 §2).
    pub require_tls: bool,
}

/// How much of the message a notification of failure returns: the RET parameter (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ret {
    /// `RET=FULL`.
    Full,
    /// `RET=HDRS`.
    Headers,
}

/// The ESMTP parameters of RCPT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RcptParameters {
    /// Of what the sender wants to hear; `None`: what the server thinks fit (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// The recipient as the sender named him at first: `rfc822;` and xtext (RFC 3461 §4.2).
    pub orcpt: Option<String>,
}

/// Of what the sender wants to hear: the NOTIFY parameter (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notify {
    /// `NOTIFY=NEVER`.
    Never,
    /// `NOTIFY=` and some of `SUCCESS`, `FAILURE`, `DELAY`.
    On {
        /// Delivery.
        success: bool,
        /// Failure.
        failure: bool,
        /// Delay.
        delay: bool,
    },
}

impl Notify {
    /// Does the sender want to hear of failures? So it is when he said nothing (RFC 3461 §4.1).
    pub fn wants_failure(notify: Option<Self>) -> bool {
        notify.is_none_or(|notify| matches!(notify, Self::On { failure: true, .. }))
    }

    /// Does the sender want to hear of delays? A server may tell when he said nothing.
    pub fn wants_delay(notify: Option<Self>) -> bool {
        notify.is_none_or(|notify| matches!(notify, Self::On { delay: true, .. }))
    }
}

/// One recipient of a transaction, as RCPT gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeRecipient {
    /// Whom it is for.
    pub forward_path: ForwardPath,
    /// What RCPT said besides.
    pub parameters: RcptParameters,
}

/// Everything a transaction knows beside the content (RFC 5321 §2.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who hears of failures.
    pub reverse_path: ReversePath,
    /// What MAIL said besides.
    pub parameters: MailParameters,
    /// Whom the message is for, in the order of the RCPT commands.
    pub recipients: Vec<EnvelopeRecipient>,
}

impl Envelope {
    /// The paths of the recipients, in the order of the RCPT commands.
    pub fn forward_paths(&self) -> impl Iterator<Item = &ForwardPath> {
        self.recipients.iter().map(|recipient| &recipient.forward_path)
    }
}
