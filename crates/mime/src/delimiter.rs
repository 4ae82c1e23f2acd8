use std::ops::Range;

use memchr::memmem;

use crate::line::{line_at, trim_blanks_end};

/// A boundary delimiter line (RFC 2046 §5.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delimiter {
    /// Which of the open multiparts it belongs to, the outermost being 0.
    pub(crate) multipart: usize,
    /// The line with its line end.
    pub(crate) line: Range<usize>,
    /// It ends the multipart.
    pub(crate) closes: bool,
}

/// The delimiter line that begins at `at`, a beginning of a line, for the boundaries of the open multiparts.
///
/// Only white space may follow the boundary: with `b` and `b-alt` open, `--b-alt` belongs to the one it names.
pub(crate) fn delimiter_at<'a, B>(raw: &[u8], at: usize, boundaries: B) -> Option<Delimiter>
where
    B: DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator,
{
    let rest = raw[at..].strip_prefix(b"--")?;
    for (multipart, boundary) in boundaries.enumerate().rev() {
        if !rest.starts_with(boundary) {
            continue;
        }
        let line = line_at(raw, at);
        let closes = match trim_blanks_end(&raw[at + 2 + boundary.len()..line.content.end]) {
            b"" => false,
            b"--" => true,
            _ => continue,
        };
        return Some(Delimiter { multipart, line: at..line.end, closes });
    }
    None
}

/// The next delimiter line at or behind `from`, a beginning of a line.
pub(crate) fn next_delimiter<'a, B>(raw: &[u8], from: usize, boundaries: &B) -> Option<Delimiter>
where
    B: DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone,
{
    let later = memmem::find_iter(&raw[from..], b"\n--").map(|lf| from + lf + 1);
    std::iter::once(from).chain(later).find_map(|at| delimiter_at(raw, at, boundaries.clone()))
}

pub(crate) fn has_empty_line(text: &[u8]) -> bool {
    let begins = |text: &[u8]| text.starts_with(b"\n") || text.starts_with(b"\r\n");
    begins(text) || memchr::memchr_iter(b'\n', text).any(|lf| begins(&text[lf + 1..]))
}

/// Does a delimiter of one of these boundaries stand anywhere in the text, at the beginning of a line or not?
///
/// Some programs, mail-parser 0.11 among them, cut a part there.
pub(crate) fn holds_delimiter<'a>(text: &[u8], mut boundaries: impl Iterator<Item = &'a [u8]>) -> bool {
    boundaries.any(|boundary| memmem::find(text, &[b"--", boundary].concat()).is_some())
}

/// The same for one that closes its multipart.
pub(crate) fn holds_closing_delimiter<'a>(
    text: &[u8],
    mut boundaries: impl Iterator<Item = &'a [u8]>,
) -> bool {
    boundaries.any(|boundary| memmem::find(text, &[b"--", boundary, b"--"].concat()).is_some())
}

/// Does the text, which may hold headers, name one of these boundaries as that of a multipart?
pub(crate) fn declares_boundary<'a>(text: &[u8], mut boundaries: impl Iterator<Item = &'a [u8]>) -> bool {
    boundaries.any(|boundary| {
        memmem::find_iter(text, boundary).any(|at| {
            let before = text[..at].strip_suffix(b"\"").unwrap_or(&text[..at]);
            let ends = text.get(at + boundary.len()).is_none_or(|next| b"\"; \t\r\n".contains(next));
            before.ends_with(b"=") && ends
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(raw: &str, boundaries: &[&str]) -> Option<(usize, Range<usize>, bool)> {
        next_delimiter(raw.as_bytes(), 0, &boundaries.iter().map(|boundary| boundary.as_bytes()))
            .map(|delimiter| (delimiter.multipart, delimiter.line, delimiter.closes))
    }

    #[test]
    fn delimiters_stand_on_lines_of_their_own() {
        for (case, raw, boundaries, expected) in [
            ("first line", "--b\r\nx", &["b"][..], Some((0, 0..5, false))),
            ("later", "x\r\n--b\r\n", &["b"], Some((0, 3..8, false))),
            ("LF", "x\n--b\n", &["b"], Some((0, 2..6, false))),
            ("close", "x\r\n--b--\r\n", &["b"], Some((0, 3..10, true))),
            ("no line end", "x\r\n--b--", &["b"], Some((0, 3..8, true))),
            ("transport padding", "--b \t\r\n", &["b"], Some((0, 0..7, false))),
            ("padding behind the close", "--b-- \r\n", &["b"], Some((0, 0..8, true))),
            ("in mid-line", "x--b\r\n", &["b"], None),
            ("text behind", "--bx\r\n", &["b"], None),
            ("text behind the close", "--b--x\r\n", &["b"], None),
            (
                "a boundary that begins with another",
                "--b-alt\r\n--b\r\n",
                &["b", "b-alt"],
                Some((1, 0..9, false)),
            ),
            ("the same, other way round", "--b\r\n", &["b-alt", "b"], Some((1, 0..5, false))),
            ("the outer one", "--o\r\n", &["o", "i"], Some((0, 0..5, false))),
            ("one that looks like a close", "--b--\r\n", &["b", "b--"], Some((1, 0..7, false))),
            ("none open", "--b\r\n", &[], None),
            ("other case", "--B\r\n", &["b"], None),
        ] {
            assert_eq!(found(raw, boundaries), expected, "{case}");
        }
    }

    #[test]
    fn delimiters_in_lines_are_seen() {
        let boundaries = || ["b".as_bytes(), b"c"].into_iter();
        assert!(holds_delimiter(b"x--c y", boundaries()));
        assert!(!holds_delimiter(b"x-b -- b", boundaries()));
        assert!(holds_closing_delimiter(b"x--c--y", boundaries()));
        assert!(!holds_closing_delimiter(b"x--c -- y", boundaries()));
    }

    #[test]
    fn boundaries_in_headers_are_seen() {
        for (text, declares) in [
            ("Content-Type: multipart/mixed; boundary=b", true),
            ("boundary=\"c\"\r\n", true),
            ("boundary=b; x=y", true),
            ("boundary=bb", false),
            ("b=b'", false),
            ("--b\r\n", false),
            ("", false),
        ] {
            let boundaries = ["b".as_bytes(), b"c"].into_iter();
            assert_eq!(declares_boundary(text.as_bytes(), boundaries), declares, "{text}");
        }
    }
}
