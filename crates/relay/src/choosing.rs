use envelope::{Choice, Reason, TrackingMode};
use store::ChoiceOrigin;

use crate::asked::{Asked, Wish};
use crate::settings::Settings;

/// What will be tracked, who said so, and what is to be kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// For this message.
    pub choice: Choice,
    /// Who said so.
    pub origin: ChoiceOrigin,
    /// This becomes the sender's saved default once the provider has taken the message.
    pub keep: bool,
    /// Why nothing is tracked, or what was not understood.
    pub reasons: Vec<Reason>,
}

impl Chosen {
    /// Nothing tracked, for a reason that the caller knows.
    pub(crate) fn nothing() -> Self {
        Self { choice: Choice::NONE, origin: ChoiceOrigin::Defaults, keep: false, reasons: vec![] }
    }
}

/// Everything that has a say, beside the operator's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voices {
    /// The message's own header fields.
    pub(crate) asked: Asked,
    /// The suffix of the login.
    pub(crate) suffix: Option<Wish>,
    /// What the sender's last choice left.
    pub(crate) saved: Option<Choice>,
    /// The `[[sender]]` of the configuration file.
    pub(crate) configured: Option<Choice>,
    /// A recipient is on the never-track list.
    pub(crate) never_track: bool,
    /// How much may be kept about sender and recipients.
    pub(crate) mode: TrackingMode,
}

/// The order of precedence (PRODUCT.md F1): `enabled`, `never_track`, privacy `mode`, `locked`, header field, login suffix,
/// saved, `defaults`. A `[[sender]]` of the file stands in the place of what would be saved.
pub(crate) fn choose(settings: &Settings, voices: &Voices) -> Chosen {
    let none = |origin, reason| Chosen { choice: Choice::NONE, origin, keep: false, reasons: vec![reason] };
    if !settings.tracking_enabled {
        return none(ChoiceOrigin::Disabled, Reason::SwitchedOff);
    }
    if voices.never_track {
        return none(ChoiceOrigin::NeverTrack, Reason::NeverTrack);
    }
    if voices.mode == TrackingMode::Off {
        return none(ChoiceOrigin::Privacy, Reason::ModeOff);
    }
    let (standing, standing_origin) = match (voices.configured, voices.saved) {
        (Some(choice), _) => (choice, ChoiceOrigin::Configured),
        (None, Some(choice)) => (choice, ChoiceOrigin::Saved),
        (None, None) => (settings.defaults, ChoiceOrigin::Defaults),
    };
    let (wanted, origin, once) = match (voices.asked, voices.suffix) {
        (Asked::For { wish, once: true }, _) => (wish.over(standing), ChoiceOrigin::HeaderOnce, true),
        (Asked::For { wish, .. }, _) => (wish.over(standing), ChoiceOrigin::Header, false),
        (_, Some(wish)) => (wish.over(standing), ChoiceOrigin::LoginSuffix, false),
        (_, None) => (standing, standing_origin, true),
    };
    let choice = Choice {
        opens: if settings.locked.opens { settings.defaults.opens } else { wanted.opens },
        links: if settings.locked.links { settings.defaults.links } else { wanted.links },
    };
    let mut reasons = Vec::new();
    if voices.asked == Asked::Unclear {
        reasons.push(Reason::UnknownChoice);
    }
    if choice.is_none() {
        let asked_for =
            matches!(origin, ChoiceOrigin::Header | ChoiceOrigin::HeaderOnce | ChoiceOrigin::LoginSuffix);
        reasons.push(if asked_for && wanted.is_none() { Reason::OptedOut } else { Reason::NotChosen });
    }
    Chosen {
        choice,
        origin: if choice == wanted { origin } else { ChoiceOrigin::Locked },
        // The file's own senders stay as the file has them; what is locked is nobody's to change.
        keep: settings.sticky && !once && voices.configured.is_none() && choice == wanted,
        reasons,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENS: Choice = Choice { opens: true, links: false };
    const LINKS: Choice = Choice { opens: false, links: true };
    const NOBODY: Voices = Voices {
        asked: Asked::Nothing,
        suffix: None,
        saved: None,
        configured: None,
        never_track: false,
        mode: TrackingMode::Full,
    };

    fn header(value: &str) -> Voices {
        Voices { asked: Asked::read(value), ..NOBODY }
    }

    fn chosen(settings: &Settings, voices: Voices) -> (Choice, ChoiceOrigin, bool, Vec<&'static str>) {
        let chosen = choose(settings, &voices);
        let reasons = chosen.reasons.iter().map(|reason| reason.code()).collect();
        (chosen.choice, chosen.origin, chosen.keep, reasons)
    }

    #[test]
    fn the_order_of_precedence() {
        use ChoiceOrigin as O;
        let settings = Settings { defaults: OPENS, sticky: true, ..Settings::for_tests() };
        let off = Settings { tracking_enabled: false, ..settings.clone() };
        let locked = Settings { locked: LINKS, ..settings.clone() };
        let loose = Settings { sticky: false, ..settings.clone() };
        let suffix = Voices { suffix: Wish::read("links"), ..NOBODY };
        let saved = Voices { saved: Some(LINKS), ..NOBODY };
        let configured = Voices { configured: Some(LINKS), ..NOBODY };
        for (case, settings, voices, expected) in [
            ("defaults", &settings, NOBODY, (OPENS, O::Defaults, false, vec![])),
            ("saved", &settings, saved, (LINKS, O::Saved, false, vec![])),
            (
                "the file",
                &settings,
                Voices { saved: Some(OPENS), ..configured },
                (LINKS, O::Configured, false, vec![]),
            ),
            (
                "suffix over saved",
                &settings,
                Voices { saved: Some(OPENS), ..suffix },
                (LINKS, O::LoginSuffix, true, vec![]),
            ),
            (
                "header over suffix",
                &settings,
                Voices { asked: Asked::read("none"), ..suffix },
                (Choice::NONE, O::Header, true, vec!["opted_out"]),
            ),
            ("header", &settings, header("opens, links"), (Choice::BOTH, O::Header, true, vec![])),
            ("once", &settings, header("links; once"), (LINKS, O::HeaderOnce, false, vec![])),
            ("not sticky", &loose, header("links"), (LINKS, O::Header, false, vec![])),
            (
                "header over the file",
                &settings,
                Voices { asked: Asked::read("none"), ..configured },
                (Choice::NONE, O::Header, false, vec!["opted_out"]),
            ),
            (
                "unclear",
                &settings,
                Voices { asked: Asked::Unclear, ..saved },
                (LINKS, O::Saved, false, vec!["unknown_choice"]),
            ),
            (
                "unclear, suffix",
                &settings,
                Voices { asked: Asked::Unclear, ..suffix },
                (LINKS, O::LoginSuffix, true, vec!["unknown_choice"]),
            ),
            ("locked", &locked, header("opens, links"), (OPENS, O::Locked, false, vec![])),
            (
                "locked, and asked the same",
                &locked,
                header("none"),
                (Choice::NONE, O::Header, true, vec!["opted_out"]),
            ),
            (
                "never",
                &settings,
                Voices { never_track: true, ..header("opens") },
                (Choice::NONE, O::NeverTrack, false, vec!["never_track"]),
            ),
            (
                "never before the mode",
                &settings,
                Voices { never_track: true, mode: TrackingMode::Off, ..NOBODY },
                (Choice::NONE, O::NeverTrack, false, vec!["never_track"]),
            ),
            (
                "mode off",
                &locked,
                Voices { mode: TrackingMode::Off, ..header("opens") },
                (Choice::NONE, O::Privacy, false, vec!["mode_off"]),
            ),
            (
                "another mode",
                &settings,
                Voices { mode: TrackingMode::Hygiene, ..header("opens, links") },
                (Choice::BOTH, O::Header, true, vec![]),
            ),
            (
                "off",
                &off,
                Voices { never_track: true, ..header("opens") },
                (Choice::NONE, O::Disabled, false, vec!["switched_off"]),
            ),
            (
                "nothing saved",
                &settings,
                Voices { saved: Some(Choice::NONE), ..NOBODY },
                (Choice::NONE, O::Saved, false, vec!["not_chosen"]),
            ),
        ] {
            assert_eq!(chosen(settings, voices), expected, "{case}");
        }
    }

    #[test]
    fn a_field_that_names_one_switch_leaves_the_other() {
        let settings = Settings { sticky: true, ..Settings::for_tests() };
        let opens_only = Asked::For { wish: Wish { opens: Some(true), links: None }, once: false };
        let voices = Voices { asked: opens_only, saved: Some(LINKS), ..NOBODY };
        assert_eq!(chosen(&settings, voices), (Choice::BOTH, ChoiceOrigin::Header, true, vec![]));
    }
}
