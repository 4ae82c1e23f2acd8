use std::fmt;

/// A reply code (RFC 5321 §4.2.1): three digits from 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyCode(u16);

/// Whether trying the same again can help (RFC 5321 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// 4yz: the same command may succeed later.
    Transient,
    /// 5yz: it will not.
    Permanent,
}

impl ReplyCode {
    /// `None` outside 200 to 599.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code <= 599 { Some(Self(code)) } else { None }
    }

    /// The three digits as a number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// 2yz: done.
    pub const fn is_positive(self) -> bool {
        self.0 / 100 == 2
    }

    /// 3yz: go on with the rest of the command.
    pub const fn is_intermediate(self) -> bool {
        self.0 / 100 == 3
    }

    /// `None` for 2yz and 3yz.
    pub const fn severity(self) -> Option<Severity> {
        match self.0 / 100 {
            4 => Some(Severity::Transient),
            5 => Some(Severity::Permanent),
            _ => None,
        }
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
