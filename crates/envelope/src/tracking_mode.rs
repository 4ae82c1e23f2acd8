use std::fmt;

use crate::AddressPattern;

/// How much may be kept of what a recipient does. The stricter is the smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackingMode {
    /// Nothing: pixels are answered, links redirect, and that is all.
    Off,
    /// The date, not the time, of the last open by a person; the one before is overwritten.
    Hygiene,
    /// What happened and when; not to whom of several, from where or on what.
    Pseudonymous,
    /// As `[privacy]` says.
    #[default]
    Full,
}

/// Which mode is whose, as the operator decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackingModes {
    /// For everybody.
    pub general: TrackingMode,
    /// Exceptions; they can only be stricter than the general one, because the strictest that fits wins.
    pub rules: Vec<ModeRule>,
}

/// A mode for mail of some people to some people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeRule {
    /// Whose mail.
    pub senders: Vec<AddressPattern>,
    /// To whom.
    pub recipients: Vec<AddressPattern>,
    /// What may be kept.
    pub mode: TrackingMode,
}

impl TrackingMode {
    const ALL: [Self; 4] = [Self::Off, Self::Hygiene, Self::Pseudonymous, Self::Full];

    /// The word of the configuration file.
    pub fn code(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Hygiene => "hygiene",
            Self::Pseudonymous => "pseudonymous",
            Self::Full => "full",
        }
    }

    /// The mode of this word, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.code() == code)
    }
}

impl fmt::Display for TrackingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl TrackingModes {
    /// The mode for what goes from `sender` to `recipients`: the strictest of all that fit any of them.
    pub fn of<'a>(&self, sender: &str, recipients: impl IntoIterator<Item = &'a str>) -> TrackingMode {
        let of_sender: Vec<&ModeRule> = self.rules.iter().filter(|rule| any(&rule.senders, sender)).collect();
        let mut strictest = self.general;
        for recipient in recipients {
            let fitting = of_sender.iter().filter(|rule| any(&rule.recipients, recipient));
            strictest = fitting.map(|rule| rule.mode).fold(strictest, TrackingMode::min);
        }
        strictest
    }

    /// Is the mode the same for everybody?
    pub fn is_one_for_all(&self) -> bool {
        self.rules.iter().all(|rule| rule.mode >= self.general)
    }

    /// The strictest that anybody may have: for when one does not know who it is.
    pub fn strictest(&self) -> TrackingMode {
        self.rules.iter().map(|rule| rule.mode).fold(self.general, TrackingMode::min)
    }
}

fn any(patterns: &[AddressPattern], address: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(address))
}

#[cfg(test)]
mod tests {
    use super::TrackingMode::{Full, Hygiene, Off, Pseudonymous};
    use super::*;

    fn rule(senders: &str, recipients: &str, mode: TrackingMode) -> ModeRule {
        let patterns = |text| vec![AddressPattern::parse(text).unwrap()];
        ModeRule { senders: patterns(senders), recipients: patterns(recipients), mode }
    }

    #[test]
    fn words_lead_back_to_what_they_name_and_stricter_is_smaller() {
        for pair in TrackingMode::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for mode in TrackingMode::ALL {
            assert_eq!(TrackingMode::from_code(&mode.to_string()), Some(mode));
        }
        assert_eq!(TrackingMode::from_code("Off"), None);
    }

    #[test]
    fn the_strictest_that_fits_wins() {
        let modes = TrackingModes {
            general: Pseudonymous,
            rules: vec![
                rule("ana@example.com", "*", Full),
                rule("*", "*@bund.example", Hygiene),
                rule("*@example.com", "legal@bund.example", Off),
            ],
        };
        for (case, sender, recipients, expected) in [
            ("no rule", "bo@example.com", &["a@x.example"][..], Pseudonymous),
            ("a rule cannot loosen", "ana@example.com", &["a@x.example"], Pseudonymous),
            ("domain of the recipient", "ana@example.com", &["A@BUND.example"], Hygiene),
            ("sender and recipient", "ana@example.com", &["legal@bund.example"], Off),
            ("another sender", "ana@example.org", &["legal@bund.example"], Hygiene),
            ("one of several", "bo@example.com", &["a@x.example", "b@bund.example"], Hygiene),
            ("nobody", "bo@example.com", &[], Pseudonymous),
        ] {
            assert_eq!(modes.of(sender, recipients.iter().copied()), expected, "{case}");
        }
        assert!(!modes.is_one_for_all());
        assert_eq!(modes.strictest(), Off);
        assert!(
            TrackingModes { rules: vec![rule("*", "*@x.example", Full)], ..modes.clone() }.is_one_for_all()
        );
    }
}
