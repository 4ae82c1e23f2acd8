use envelope::{Choice, Reason};
use store::ChoiceOrigin;

/// What one message's own header field asks for (PRODUCT.md F1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackField {
    /// There is none.
    Absent,
    /// Understood.
    Asks {
        /// For this message.
        choice: Choice,
        /// `; once`: not kept as the sender's default.
        once: bool,
    },
    /// There is one, or several that differ, and we cannot tell what was meant.
    Unknown,
}

/// What will be tracked, who said so, and what is to be kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// For this message.
    pub choice: Choice,
    /// Who said so.
    pub origin: ChoiceOrigin,
    /// This becomes the sender's saved default once the provider has taken the message.
    pub keep: bool,
    /// Why nothing is tracked, or that the header field was not understood.
    pub reason: Option<Reason>,
}

/// What the sender's own settings are, apart from the message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SenderChoice {
    pub saved: Option<Choice>,
    pub configured: Option<Choice>,
}

impl TrackField {
    /// Reads the bodies of all header fields of that name.
    ///
    /// One value: `opens, links`, `opens`, `links` or `none`, then perhaps `; once`; ASCII case and
    /// blanks do not count. The same value twice is one value.
    pub fn read(bodies: &[String]) -> Self {
        let mut read = bodies.iter().map(|body| Self::read_one(body));
        let Some(first) = read.next() else { return Self::Absent };
        if read.all(|other| other == first) { first } else { Self::Unknown }
    }

    fn read_one(body: &str) -> Self {
        let lower = body.to_ascii_lowercase();
        let (words, once) = match lower.split_once(';') {
            None => (lower.as_str(), false),
            Some((words, parameter)) if parameter.trim() == "once" => (words, true),
            Some(_) => return Self::Unknown,
        };
        let mut choice = Choice::NONE;
        let words: Vec<&str> = words.split(',').map(str::trim).collect();
        if words == ["none"] {
            return Self::Asks { choice, once };
        }
        for word in words {
            match word {
                "opens" => choice.opens = true,
                "links" => choice.links = true,
                _ => return Self::Unknown,
            }
        }
        Self::Asks { choice, once }
    }
}

/// The order of precedence: enabled, header field, what was saved, the file's `[[sender]]`, the defaults.
pub(crate) fn choose(settings: &crate::Settings, field: TrackField, sender: SenderChoice) -> Chosen {
    let (standing, origin) = match (sender.configured, sender.saved) {
        (Some(choice), _) => (choice, ChoiceOrigin::Configured),
        (None, Some(choice)) => (choice, ChoiceOrigin::Saved),
        (None, None) => (settings.defaults, ChoiceOrigin::Defaults),
    };
    if !settings.tracking_enabled {
        return Chosen { choice: Choice::NONE, origin, keep: false, reason: Some(Reason::SwitchedOff) };
    }
    match field {
        TrackField::Asks { choice, once } => Chosen {
            choice,
            origin: if once { ChoiceOrigin::HeaderOnce } else { ChoiceOrigin::Header },
            // The file's own senders stay as the file has them.
            keep: settings.sticky && !once && sender.configured.is_none(),
            reason: choice.is_none().then_some(Reason::OptedOut),
        },
        TrackField::Unknown => {
            Chosen { choice: standing, origin, keep: false, reason: Some(Reason::UnknownChoice) }
        }
        TrackField::Absent => Chosen {
            choice: standing,
            origin,
            keep: false,
            reason: standing.is_none().then_some(Reason::NotChosen),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENS: Choice = Choice { opens: true, links: false };
    const LINKS: Choice = Choice { opens: false, links: true };

    #[test]
    fn what_the_field_says() {
        let asks = |choice| TrackField::Asks { choice, once: false };
        for (bodies, expected) in [
            (vec![], TrackField::Absent),
            (vec!["opens, links"], asks(Choice::BOTH)),
            (vec!["links,opens"], asks(Choice::BOTH)),
            (vec![" OPENS "], asks(OPENS)),
            (vec!["links"], asks(LINKS)),
            (vec!["none"], asks(Choice::NONE)),
            (vec!["None ; Once"], TrackField::Asks { choice: Choice::NONE, once: true }),
            (vec!["opens;once"], TrackField::Asks { choice: OPENS, once: true }),
            (vec!["opens", "opens"], asks(OPENS)),
            (vec!["opens", "none"], TrackField::Unknown),
            (vec!["open"], TrackField::Unknown),
            (vec!["none, opens"], TrackField::Unknown),
            (vec![""], TrackField::Unknown),
            (vec!["opens; twice"], TrackField::Unknown),
        ] {
            let bodies: Vec<String> = bodies.into_iter().map(str::to_owned).collect();
            assert_eq!(TrackField::read(&bodies), expected, "{bodies:?}");
        }
    }
}
