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
}

/// Everything a transaction knows beside the content (RFC 5321 §2.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who hears of failures.
    pub reverse_path: ReversePath,
    /// What MAIL said besides.
    pub parameters: MailParameters,
    /// Whom the message is for, in the order of the RCPT commands.
    pub forward_paths: Vec<ForwardPath>,
}
