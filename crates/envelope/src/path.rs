use std::fmt;

use crate::Mailbox;

/// Who gets the notification when delivery fails: the argument of MAIL FROM (RFC 5321 §4.1.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: a sender, not a missing one (RFC 5321 §4.5.5).
    Null,
    /// `<local-part@domain>`.
    Mailbox(Mailbox),
}

/// One recipient: the argument of RCPT TO (RFC 5321 §4.1.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, in any case of letters.
    Postmaster,
    /// `<local-part@domain>`.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The path as it stands after `MAIL FROM:`, in angle brackets.
    pub fn to_path(&self) -> String {
        format!("<{self}>")
    }

    /// The mailbox, unless the path is null.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl ForwardPath {
    /// The path as it stands after `RCPT TO:`, in angle brackets.
    pub fn to_path(&self) -> String {
        format!("<{self}>")
    }

    /// The mailbox, unless it is the bare postmaster.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Postmaster => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("postmaster"),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}
