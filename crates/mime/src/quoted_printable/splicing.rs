use std::ops::Range;

use memchr::memrchr;

use super::{Piece, Pieces, hex_octet};
use crate::Decoded;
use crate::line::{LineCursor, line_end_of};
use crate::splice::Change;

/// Writes the encoded text with the changes in it behind `out`. The octets of all other lines stay, and of these lines all that the change
/// does not touch; soft breaks are added so that no line passes 76 octets that had not.
pub(crate) fn splice(out: &mut Vec<u8>, encoded: &[u8], decoded: &Decoded, changes: &[Change<'_>]) {
    let spans: Vec<Range<usize>> =
        changes.iter().map(|change| encoded_span(encoded, decoded, &change.range)).collect();
    let mut writer = Writer::behind(out, line_end_of(encoded));
    let mut lines = LineCursor::new(encoded);
    let mut copied = 0;
    for (at, (change, span)) in changes.iter().zip(&spans).enumerate() {
        writer.copy(&encoded[copied..span.start]);
        writer.write(change.replacement);
        copied = span.end;
        let rest = lines.rest(copied);
        let next = spans.get(at + 1).map(|next| next.start).filter(|&next| next <= rest.end);
        match next {
            _ if rest.is_empty() => writer.protect_blank(),
            // The next change writes behind it, or a soft break.
            Some(next) => writer.make_room(next - copied, MAX_TEXT_OCTETS),
            None => writer.make_room(rest.len(), MAX_LINE_OCTETS),
        }
    }
    writer.copy(&encoded[copied..]);
}

/// Where decoded octets stand, from the first to behind the last; for an insertion, the place to write at.
fn encoded_span(encoded: &[u8], decoded: &Decoded, range: &Range<usize>) -> Range<usize> {
    let start = place_before(encoded, decoded, range.start);
    match range.end.checked_sub(1) {
        Some(last) if !range.is_empty() => start..end_of(encoded, decoded, last),
        _ => start..start,
    }
}

/// Where something can be written before an octet, or behind the last.
///
/// Behind soft breaks, since there is most room; before padding, which would become text; before a
/// soft break that ends the text, so that it still does.
fn place_before(encoded: &[u8], decoded: &Decoded, octet: usize) -> usize {
    let (mut octets, mut place) = decoded.map.before(octet);
    for (piece, span) in (Pieces { encoded, at: place }) {
        let length = piece.octets(&span);
        if octet < octets + length {
            return if octet == octets { place } else { span.start + (octet - octets) };
        }
        if length > 0 || (piece == Piece::SoftBreak && octets < decoded.octets.len()) {
            place = span.end;
        }
        octets += length;
    }
    place
}

/// Behind an octet.
fn end_of(encoded: &[u8], decoded: &Decoded, octet: usize) -> usize {
    let (mut octets, at) = decoded.map.before(octet);
    for (piece, span) in (Pieces { encoded, at }) {
        let length = piece.octets(&span);
        if octet < octets + length {
            return if piece == Piece::Text { span.start + (octet - octets) + 1 } else { span.end };
        }
        octets += length;
    }
    encoded.len()
}

/// RFC 2045 §6.7 (5): the equals sign of a soft break counts.
const MAX_LINE_OCTETS: usize = 76;
const MAX_TEXT_OCTETS: usize = MAX_LINE_OCTETS - 1;

/// Writes quoted-printable text, its columns those of what was written.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    line_start: usize,
    line_end: &'static [u8],
}

impl<'o> Writer<'o> {
    fn behind(out: &'o mut Vec<u8>, line_end: &'static [u8]) -> Self {
        Self { line_start: out.len(), out, line_end }
    }

    fn column(&self) -> usize {
        self.out.len() - self.line_start
    }

    /// Text that is encoded already.
    fn copy(&mut self, encoded: &[u8]) {
        if let Some(lf) = memrchr(b'\n', encoded) {
            self.line_start = self.out.len() + lf + 1;
        }
        self.out.extend_from_slice(encoded);
    }

    fn write(&mut self, text: &[u8]) {
        let mut rest = text;
        while let [octet, after @ ..] = rest {
            if let Some(after) = rest.strip_prefix(self.line_end) {
                self.protect_blank();
                self.copy(self.line_end);
                rest = after;
                continue;
            }
            let room = MAX_TEXT_OCTETS.saturating_sub(self.column()).min(rest.len());
            let run = rest[..room].iter().take_while(|&&octet| stands_for_itself(octet)).count();
            if run > 0 && self.column() > 0 {
                self.out.extend_from_slice(&rest[..run]);
                rest = &rest[run..];
            } else {
                self.octet(*octet);
                rest = after;
            }
        }
    }

    fn octet(&mut self, octet: u8) {
        let literal = stands_for_itself(octet);
        self.make_room(if literal { 1 } else { 3 }, MAX_TEXT_OCTETS);
        // At the beginning of a line a hyphen might become a delimiter's, and a dot is a burden to SMTP.
        if literal && !(self.column() == 0 && matches!(octet, b'-' | b'.')) {
            self.out.push(octet);
        } else {
            self.out.extend_from_slice(&escaped(octet));
        }
    }

    /// Adds a soft break unless so many octets still fit on the line.
    fn make_room(&mut self, octets: usize, limit: usize) {
        if self.column() > 0 && self.column() + octets > limit {
            self.soft_break();
        }
    }

    fn soft_break(&mut self) {
        // On a full line the equals sign has no room behind the last octet.
        let carried = if self.column() > MAX_TEXT_OCTETS { self.last_octet() } else { self.out.len() };
        let carried = self.out.split_off(carried);
        self.out.push(b'=');
        self.out.extend_from_slice(self.line_end);
        self.line_start = self.out.len();
        self.out.extend_from_slice(&carried);
    }

    /// Where the last octet of the line stands: one or three octets long.
    fn last_octet(&self) -> usize {
        match self.out[self.line_start..] {
            [.., b'=', high, low] if hex_octet(high, low).is_some() => self.out.len() - 3,
            _ => self.out.len() - 1,
        }
    }

    /// A blank that a line end follows would be taken for padding (RFC 2045 §6.7 (3)).
    fn protect_blank(&mut self) {
        if self.column() > 0
            && let Some(&blank @ (b' ' | b'\t')) = self.out.last()
        {
            self.out.pop();
            self.make_room(3, MAX_LINE_OCTETS);
            self.out.extend_from_slice(&escaped(blank));
        }
    }
}

/// RFC 2045 §6.7 (2) and (3).
fn stands_for_itself(octet: u8) -> bool {
    matches!(octet, b' '..=b'~' | b'\t') && octet != b'='
}

fn escaped(octet: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [b'=', DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use crate::{Edit, TransferEncoding};

    fn spliced(encoded: &str, edits: &[(Range<usize>, &str)]) -> String {
        let decoded = crate::decode(encoded.as_bytes(), TransferEncoding::QuotedPrintable).unwrap();
        let edits: Vec<Edit<'_>> = edits
            .iter()
            .map(|(range, replacement)| Edit { range: range.clone(), replacement: replacement.as_bytes() })
            .collect();
        String::from_utf8(crate::splice(encoded.as_bytes(), &decoded, &edits).unwrap()).unwrap()
    }

    #[test]
    fn changes_are_written_where_the_octets_stand() {
        for (case, encoded, edits, expected) in [
            ("a replacement", "a=3Dbc d", vec![(2..3, "x")], "a=3Dxc d"),
            ("lower case stays", "=c3=bc b=3dc", vec![(5..6, "x")], "=c3=bc b=3dx"),
            ("an octet that needs encoding", "ab", vec![(1..1, "=é")], "a=3D=C3=A9b"),
            ("over a soft break", "abc=\r\ndef", vec![(2..4, "x")], "abxef"),
            ("behind a soft break", "abc=\r\ndef", vec![(3..3, "x")], "abc=\r\nxdef"),
            ("before padding", "abc  \r\nd", vec![(3..3, "x")], "abcx  \r\nd"),
            ("the line end with its padding", "abc  \r\nd", vec![(3..5, "x")], "abcxd"),
            ("before a last soft break", "abc=", vec![(3..3, "x")], "abcx="),
            ("before a last soft break with line end", "abc=\r\n", vec![(3..3, "x")], "abcx=\r\n"),
            ("at the end, no line end", "abc", vec![(3..3, "x")], "abcx"),
            ("into padding only", "  ", vec![(0..0, "x")], "x  "),
            ("a blank comes to the end", "abc d\r\n", vec![(4..5, "")], "abc=20\r\n"),
            ("a blank comes to the end of all", "abc d", vec![(4..5, "")], "abc=20"),
            ("a tab is put before the line end", "abc\r\n", vec![(3..3, "\t")], "abc=09\r\n"),
            ("a blank before a written line end", "a\r\nb", vec![(1..1, "x \r\ny")], "ax=20\r\ny\r\nb"),
            ("a blank before a soft break needs nothing", "abc=\r\nd", vec![(2..3, " ")], "ab =\r\nd"),
            ("line ends of the text", "a\nb", vec![(1..1, "\r\n")], "a=0D\n\nb"),
            ("a lone LF among CRLF", "a\r\nb", vec![(0..0, "\n")], "=0Aa\r\nb"),
            ("two at one place", "ab", vec![(1..1, "x"), (1..1, "y")], "axyb"),
            ("neighbours", "abcd", vec![(1..2, "x"), (2..3, "y")], "axyd"),
            ("a hyphen and a dot at line start", "\r\n", vec![(0..0, "-"), (2..2, ".-")], "=2D\r\n=2E-"),
            ("what stays the same is not written anew", "=41=42 ", vec![(0..2, "AB")], "=41=42 "),
        ] {
            assert_eq!(spliced(encoded, &edits), expected, "{case}");
        }
    }

    #[test]
    fn lines_stay_within_76_octets() {
        let full = "x".repeat(75);
        for (case, encoded, edits) in [
            ("long insertion", "abc def".to_owned(), vec![(3..3, "u".repeat(400))]),
            ("at a soft break", format!("{full}=\r\nb"), vec![(75..75, "u".into())]),
            ("into a full line", format!("{full}=\r\nb"), vec![(40..40, "u".into())]),
            ("at the end of a line of 76", format!("{full}x\r\nb"), vec![(76..76, "u".into())]),
            ("the same, encoded last octet", format!("{}=3D\r\nb", &full[2..]), vec![(74..74, "u".into())]),
            ("two on a line", "a".repeat(76), vec![(20..20, "u".repeat(30)), (50..50, "u".repeat(60))]),
            ("two, the second at the end", "a".repeat(76), vec![(20..20, "u".into()), (76..76, "u".into())]),
            ("a blank to protect", format!("{full}b"), vec![(75..76, " ".into())]),
            ("lines joined", format!("{full}\r\n{full}"), vec![(75..77, String::new())]),
            ("encoded octets", "ab".to_owned(), vec![(1..1, "é".repeat(100))]),
        ] {
            let edits: Vec<_> = edits.iter().map(|(range, text)| (range.clone(), text.as_str())).collect();
            let result = spliced(&encoded, &edits);
            assert!(result.lines().all(|line| line.len() <= 76), "{case}: {result}");
        }
    }
}
