use envelope::Choice;

/// What one message, or a login, asks for: each switch on, off or not mentioned (PRODUCT.md F1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Track opens.
    pub opens: Option<bool>,
    /// Track links.
    pub links: Option<bool>,
}

/// What the header fields of a message ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// There is no such field.
    Nothing,
    /// Understood.
    For {
        /// For this message.
        wish: Wish,
        /// `; once`: not kept as the sender's default.
        once: bool,
    },
    /// There is one, or several that differ, and nobody can tell what was meant.
    Unclear,
}

/// Header fields of other services that existing integrations set; read when ours is absent, always removed.
///
/// Sources: Postmark's SMTP guide (`X-PM-TrackOpens`, `X-PM-TrackLinks`), Mandrill's SMTP headers (`X-MC-Track`),
/// Mailgun's sending options (`X-Mailgun-Track`, `-Clicks`, `-Opens`).
const ALIASES: [(&str, ReadValue); 6] = [
    ("X-PM-TrackOpens", |value| Some(Wish::opens(yes_or_no(value)?))),
    ("X-PM-TrackLinks", postmark_links),
    ("X-MC-Track", mandrill),
    (MAILGUN_BOTH, |value| {
        let on = value == "htmlonly" || yes_or_no(value)?;
        Some(Wish { opens: Some(on), links: Some(on) })
    }),
    ("X-Mailgun-Track-Clicks", |value| Some(Wish::links(value == "htmlonly" || yes_or_no(value)?))),
    ("X-Mailgun-Track-Opens", |value| Some(Wish::opens(yes_or_no(value)?))),
];

/// Says yes or no to both; the fields that say no to one of them say more.
const MAILGUN_BOTH: &str = "X-Mailgun-Track";

/// Reads a value, lower case and trimmed.
type ReadValue = fn(&str) -> Option<Wish>;

/// `X-Waxseal-Track`, also where the operator renamed it, `-Link`, `-Tag`, those of later versions, and slips.
const OWN_FIELDS: &str = "X-Waxseal-*";

impl Wish {
    const fn opens(on: bool) -> Self {
        Self { opens: Some(on), links: None }
    }

    const fn links(on: bool) -> Self {
        Self { opens: None, links: Some(on) }
    }

    const fn both(choice: Choice) -> Self {
        Self { opens: Some(choice.opens), links: Some(choice.links) }
    }

    /// `standing`, with what this asks for in place of it.
    pub fn over(self, standing: Choice) -> Choice {
        Choice { opens: self.opens.unwrap_or(standing.opens), links: self.links.unwrap_or(standing.links) }
    }

    /// Reads `opens, links`, `opens`, `links` or `none`; ASCII case and blanks do not count.
    pub fn read(words: &str) -> Option<Self> {
        let mut choice = Choice::NONE;
        let words = words.to_ascii_lowercase();
        let words: Vec<&str> = words.split(',').map(str::trim).collect();
        if words == ["none"] {
            return Some(Self::both(Choice::NONE));
        }
        for word in words {
            match word {
                "opens" => choice.opens = true,
                "links" => choice.links = true,
                _ => return None,
            }
        }
        Some(Self::both(choice))
    }

    /// Both ask, and nothing contradicts.
    fn and(self, other: Self) -> Option<Self> {
        let join = |one: Option<bool>, other: Option<bool>| match (one, other) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => Some(one.or(other)),
        };
        Some(Self { opens: join(self.opens, other.opens)?, links: join(self.links, other.links)? })
    }
}

impl Asked {
    /// Reads the header of a message: our own field if it is there, else those of other services.
    pub fn of(content: &[u8], track_field: &str) -> Self {
        let own: Vec<Self> =
            mime::field_bodies(content, track_field).iter().map(|body| Self::read(body)).collect();
        if let Some((first, rest)) = own.split_first() {
            // The same value twice is one value.
            return if rest.iter().all(|other| other == first) { *first } else { Self::Unclear };
        }
        let said = |name: &str, read: ReadValue| {
            let bodies = mime::field_bodies(content, name).into_iter();
            bodies.map(move |body| read(body.trim().to_ascii_lowercase().as_str())).collect::<Vec<_>>()
        };
        let no_to = |name: &str| {
            let said = said(&format!("{MAILGUN_BOTH}-{name}"), |value| yes_or_no(value).map(Wish::opens));
            said.contains(&Some(Wish::opens(false)))
        };
        let mut wish = Wish::default();
        for (name, read) in ALIASES {
            for mut alias in said(name, read) {
                if let (MAILGUN_BOTH, Some(Wish { opens: opens @ Some(true), links })) = (name, &mut alias) {
                    *opens = opens.filter(|_| !no_to("Opens"));
                    *links = links.filter(|_| !no_to("Clicks"));
                }
                match alias.and_then(|alias| wish.and(alias)) {
                    Some(joined) => wish = joined,
                    None => return Self::Unclear,
                }
            }
        }
        if wish == Wish::default() { Self::Nothing } else { Self::For { wish, once: false } }
    }

    /// Reads one field body: the words of [`Wish::read`], then perhaps `; once`.
    pub fn read(body: &str) -> Self {
        let (words, once) = match body.split_once(';') {
            None => (body, false),
            Some((words, parameter)) if parameter.trim().eq_ignore_ascii_case("once") => (words, true),
            Some(_) => return Self::Unclear,
        };
        Wish::read(words).map_or(Self::Unclear, |wish| Self::For { wish, once })
    }
}

/// The message without any field that is for us, on every path it may take.
pub fn without_control_fields<'a>(content: &'a [u8], track_field: &str) -> std::borrow::Cow<'a, [u8]> {
    let mut names = vec![track_field, OWN_FIELDS];
    names.extend(ALIASES.iter().map(|(name, _)| *name));
    mime::remove_fields(content, &names)
}

/// `ana@example.com/none` is `ana@example.com` who wants nothing tracked; for clients that set no header fields.
pub(crate) fn split_login(login: &str) -> (&str, Option<Wish>) {
    // The domain holds no slash, a local part may: only what stands behind the @ can be a suffix.
    let suffix = login.rfind('@').and_then(|at| login[at..].find('/').map(|slash| at + slash));
    match suffix.and_then(|slash| Some((slash, Wish::read(&login[slash + 1..])?))) {
        Some((slash, wish)) => (&login[..slash], Some(wish)),
        None => (login, None),
    }
}

fn yes_or_no(value: &str) -> Option<bool> {
    match value {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

fn postmark_links(value: &str) -> Option<Wish> {
    match value {
        "none" | "textonly" => Some(Wish::links(false)),
        "htmlandtext" | "htmlonly" => Some(Wish::links(true)),
        _ => None,
    }
}

fn mandrill(value: &str) -> Option<Wish> {
    let mut choice = Choice::NONE;
    for word in value.split(',').map(str::trim) {
        match word {
            "opens" => choice.opens = true,
            "clicks" | "clicks_all" | "clicks_htmlonly" => choice.links = true,
            "clicks_textonly" | "none" => {}
            _ => return None,
        }
    }
    Some(Wish::both(choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(opens: bool, links: bool) -> Wish {
        Wish::both(Choice { opens, links })
    }

    #[test]
    fn what_our_own_field_says() {
        let asks = |opens, links| Asked::For { wish: wish(opens, links), once: false };
        for (header, expected) in [
            ("", Asked::Nothing),
            ("X-Waxseal-Track: opens, links", asks(true, true)),
            ("x-waxseal-track:links,opens", asks(true, true)),
            ("X-Waxseal-Track:  OPENS ", asks(true, false)),
            ("X-Waxseal-Track: opens,\r\n links", asks(true, true)),
            ("X-Waxseal-Track: links", asks(false, true)),
            ("X-Waxseal-Track: none", asks(false, false)),
            ("X-Waxseal-Track: None ; Once", Asked::For { wish: wish(false, false), once: true }),
            ("X-Waxseal-Track: opens;once", Asked::For { wish: wish(true, false), once: true }),
            ("X-Waxseal-Track: opens\r\nX-Waxseal-Track: opens", asks(true, false)),
            ("X-Waxseal-Track: opens\r\nX-Waxseal-Track: none", Asked::Unclear),
            ("X-Waxseal-Track: open", Asked::Unclear),
            ("X-Waxseal-Track: none, opens", Asked::Unclear),
            ("X-Waxseal-Track:", Asked::Unclear),
            ("X-Waxseal-Track: opens; twice", Asked::Unclear),
            ("X-Waxseal-Track: none\r\nX-PM-TrackOpens: true", asks(false, false)),
        ] {
            let content = format!("From: a@b.example\r\n{header}\r\n\r\nbody\r\n");
            assert_eq!(Asked::of(content.as_bytes(), "X-Waxseal-Track"), expected, "{header}");
        }
    }

    #[test]
    fn what_the_fields_of_others_say() {
        let asks = |opens, links| Asked::For { wish: Wish { opens, links }, once: false };
        for (header, expected) in [
            ("X-PM-TrackOpens: true", asks(Some(true), None)),
            ("X-PM-TrackOpens: False", asks(Some(false), None)),
            ("X-PM-TrackLinks: HtmlOnly", asks(None, Some(true))),
            ("X-PM-TrackLinks: None\r\nX-PM-TrackOpens: true", asks(Some(true), Some(false))),
            ("X-MC-Track: opens,clicks_htmlonly", asks(Some(true), Some(true))),
            ("X-MC-Track: clicks_all", asks(Some(false), Some(true))),
            ("X-Mailgun-Track: no", asks(Some(false), Some(false))),
            ("X-Mailgun-Track-Clicks: htmlonly", asks(None, Some(true))),
            ("X-Mailgun-Track-Opens: yes\r\nX-Mailgun-Track-Clicks: no", asks(Some(true), Some(false))),
            ("X-Mailgun-Track: htmlonly", asks(Some(true), Some(true))),
            ("X-Mailgun-Track: yes\r\nX-Mailgun-Track-Opens: no", asks(Some(false), Some(true))),
            ("X-Mailgun-Track: yes\r\nX-Mailgun-Track-Clicks: no", asks(Some(true), Some(false))),
            ("X-Mailgun-Track: no\r\nX-Mailgun-Track-Clicks: yes", Asked::Unclear),
            ("X-Mailgun-Track-Opens: no\r\nX-PM-TrackOpens: true", Asked::Unclear),
            ("X-PM-TrackOpens: perhaps", Asked::Unclear),
        ] {
            let content = format!("{header}\r\n\r\n");
            assert_eq!(Asked::of(content.as_bytes(), "X-Waxseal-Track"), expected, "{header}");
        }
    }

    #[test]
    fn what_a_login_says() {
        for (login, expected) in [
            ("ana@example.com", ("ana@example.com", None)),
            ("ana@example.com/none", ("ana@example.com", Some(wish(false, false)))),
            ("ana@example.com/opens", ("ana@example.com", Some(wish(true, false)))),
            ("ana@example.com/Opens,Links", ("ana@example.com", Some(wish(true, true)))),
            ("ana@example.com/else", ("ana@example.com/else", None)),
            ("a/none@example.com", ("a/none@example.com", None)),
            ("ana/none", ("ana/none", None)),
        ] {
            assert_eq!(split_login(login), expected, "{login}");
        }
    }

    #[test]
    fn every_control_field_goes() {
        let names =
            ["X-Waxseal-Track", "X-Waxseal-Trak", "X-WAXSEAL-TAG", "X-PM-TrackOpens", "X-MC-Track", "X-Own"];
        let fields: String = names.iter().map(|name| format!("{name}: a,\r\n b\r\n")).collect();
        let content = format!("From: a@b.example\r\n{fields}Subject: x\r\n\r\nX-MC-Track: stays\r\n");
        let rest = without_control_fields(content.as_bytes(), "X-Own");
        assert_eq!(&*rest, b"From: a@b.example\r\nSubject: x\r\n\r\nX-MC-Track: stays\r\n");
    }
}
