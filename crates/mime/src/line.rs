use std::ops::Range;

use memchr::{memchr, memrchr};

/// RFC 5322 §2.1.1: octets of a line, its CRLF not counted.
pub(crate) const MAX_LINE_OCTETS: usize = 998;

/// A line, ended by CRLF, LF or the end of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Without its line end.
    pub(crate) content: Range<usize>,
    /// Behind its line end.
    pub(crate) end: usize,
}

/// The line that begins at `start`.
pub(crate) fn line_at(text: &[u8], start: usize) -> Line {
    match memchr(b'\n', &text[start..]) {
        None => Line { content: start..text.len(), end: text.len() },
        Some(length) => {
            let lf = start + length;
            let cr = lf > start && text[lf - 1] == b'\r';
            Line { content: start..lf - usize::from(cr), end: lf + 1 }
        }
    }
}

/// Finds the lines that places in a text stand in. Places are asked for in rising order, so that no line is looked through
/// twice: a line may be as long as the text, and hold thousands of places.
pub(crate) struct LineCursor<'a> {
    text: &'a [u8],
    line: Line,
    trimmed_end: usize,
}

impl<'a> LineCursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let mut cursor = Self { text, line: Line { content: 0..0, end: 0 }, trimmed_end: 0 };
        cursor.go_to(0);
        cursor
    }

    /// The line in which the octet at `at` stands; the end of the text belongs to its last line.
    pub(crate) fn line(&mut self, at: usize) -> &Line {
        let ends_text = self.line.end == self.text.len() && self.line.content.end == self.line.end;
        if at >= self.line.end && !ends_text {
            let between = &self.text[self.line.end..at];
            self.go_to(memrchr(b'\n', between).map_or(self.line.end, |lf| self.line.end + lf + 1));
        }
        &self.line
    }

    /// What stands from `at` to the end of its line, without the blanks there.
    pub(crate) fn rest(&mut self, at: usize) -> Range<usize> {
        self.line(at);
        at..self.trimmed_end.max(at)
    }

    fn go_to(&mut self, start: usize) {
        self.line = line_at(self.text, start);
        self.trimmed_end = start + trim_blanks_end(&self.text[self.line.content.clone()]).len();
    }
}

/// How the lines of a text end: CRLF unless the first one ends in a bare LF.
pub(crate) fn line_end_of(text: &[u8]) -> &'static [u8] {
    match memchr(b'\n', text) {
        Some(0) => b"\n",
        Some(lf) if text[lf - 1] != b'\r' => b"\n",
        _ => b"\r\n",
    }
}

/// Without the blanks (space and tab) at its end.
pub(crate) fn trim_blanks_end(text: &[u8]) -> &[u8] {
    let kept = text.iter().rposition(|octet| !matches!(octet, b' ' | b'\t')).map_or(0, |last| last + 1);
    &text[..kept]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_crlf_or_lf() {
        for (text, start, content, end) in [
            ("ab\r\ncd", 0, "ab", 4),
            ("ab\ncd", 0, "ab", 3),
            ("ab\r\ncd", 4, "cd", 6),
            ("\r\nx", 0, "", 2),
            ("a\rb\n", 0, "a\rb", 4),
            ("", 0, "", 0),
        ] {
            let line = line_at(text.as_bytes(), start);
            assert_eq!((&text[line.content], line.end), (content, end), "{text:?}");
        }
    }

    #[test]
    fn lines_around_places_in_rising_order() {
        let text = b"ab\r\n\r\ncd \t\nef";
        let mut cursor = LineCursor::new(text);
        for (at, content, rest) in [
            (0, 0..2, 0..2),
            (2, 0..2, 2..2),
            (3, 0..2, 3..3),
            (4, 4..4, 4..4),
            (7, 6..10, 7..8),
            (9, 6..10, 9..9),
            (11, 11..13, 11..13),
            (13, 11..13, 13..13),
            (13, 11..13, 13..13),
        ] {
            assert_eq!((cursor.line(at).content.clone(), cursor.rest(at)), (content, rest), "{at}");
        }
        assert_eq!(LineCursor::new(b"ab\n").line(3).content, 3..3);
        assert_eq!(LineCursor::new(b"ab").line(2).content, 0..2);
        assert_eq!(LineCursor::new(b"").line(0).content, 0..0);
    }

    #[test]
    fn the_first_line_says_how_lines_end() {
        for (text, end) in
            [("a\r\nb\n", "\r\n"), ("a\nb\r\n", "\n"), ("a", "\r\n"), ("\n", "\n"), ("\r\n", "\r\n")]
        {
            assert_eq!(line_end_of(text.as_bytes()), end.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn blanks_are_space_and_tab() {
        assert_eq!(trim_blanks_end(b"a b \t "), b"a b");
        assert_eq!(trim_blanks_end(b" \t"), b"");
        assert_eq!(trim_blanks_end(b"a\r"), b"a\r");
    }
}
