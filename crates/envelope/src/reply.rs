use std::fmt;

use crate::{EnhancedStatusCode, ReplyCode, Severity};

/// A reply (RFC 5321 §4.2): code, enhanced status code, and one or more lines of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: ReplyCode,
    enhanced: Option<EnhancedStatusCode>,
    lines: Vec<String>,
}

/// RFC 5321 §4.5.3.1.5: 512 octets with the code and CRLF.
const MAX_LINE_OCTETS: usize = 512;
/// More lines than any client shows; a provider that says more is cut short.
const MAX_LINES: usize = 100;

impl Reply {
    /// A reply with the given text; `\n` in it begins another line.
    pub fn new(code: ReplyCode, enhanced: Option<EnhancedStatusCode>, text: impl AsRef<str>) -> Self {
        let lines = text.as_ref().split('\n').take(MAX_LINES).map(harmless).collect();
        Self { code, enhanced, lines }
    }

    /// A reply of our own, from figures written in the source: `Reply::of(250, "2.1.0", "Sender ok")`.
    ///
    /// An empty or wrong `enhanced` is left out; a wrong code becomes 451, never a panic.
    pub fn of(code: u16, enhanced: &str, text: impl AsRef<str>) -> Self {
        const LOCAL_ERROR: ReplyCode = match ReplyCode::new(451) {
            Some(code) => code,
            None => unreachable!(),
        };
        debug_assert!(ReplyCode::new(code).is_some(), "{code} is not a reply code");
        let code = ReplyCode::new(code).unwrap_or(LOCAL_ERROR);
        Self::new(code, EnhancedStatusCode::parse(enhanced), text)
    }

    /// The three digits.
    pub fn code(&self) -> ReplyCode {
        self.code
    }

    /// The enhanced status code, if there is one.
    pub fn enhanced(&self) -> Option<EnhancedStatusCode> {
        self.enhanced
    }

    /// The text, line by line, without codes; never holds a control character.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The text with `\n` between its lines.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// 2yz.
    pub fn is_positive(&self) -> bool {
        self.code.is_positive()
    }

    /// `None` for 2yz and 3yz.
    pub fn severity(&self) -> Option<Severity> {
        self.code.severity()
    }

    /// The same reply with `prefix` before its first line: who spoke.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        if let Some(first) = self.lines.first_mut() {
            first.insert_str(0, &harmless(prefix));
        }
        self
    }

    /// The octets on the wire: every line with the code and, as RFC 2034 §4 asks, the
    /// enhanced status code; ASCII only, at most 512 octets a line, CRLF at the end of each.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        let last = self.lines.len().saturating_sub(1);
        for (number, line) in self.lines.iter().enumerate() {
            let separator = if number == last { ' ' } else { '-' };
            let mut head = format!("{}{separator}", self.code);
            if let Some(enhanced) = self.enhanced {
                head.push_str(&enhanced.to_string());
                head.push(' ');
            }
            let room = MAX_LINE_OCTETS - 2 - head.len();
            let text: String = line.chars().map(|c| if c.is_ascii() { c } else { '?' }).take(room).collect();
            octets.extend_from_slice(head.as_bytes());
            octets.extend_from_slice(text.as_bytes());
            octets.extend_from_slice(b"\r\n");
        }
        octets
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        write!(f, " {}", self.lines.join(" "))
    }
}

/// Controls become blanks, so that no text can begin a line of its own on the wire or in a log.
fn harmless(text: &str) -> String {
    text.trim_end_matches('\r').chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form() {
        let reply = Reply::of(550, "5.1.1", "no such user\nask the postmaster");
        assert_eq!(reply.to_bytes(), b"550-5.1.1 no such user\r\n550 5.1.1 ask the postmaster\r\n");
        assert_eq!(Reply::of(220, "", "hi").to_bytes(), b"220 hi\r\n");
        assert_eq!(reply.to_string(), "550 5.1.1 no such user ask the postmaster");
    }

    #[test]
    fn no_text_can_begin_a_line() {
        let reply = Reply::of(451, "4.0.0", "a\r250 ok\0\u{1b}[31m").with_prefix("x\r\n");
        assert_eq!(reply.to_bytes(), b"451 4.0.0 x  a 250 ok  [31m\r\n");
    }

    #[test]
    fn lines_stay_within_512_octets_and_ascii() {
        let wire = Reply::of(550, "5.0.0", "ü".repeat(2_000)).to_bytes();
        assert_eq!(wire.len(), 512);
        assert!(wire.is_ascii());
    }
}
