use serde::{Deserialize, Serialize};

/// What the recipient's side asked for: the pixel or a tracked link.
///
/// The two are judged by different rules: Microsoft's network on a click is a scanner, on an open it may
/// be a reader's image proxy (VERDICTS.md section 0, point 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The pixel was fetched.
    Open,
    /// A tracked link was followed.
    Click,
}

impl Kind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Click => "click",
        }
    }

    /// The kind with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Open, Self::Click].into_iter().find(|kind| kind.code() == code)
    }
}
