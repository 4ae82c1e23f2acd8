use envelope::{Choice, RelayId, Timestamp};
use serde::Serialize;

use crate::text;

/// Who decided what is tracked in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChoiceOrigin {
    /// The message's own header field.
    Header,
    /// The same, for this message only.
    HeaderOnce,
    /// A suffix of the login.
    LoginSuffix,
    /// The sender's saved choice.
    Saved,
    /// The `[[sender]]` of the configuration file.
    Configured,
    /// The defaults of the configuration file.
    Defaults,
    /// The operator, who took the choice away.
    Locked,
    /// The operator's list of recipients never tracked.
    NeverTrack,
    /// The operator's rules of what may be kept about whom.
    Privacy,
    /// A recipient, who refused.
    Recipient,
    /// Tracking is switched off.
    Disabled,
}

/// A sender's standing choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SavedChoice {
    /// What to track.
    #[serde(serialize_with = "text::choice")]
    pub choice: Choice,
    /// The message that said so; `None`: a person, at the console or the command line.
    #[serde(serialize_with = "text::optional")]
    pub by: Option<RelayId>,
    /// When.
    #[serde(serialize_with = "text::display")]
    pub at: Timestamp,
}

impl ChoiceOrigin {
    const ALL: [Self; 11] = [
        Self::Header,
        Self::HeaderOnce,
        Self::LoginSuffix,
        Self::Saved,
        Self::Configured,
        Self::Defaults,
        Self::Locked,
        Self::NeverTrack,
        Self::Privacy,
        Self::Recipient,
        Self::Disabled,
    ];

    /// The stable code: lower case, words joined by underscores.
    pub fn code(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::HeaderOnce => "header_once",
            Self::LoginSuffix => "login_suffix",
            Self::Saved => "saved",
            Self::Configured => "configured",
            Self::Defaults => "defaults",
            Self::Locked => "locked",
            Self::NeverTrack => "never_track",
            Self::Privacy => "privacy",
            Self::Recipient => "recipient",
            Self::Disabled => "disabled",
        }
    }

    /// The origin with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.code() == code)
    }
}

impl Serialize for ChoiceOrigin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_to_what_they_name() {
        for origin in ChoiceOrigin::ALL {
            assert_eq!(ChoiceOrigin::from_code(origin.code()), Some(origin));
        }
        assert_eq!(ChoiceOrigin::from_code("Header"), None);
    }
}
