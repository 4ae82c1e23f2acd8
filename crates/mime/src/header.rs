use std::borrow::Cow;
use std::ops::Range;

use crate::line::line_at;

/// One header field of a message; the ranges point into the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderField {
    /// The field name, without the colon and white space before it.
    pub name: Range<usize>,
    /// What stands behind the colon, folded lines included, without the last line end.
    pub body: Range<usize>,
    /// All lines of the field with their line ends.
    pub whole: Range<usize>,
}

/// The header fields of a message, in order (RFC 5322 §2.2).
///
/// A line that is neither a field, nor the continuation of one, nor empty belongs to no field and
/// is passed over: the header ends at the first empty line only. A reader that ends it earlier
/// would show our control fields to the recipient, so they must be found wherever they stand.
/// Takes about 50 octets of memory for each field; to look for one name use [`field_bodies`].
pub fn header_fields(raw: &[u8]) -> Vec<HeaderField> {
    fields(raw).collect()
}

/// The bodies of all fields of this name, in order: unfolded, trimmed, octets that are not UTF-8 replaced.
///
/// Names are compared without regard to case. Encoded words stay as they are: see
/// [`decode_words`](crate::decode_words).
pub fn field_bodies(raw: &[u8], name: &str) -> Vec<String> {
    fields(raw)
        .filter(|field| raw[field.name.clone()].eq_ignore_ascii_case(name.as_bytes()))
        .map(|field| unfolded(&raw[field.body]))
        .collect()
}

/// The message without the fields of these names; every other octet stays.
///
/// Names are compared without regard to case; one that ends in `*` stands for all that begin so. A field goes with
/// all its folded lines.
pub fn remove_fields<'a>(raw: &'a [u8], names: &[&str]) -> Cow<'a, [u8]> {
    let is_named = |own: &[u8], name: &str| match name.strip_suffix('*') {
        Some(begin) => own.get(..begin.len()).is_some_and(|own| own.eq_ignore_ascii_case(begin.as_bytes())),
        None => own.eq_ignore_ascii_case(name.as_bytes()),
    };
    let goes = |field: &HeaderField| names.iter().any(|name| is_named(&raw[field.name.clone()], name));
    let mut going = fields(raw).filter(goes).map(|field| field.whole).peekable();
    if going.peek().is_none() {
        return Cow::Borrowed(raw);
    }
    let mut left = Vec::with_capacity(raw.len());
    let mut copied = 0;
    for Range { start, end } in going {
        left.extend_from_slice(&raw[copied..start]);
        copied = end;
    }
    left.extend_from_slice(&raw[copied..]);
    Cow::Owned(left)
}

/// Where the body begins: behind the empty line that ends the header.
///
/// Without an empty line it is the end of the message. A message whose first lines hold no field at all has no
/// header, and its body begins at 0.
pub fn header_end(raw: &[u8]) -> usize {
    let mut entries = Entries::new(raw, 0);
    let (mut lines, mut fields) = (false, false);
    for entry in &mut entries {
        lines = true;
        fields |= entry.field.is_some();
    }
    if lines && !fields { 0 } else { entries.at }
}

fn fields(raw: &[u8]) -> impl Iterator<Item = HeaderField> {
    Entries::new(raw, 0).filter_map(|entry| entry.field)
}

/// A field body on one line (RFC 5322 §2.2.3): the line ends go, the white space behind them stays.
pub(crate) fn unfolded(body: &[u8]) -> String {
    let octets: Vec<u8> = body
        .split_inclusive(|octet| *octet == b'\n')
        .flat_map(|line| {
            line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line))
        })
        .copied()
        .collect();
    // White space of other kinds is part of the value, to some programs.
    String::from_utf8_lossy(&octets).trim_matches([' ', '\t', '\r', '\n']).to_owned()
}

/// The lines of a header section, those of one field together.
pub(crate) struct Entries<'a> {
    raw: &'a [u8],
    /// Where the next line begins; in the end, where the body does.
    pub(crate) at: usize,
    /// The empty line was there.
    pub(crate) empty_line: bool,
}

/// A field, or a line of a header section that is none.
pub(crate) struct Entry {
    pub(crate) field: Option<HeaderField>,
    pub(crate) lines: Range<usize>,
}

impl<'a> Entries<'a> {
    /// The header section that begins at `at`, which is the beginning of a line.
    pub(crate) fn new(raw: &'a [u8], at: usize) -> Self {
        Self { raw, at, empty_line: false }
    }

    fn field(&self, start: usize, colon: usize) -> HeaderField {
        let name = self.raw[start..colon].trim_ascii_end();
        let first = line_at(self.raw, start);
        let (mut body_end, mut end, mut at) = (first.content.end, first.end, first.end);
        while at < self.raw.len() {
            let line = line_at(self.raw, at);
            let content = &self.raw[line.content.clone()];
            if !matches!(content.first(), Some(b' ' | b'\t')) {
                break;
            }
            at = line.end;
            // Some readers take a line of white space for the end of the header. Should it be the field's last
            // line it is not counted to the field, so that removing the field cannot join header and body.
            if !content.trim_ascii().is_empty() {
                (body_end, end) = (line.content.end, line.end);
            }
        }
        HeaderField { name: start..start + name.len(), body: colon + 1..body_end, whole: start..end }
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.empty_line || self.at >= self.raw.len() {
            return None;
        }
        let line = line_at(self.raw, self.at);
        let content = &self.raw[line.content.clone()];
        if content.is_empty() {
            (self.at, self.empty_line) = (line.end, true);
            return None;
        }
        let field = colon_of_field(content).map(|colon| self.field(self.at, self.at + colon));
        let lines = self.at..field.as_ref().map_or(line.end, |field| field.whole.end);
        self.at = lines.end;
        Some(Entry { field, lines })
    }
}

/// Where the colon stands, if the line begins a field: printable ASCII, then perhaps white space (RFC 5322 §4.5.8).
fn colon_of_field(line: &[u8]) -> Option<usize> {
    let name = line.iter().take_while(|&&octet| octet.is_ascii_graphic() && octet != b':').count();
    let space = line[name..].iter().take_while(|&&octet| matches!(octet, b' ' | b'\t')).count();
    (name > 0 && line.get(name + space) == Some(&b':')).then_some(name + space)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(raw: &str) -> Vec<(&str, &str, &str)> {
        header_fields(raw.as_bytes())
            .into_iter()
            .map(|field| (&raw[field.name], &raw[field.body], &raw[field.whole]))
            .collect()
    }

    #[test]
    fn fields_are_found_in_every_kind_of_header() {
        for (case, raw, expected) in [
            (
                "two fields",
                "A: b\r\nC:d\r\n\r\nE: f\r\n",
                vec![("A", " b", "A: b\r\n"), ("C", "d", "C:d\r\n")],
            ),
            ("bare LF", "A: b\nC: d\n\nE: f\n", vec![("A", " b", "A: b\n"), ("C", " d", "C: d\n")]),
            ("folded", "A: b\r\n\tc\r\n d\r\n\r\n", vec![("A", " b\r\n\tc\r\n d", "A: b\r\n\tc\r\n d\r\n")]),
            ("white space before the colon", "A \t: b\r\n\r\n", vec![("A", " b", "A \t: b\r\n")]),
            ("no empty line", "A: b\r\nC: d", vec![("A", " b", "A: b\r\n"), ("C", " d", "C: d")]),
            ("a continuation first", " x: y\r\nA: b\r\n\r\n", vec![("A", " b", "A: b\r\n")]),
            ("a line that is no field", "A: b\r\nnot a field\r\nC: d\r\n\r\n", {
                vec![("A", " b", "A: b\r\n"), ("C", " d", "C: d\r\n")]
            }),
            ("an mbox line", "From a@b Mon Jan 1\r\nA: b\r\n\r\n", vec![("A", " b", "A: b\r\n")]),
            ("a colon in a sentence", "see here: b\r\n\r\n", vec![]),
            ("an empty name", ": b\r\n\r\n", vec![]),
            ("no header", "\r\nA: b\r\n", vec![]),
            ("nothing", "", vec![]),
            ("a folded line of white space within", "A: b\r\n \r\n c\r\n\r\n", {
                vec![("A", " b\r\n \r\n c", "A: b\r\n \r\n c\r\n")]
            }),
            ("a line of white space at the end", "A: b\r\n \r\nC: d\r\n", {
                vec![("A", " b", "A: b\r\n"), ("C", " d", "C: d\r\n")]
            }),
        ] {
            assert_eq!(shown(raw), expected, "{case}");
        }
    }

    #[test]
    fn the_body_begins_behind_the_empty_line() {
        for (case, raw, end) in [
            ("CRLF", "A: b\r\n\r\nbody", 8),
            ("LF", "A: b\n\nbody", 6),
            ("an empty header", "\r\nbody", 2),
            ("no empty line", "A: b\r\nC: d\r\n", 12),
            ("no header at all", "Hello,\r\n\r\nworld\r\n", 0),
            ("a continuation first", " b\r\nC: d\r\n\r\nbody", 12),
            ("only continuations", " b\r\n\r\nbody", 0),
            ("a line that is no field", "A: b\r\nhello world\r\n\r\nbody", 21),
            ("nothing", "", 0),
        ] {
            assert_eq!(header_end(raw.as_bytes()), end, "{case}");
        }
    }

    #[test]
    fn bodies_are_unfolded_and_in_order() {
        let raw = b"to:  a,\r\n\tb \r\nX: \xff\r\nTO:c\r\nTo :\r\n\r\nTo: body\r\n";
        assert_eq!(field_bodies(raw, "To"), ["a,\tb", "c", ""]);
        assert_eq!(field_bodies(raw, "x"), ["\u{fffd}"]);
        assert_eq!(field_bodies(raw, "Tox"), Vec::<String>::new());
    }

    #[test]
    fn removing_fields_leaves_every_other_octet() {
        for (case, raw, left) in [
            ("in the middle", "A: b\r\nX-T: c\r\nD: e\r\n\r\nbody", "A: b\r\nD: e\r\n\r\nbody"),
            ("first, folded", "x-t: c\r\n d\r\nD: e\r\n\r\nbody", "D: e\r\n\r\nbody"),
            ("twice, and odd", "X-T: c\r\nA: b\r\nX-t :\tc\r\n\r\nbody", "A: b\r\n\r\nbody"),
            ("the only one", "X-T: c\r\n\r\nbody", "\r\nbody"),
            ("without an end", "A: b\r\nX-T: c", "A: b\r\n"),
            (
                "behind a line that is no field",
                "A: b\r\nodd line\r\nX-T: c\r\n\r\n",
                "A: b\r\nodd line\r\n\r\n",
            ),
            ("a longer name", "X-Tt: c\r\nX-: d\r\n\r\n", "X-Tt: c\r\nX-: d\r\n\r\n"),
            ("in the body only", "A: b\r\n\r\nX-T: c\r\n", "A: b\r\n\r\nX-T: c\r\n"),
            ("before a line of white space", "A: b\r\nX-T: c\r\n \r\nbody\r\n", "A: b\r\n \r\nbody\r\n"),
        ] {
            let result = remove_fields(raw.as_bytes(), &["X-T", "X-Other"]);
            assert_eq!(String::from_utf8_lossy(&result), left, "{case}");
            assert_eq!(matches!(result, Cow::Borrowed(_)), raw == left, "{case}");
        }
    }
}
