use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A point of the transaction at which a catcher can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step<'a> {
    /// MAIL.
    Mail {
        /// Its path, without angle brackets.
        reverse_path: &'a str,
    },
    /// RCPT.
    Rcpt {
        /// Its path, without angle brackets.
        forward_path: &'a str,
    },
    /// DATA, before any content is sent.
    Data {
        /// The recipients accepted.
        recipients: &'a [String],
    },
    /// The final dot.
    Content {
        /// The recipients accepted.
        recipients: &'a [String],
        /// The content as it would be kept.
        content: &'a [u8],
    },
}

/// A reply that refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    code: u16,
    text: String,
}

/// Decides what a catcher refuses.
#[derive(Clone)]
pub struct Script(Arc<Decide>);

type Decide = dyn Fn(Step<'_>) -> Option<Refusal> + Send + Sync;

/// The first word of a local part, or of a subject, that asks for a refusal.
const ASKING: [(&str, At); 6] = [
    ("refuse-content-", At::Content),
    ("later-content-", At::Content),
    ("refuse-data-", At::Data),
    ("later-data-", At::Data),
    ("refuse-", At::Path),
    ("later-", At::Path),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Path,
    Data,
    Content,
}

impl Refusal {
    /// A reply such as `550 5.1.1 no such mailbox`. 421 also closes the connection.
    ///
    /// `code` outside 400 to 599 becomes 554, and what cannot stand in a reply line becomes `?`.
    pub fn new(code: u16, text: &str) -> Self {
        let code = if (400..=599).contains(&code) { code } else { 554 };
        let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
        // RFC 5321 §4.5.3.1.5: a reply line has 512 octets at most.
        Self { code, text: text.chars().map(printable).take(500).collect() }
    }

    /// The reply code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// What follows the code.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Script {
    /// Refuses what `decide` refuses. It runs on the connection's thread; if it panics, the
    /// client hears 554.
    pub fn new(decide: impl Fn(Step<'_>) -> Option<Refusal> + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// Refuses nothing.
    pub fn accept_all() -> Self {
        Self::new(|_| None)
    }

    /// Refuses what asks for it, with the three digits it names:
    ///
    /// | address | refused |
    /// |---|---|
    /// | `refuse-550@…`, `later-450@…` | at once, as a recipient or as the sender |
    /// | `refuse-data-554@…`, `later-data-451@…` as a recipient | at DATA |
    /// | `refuse-content-554@…`, `later-content-451@…` as a recipient | after the content |
    /// | `Subject: refuse-content-554`, `Subject: later-content-451` | after the content |
    ///
    /// What follows the digits is free: `refuse-550-nobody@…`.
    pub fn by_name() -> Self {
        Self::new(by_name)
    }

    pub(crate) fn decide(&self, step: Step<'_>) -> Option<Refusal> {
        // The library loses a thread to every panic; with the last, it aborts the process (decision 0001).
        catch_unwind(AssertUnwindSafe(|| (self.0)(step)))
            .unwrap_or_else(|_| Some(Refusal::new(554, "5.3.0 The script of this mailbox panicked")))
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

fn by_name(step: Step<'_>) -> Option<Refusal> {
    match step {
        Step::Mail { reverse_path } => asked(reverse_path, At::Path),
        Step::Rcpt { forward_path } => asked(forward_path, At::Path),
        Step::Data { recipients } => recipients.iter().find_map(|path| asked(path, At::Data)),
        Step::Content { recipients, content } => recipients
            .iter()
            .find_map(|path| asked(path, At::Content))
            .or_else(|| asked(subject(content)?, At::Content)),
    }
}

fn asked(text: &str, at: At) -> Option<Refusal> {
    let (digits, place) = ASKING.iter().find_map(|(word, place)| Some((text.strip_prefix(word)?, *place)))?;
    let code: u16 = digits.get(..3)?.parse().ok()?;
    let (class, words) = match code {
        400..=499 => (4, "Not now, as asked"),
        500..=599 => (5, "No, as asked"),
        _ => return None,
    };
    (place == at).then(|| Refusal::new(code, &format!("{class}.0.0 {words}")))
}

/// The first subject, unfolded no further than its first line.
fn subject(content: &[u8]) -> Option<&str> {
    content
        .split(|octet| *octet == b'\n')
        .take_while(|line| !line.is_empty() && *line != b"\r")
        .find(|line| line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"subject:")))
        .and_then(|line| std::str::from_utf8(&line[8..]).ok())
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_asks_for_it() {
        for (path, at_path, at_data, at_content) in [
            ("ann@example.org", None, None, None),
            ("refuse-550@example.org", Some(550), None, None),
            ("refuse-550-nobody@example.org", Some(550), None, None),
            ("later-450@example.org", Some(450), None, None),
            ("later-421@example.org", Some(421), None, None),
            ("refuse-data-554@example.org", None, Some(554), None),
            ("later-content-451@example.org", None, None, Some(451)),
            ("refuse-content-250@example.org", None, None, None),
            ("refuse-6", None, None, None),
            ("refuse-5é0@example.org", None, None, None),
            ("unrefuse-550@example.org", None, None, None),
        ] {
            let recipients = [path.to_owned()];
            let code = |step| by_name(step).map(|refusal| refusal.code());
            assert_eq!(code(Step::Mail { reverse_path: path }), at_path, "{path}");
            assert_eq!(code(Step::Rcpt { forward_path: path }), at_path, "{path}");
            assert_eq!(code(Step::Data { recipients: &recipients }), at_data, "{path}");
            let content = Step::Content { recipients: &recipients, content: b"" };
            assert_eq!(code(content), at_content, "{path}");
        }
    }

    #[test]
    fn reads_the_subject() {
        for (content, code) in [
            ("From: a\r\nSUBJECT:refuse-content-552 please\r\n\r\nx", Some(552)),
            ("Subject: hello\r\n\r\nSubject: refuse-content-552", None),
            ("\r\nSubject: refuse-content-552", None),
            ("Subject: refuse-550\r\n\r\n", None),
            ("", None),
        ] {
            let step = Step::Content { recipients: &[], content: content.as_bytes() };
            assert_eq!(by_name(step).map(|refusal| refusal.code()), code, "{content}");
        }
    }

    #[test]
    fn a_refusal_is_one_line_that_refuses() {
        let refusal = Refusal::new(250, "5.0.0 all\r\n250 gone é");
        assert_eq!((refusal.code(), refusal.text()), (554, "5.0.0 all??250 gone ?"));
    }
}
