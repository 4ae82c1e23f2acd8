use envelope::{AddressError, Reply};

/// Why a line is not a command we know. `Display` is what the client reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    #[error("Command not recognised")]
    Unrecognised,
    #[error("{0} is not offered here")]
    NotOffered(&'static str),
    #[error("Control characters and octets outside UTF-8 are not part of any command")]
    Octets,
    #[error("Lines must end in CR LF; a CR or LF of its own is not allowed")]
    BareLineEnd,
    #[error("Line too long, the limit is {0} octets")]
    LineTooLong(usize),
    #[error("{0}")]
    Argument(&'static str),
    #[error("This authentication mechanism is not offered, PLAIN and LOGIN are")]
    Mechanism,
    #[error(
        "BDAT needs the number of octets that follow, and perhaps LAST; closing, for what follows is no command"
    )]
    Chunk,
    #[error("The path after MAIL FROM: must stand in angle brackets")]
    NoReversePath,
    #[error("The path after RCPT TO: must stand in angle brackets and not be empty")]
    NoForwardPath,
    #[error("The sender's address is wrong: {0}")]
    ReversePath(AddressError),
    #[error("The recipient's address is wrong: {0}")]
    ForwardPath(AddressError),
    #[error("A parameter of this command is not known here")]
    UnknownParameter,
    #[error("A parameter of this command has a wrong value or comes twice")]
    Parameter,
}

impl SyntaxError {
    /// False for what nothing that speaks SMTP sends as its first line.
    pub(crate) fn may_be_a_mail_client(&self) -> bool {
        !matches!(self, Self::Octets | Self::LineTooLong(_))
    }

    /// RFC 5321 §4.2.4 and §4.3.2, with the enhanced codes of RFC 3463 and RFC 4954 §6.
    pub(crate) fn reply(&self) -> Reply {
        let (code, enhanced) = match self {
            Self::Unrecognised => (500, "5.5.1"),
            Self::Octets | Self::BareLineEnd => (500, "5.5.2"),
            Self::LineTooLong(_) => (500, "5.5.6"),
            Self::NotOffered(_) => (502, "5.5.1"),
            Self::Argument(_) | Self::Parameter | Self::Chunk => (501, "5.5.4"),
            Self::Mechanism => (504, "5.5.4"),
            Self::NoReversePath | Self::ReversePath(_) => (501, "5.1.7"),
            Self::NoForwardPath | Self::ForwardPath(_) => (501, "5.1.3"),
            Self::UnknownParameter => (555, "5.5.4"),
        };
        Reply::of(code, enhanced, self.to_string())
    }
}
