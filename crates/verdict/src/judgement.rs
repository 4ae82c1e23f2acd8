use std::fmt;

use serde::{Deserialize, Serialize};

/// Who is behind an open or a click.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A person, on a device of their own.
    Human,
    /// A person behind their provider's image proxy: place and device are the proxy's.
    Proxied,
    /// Loaded ahead of any reading, by Apple or Gmail or a browser; may be unread.
    Prefetch,
    /// Security software, a crawler, a library, an agent.
    Scanner,
    /// A chat program drew a preview of the link: it was shared.
    Preview,
    /// The sender.
    #[serde(rename = "self")]
    Oneself,
    /// Not enough to say. Shown apart, never counted.
    Unknown,
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// One piece of evidence settles it.
    Certain,
    /// The evidence points one way.
    Probable,
    /// Better than a guess.
    Weak,
}

/// What an event may claim on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trust {
    /// When it happened is when the person acted.
    pub time: bool,
    /// The address is where the person is.
    pub place: bool,
    /// The agent is the person's own program.
    pub device: bool,
}

/// A verdict with everything needed to explain it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Who it was.
    pub verdict: Verdict,
    /// How sure that is.
    pub confidence: Confidence,
    /// Stable codes, the deciding one first; [`crate::sentence`] has one sentence for each.
    pub reasons: Vec<String>,
    /// What may be shown of it.
    pub trust: Trust,
    /// The version of the rules that judged.
    pub rules: String,
}

impl Verdict {
    /// Every verdict, in the order people are told of them.
    pub const ALL: [Self; 7] = [
        Self::Human,
        Self::Proxied,
        Self::Prefetch,
        Self::Scanner,
        Self::Preview,
        Self::Oneself,
        Self::Unknown,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Proxied => "proxied",
            Self::Prefetch => "prefetch",
            Self::Scanner => "scanner",
            Self::Preview => "preview",
            Self::Oneself => "self",
            Self::Unknown => "unknown",
        }
    }

    /// The verdict with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.code() == code)
    }

    /// The words on the screen; three kinds of machine are one to a reader.
    pub fn on_screen(self) -> &'static str {
        match self {
            Self::Human => "person",
            Self::Proxied => "person, place hidden",
            Self::Prefetch | Self::Scanner | Self::Preview => "machine",
            Self::Oneself => "you",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it counts as somebody having read or clicked.
    pub fn counts_as_person(self) -> bool {
        matches!(self, Self::Human | Self::Proxied)
    }
}

impl Confidence {
    /// Every confidence, the surest first.
    pub const ALL: [Self; 3] = [Self::Certain, Self::Probable, Self::Weak];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Probable => "probable",
            Self::Weak => "weak",
        }
    }

    /// The word on the screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Certain => "certainly",
            Self::Probable => "probably",
            Self::Weak => "perhaps",
        }
    }

    /// The confidence with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|confidence| confidence.code() == code)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_to_what_they_name() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_code(verdict.code()), Some(verdict));
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.code());
        }
        for confidence in Confidence::ALL {
            assert_eq!(Confidence::from_code(confidence.code()), Some(confidence));
            assert_eq!(serde_json::to_value(confidence).unwrap(), confidence.code());
        }
        assert_eq!(Verdict::from_code("Human"), None);
        assert_eq!(Confidence::from_code(""), None);
    }

    #[test]
    fn only_people_count() {
        let counted: Vec<_> = Verdict::ALL.into_iter().filter(|verdict| verdict.counts_as_person()).collect();
        assert_eq!(counted, [Verdict::Human, Verdict::Proxied]);
    }
}
