use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use memchr::{memchr3, memrchr};

use crate::line::{Line, LineCursor, line_at, line_end_of};
use crate::receiver::Receiver;
use crate::splice::Change;
use crate::{DecodeError, Decoded};

/// Bits that the last group does not need are passed over: programs that leave them set are old and many.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// RFC 2045 §6.8.
const MAX_LINE_OCTETS: usize = 76;

/// Refuses whatever programs read differently: octets outside the alphabet other than white space, text behind the
/// padding, a last group that is not whole.
pub(crate) fn decode_to(out: &mut impl Receiver, encoded: &[u8]) -> Result<(), DecodeError> {
    let mut decoder = Decoder { out, octets: Vec::new(), waiting: Vec::new(), padded: false };
    for line in lines(encoded) {
        let (start, text) = (line.start, &encoded[line]);
        // A line may be as long as the text.
        for (at, text) in text.chunks(512).enumerate() {
            if decoder.waiting.len().is_multiple_of(4) {
                decoder.out.place(decoder.waiting.len() / 4 * 3, start + at * 512);
            }
            if memchr3(b' ', b'\t', b'\r', text).is_some() {
                for word in text.split(is_blank) {
                    decoder.push(word)?;
                }
            } else {
                decoder.push(text)?;
            }
        }
    }
    decoder.decode_groups()?;
    if decoder.waiting.is_empty() { Ok(()) } else { Err(DecodeError::NotBase64) }
}

/// The lines, without white space at their ends.
fn lines(encoded: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == encoded.len() {
            return None;
        }
        let Line { content, end } = line_at(encoded, at);
        at = end;
        Some(trimmed(encoded, content))
    })
}

fn trimmed(encoded: &[u8], line: Range<usize>) -> Range<usize> {
    let text = &encoded[line.clone()];
    let start = text.iter().take_while(|octet| is_blank(octet)).count();
    let behind = text[start..].iter().rev().take_while(|octet| is_blank(octet)).count();
    line.start + start..line.end - behind
}

/// A form feed is none, to some programs.
fn is_blank(octet: &u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r')
}

struct Decoder<'o, R> {
    out: &'o mut R,
    /// Room for what is decoded at a time.
    octets: Vec<u8>,
    /// Characters that were not decoded yet; a few thousand are decoded at a time.
    waiting: Vec<u8>,
    padded: bool,
}

impl<R: Receiver> Decoder<'_, R> {
    fn push(&mut self, characters: &[u8]) -> Result<(), DecodeError> {
        if self.padded && !characters.is_empty() {
            return Err(DecodeError::NotBase64);
        }
        self.waiting.extend_from_slice(characters);
        if self.waiting.len() >= 4096 { self.decode_groups() } else { Ok(()) }
    }

    fn decode_groups(&mut self) -> Result<(), DecodeError> {
        let whole = self.waiting.len() / 4 * 4;
        self.octets.clear();
        BASE64.decode_vec(&self.waiting[..whole], &mut self.octets).map_err(|_| DecodeError::NotBase64)?;
        if self.padded && whole > 0 {
            return Err(DecodeError::NotBase64);
        }
        self.out.take(&self.octets);
        self.padded = self.octets.len() < whole / 4 * 3;
        self.waiting.drain(..whole);
        Ok(())
    }
}

/// Writes the changes into the encoded text.
///
/// Only the groups from a change to the next place where old and new groups begin with the same octet are written anew,
/// in lines as wide as the part's own. There is such a place right behind changes of the length by multiples
/// of three; behind others everything up to the end is written anew.
pub(crate) fn splice(out: &mut Vec<u8>, encoded: &[u8], decoded: &Decoded, changes: &[Change<'_>]) {
    let octets = decoded.octets.as_slice();
    let mut writer = Writer::behind(out, encoded);
    let mut lines = LineCursor::new(encoded);
    let mut copied = 0;
    let mut changes = changes.iter().peekable();
    while let Some(change) = changes.next() {
        let first_group = change.range.start / 3 * 3;
        // A line end that was left out before may stand behind the place.
        let start = group_start(encoded, decoded, first_group).max(copied);
        writer.copy(&encoded[copied..start]);
        writer.write(&octets[first_group..change.range.start]);
        writer.write(change.replacement);
        let mut read = change.range.end;
        copied = loop {
            let next_group = read.next_multiple_of(3);
            let next_change = changes.peek().map(|change| change.range.clone());
            let in_step = (writer.group.len() + next_group - read).is_multiple_of(3);
            let undisturbed = next_change.as_ref().is_none_or(|range| range.start >= next_group);
            if in_step && undisturbed && next_group <= octets.len() {
                writer.write(&octets[read..next_group]);
                break if next_group == first_group {
                    start
                } else {
                    group_end(encoded, decoded, next_group - 3)
                };
            }
            if let (Some(range), Some(change)) = (next_change, changes.next()) {
                writer.write(&octets[read..range.start]);
                writer.write(change.replacement);
                read = range.end;
            } else {
                writer.write(&octets[read..]);
                writer.end();
                break encoded.trim_ascii_end().len();
            }
        };
        copied = writer.join(copied, &mut lines);
    }
    writer.copy(&encoded[copied..]);
}

/// Where the group begins whose first octet is `decoded_at`, a multiple of three; behind the last group if there is none.
fn group_start(encoded: &[u8], decoded: &Decoded, decoded_at: usize) -> usize {
    character(encoded, decoded, decoded_at, 0).unwrap_or(encoded.trim_ascii_end().len())
}

/// Where the group ends whose first octet is `decoded_at`, a multiple of three.
fn group_end(encoded: &[u8], decoded: &Decoded, decoded_at: usize) -> usize {
    character(encoded, decoded, decoded_at, 3).map_or(encoded.trim_ascii_end().len(), |at| at + 1)
}

/// Where a character of a group stands.
fn character(encoded: &[u8], decoded: &Decoded, decoded_at: usize, in_group: usize) -> Option<usize> {
    let (octets, from) = decoded.map.before(decoded_at);
    let characters = encoded[from..].iter().enumerate().filter(|(_, octet)| !octet.is_ascii_whitespace());
    characters.map(|(at, _)| from + at).nth((decoded_at - octets) / 3 * 4 + in_group)
}

/// Writes base64 in lines.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where the text begins in it.
    start: usize,
    column: usize,
    width: usize,
    line_end: &'static [u8],
    /// The octets of a group that is not whole yet: up to two.
    group: Vec<u8>,
}

impl<'o> Writer<'o> {
    fn behind(out: &'o mut Vec<u8>, encoded: &[u8]) -> Self {
        let mut lines = lines(encoded).map(|line| line.len()).filter(|&length| length > 0);
        let width = match (lines.next(), lines.next()) {
            (Some(first), Some(_)) => first,
            (first, _) => first.unwrap_or_default().max(MAX_LINE_OCTETS),
        };
        Self {
            start: out.len(),
            out,
            column: 0,
            width,
            line_end: line_end_of(encoded),
            group: Vec::with_capacity(3),
        }
    }

    /// Text that is encoded already.
    fn copy(&mut self, encoded: &[u8]) {
        self.column = match memrchr(b'\n', encoded) {
            Some(lf) => encoded.len() - lf - 1,
            None => self.column + encoded.len(),
        };
        self.out.extend_from_slice(encoded);
    }

    fn write(&mut self, octets: &[u8]) {
        let (to_fill, rest) = octets.split_at(octets.len().min((3 - self.group.len()) % 3));
        self.group.extend_from_slice(to_fill);
        if self.group.len() == 3 {
            self.end();
        }
        if rest.is_empty() {
            return;
        }
        let (groups, begun) = rest.split_at(rest.len() / 3 * 3);
        for groups in groups.chunks(768) {
            self.encode(groups);
        }
        self.group.extend_from_slice(begun);
    }

    /// Writes the group that is not whole, padded.
    fn end(&mut self) {
        let group = std::mem::take(&mut self.group);
        self.encode(&group);
    }

    /// At most 768 octets.
    fn encode(&mut self, octets: &[u8]) {
        let mut buffer = [0; 1024];
        // 768 octets are 1,024 characters, so the buffer holds them.
        let length = BASE64.encode_slice(octets, &mut buffer).unwrap_or_default();
        let mut characters = &buffer[..length];
        while !characters.is_empty() {
            if self.column >= self.width {
                self.new_line();
            }
            let (line, rest) = characters.split_at(characters.len().min(self.width - self.column));
            self.out.extend_from_slice(line);
            self.column += line.len();
            characters = rest;
        }
    }

    fn new_line(&mut self) {
        self.out.extend_from_slice(self.line_end);
        self.column = 0;
    }

    fn take_back_line_end(&mut self) {
        let text = &self.out[self.start..];
        let line = text.strip_suffix(b"\n").unwrap_or(text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.column = line.len() - memrchr(b'\n', line).map_or(0, |lf| lf + 1);
        let end = self.start + line.len();
        self.out.truncate(end);
    }

    /// Prepares for copying on from `at`, where old groups go on; says from where to copy.
    fn join(&mut self, at: usize, lines: &mut LineCursor<'_>) -> usize {
        let rest = lines.rest(at);
        // An empty line would end the part for some programs.
        if rest.is_empty() && self.column == 0 {
            if self.out.len() == self.start {
                return lines.line(at).end.max(at);
            }
            self.take_back_line_end();
        }
        if !rest.is_empty() && self.column > 0 && self.column + rest.len() > self.width {
            self.new_line();
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edit, TransferEncoding};

    fn decoded(encoded: &str) -> Result<Vec<u8>, DecodeError> {
        crate::decode(encoded.as_bytes(), TransferEncoding::Base64).map(|decoded| decoded.octets)
    }

    #[test]
    fn text_is_decoded() {
        for (case, encoded, text) in [
            ("one line", "aGVsbG8=", "hello"),
            ("odd widths", "aGVs\r\nb\r\nG8=\r\n", "hello"),
            ("padding of lines", "aGVs \t\r\n bG8=  ", "hello"),
            ("white space within", "aG Vsb\tG8=", "hello"),
            ("empty lines", "\r\naGVs\r\n\r\nbG8=\r\n\r\n", "hello"),
            ("bits left over", "aGVsbG9=", "hello"),
            ("two padding characters", "aGVsbA==", "hell"),
            ("nothing", "", ""),
            ("only line ends", "\r\n\r\n", ""),
        ] {
            let octets = decoded(encoded).unwrap();
            assert_eq!(String::from_utf8_lossy(&octets), text, "{case}");
        }
        for (case, encoded) in [
            ("padding missing", "aGVsbG8"),
            ("padding in the middle", "aGVsbG8=aGVs"),
            ("the same, another line", "aGVsbA==\r\naGVs\r\n"),
            ("text behind", "aGVsbG8=\r\n-- \r\nlist\r\n"),
            ("an odd octet", "aGVs*G8="),
            ("a form feed", "aG Vs\u{c}bG8="),
            ("a form feed at a line's end", "aGVs\u{c}\r\nbG8="),
            ("padding alone", "===="),
            ("url-safe", "aGV-bG8="),
        ] {
            assert_eq!(decoded(encoded), Err(DecodeError::NotBase64), "{case}");
        }
        let long = format!("{}={}", "A".repeat(4095), "AAAA");
        assert_eq!(decoded(&long), Err(DecodeError::NotBase64), "padding at the end of a block");
    }

    fn spliced(encoded: &str, edits: &[(Range<usize>, &str)]) -> String {
        let decoded = crate::decode(encoded.as_bytes(), TransferEncoding::Base64).unwrap();
        let edits: Vec<Edit<'_>> = edits
            .iter()
            .map(|(range, replacement)| Edit { range: range.clone(), replacement: replacement.as_bytes() })
            .collect();
        String::from_utf8(crate::splice(encoded.as_bytes(), &decoded, &edits).unwrap()).unwrap()
    }

    #[test]
    fn only_the_groups_of_a_change_are_written() {
        // "abcdefghijklmnop", eight characters on a line.
        let encoded = "YWJjZGVm\r\nZ2hpamts\r\nbW5vcA==\r\n";
        for (case, edits, expected) in [
            ("same length", vec![(3..6, "DEF")], "YWJjREVG\r\nZ2hpamts\r\nbW5vcA==\r\n"),
            ("three more, from the middle of a group", vec![(4..5, "EEEE")], {
                "YWJjZEVF\r\nRUVm\r\nZ2hpamts\r\nbW5vcA==\r\n"
            }),
            ("three less", vec![(4..7, "")], "YWJjZGhp\r\namts\r\nbW5vcA==\r\n"),
            ("a whole line less", vec![(6..12, "")], "YWJjZGVm\r\nbW5vcA==\r\n"),
            ("one more: all behind it", vec![(12..12, "X")], "YWJjZGVm\r\nZ2hpamts\r\nWG1ub3A=\r\n"),
            ("one more, one less", vec![(0..0, "X"), (8..9, "")], "WGFiY2Rl\r\nZmdoamts\r\nbW5vcA==\r\n"),
            ("at the beginning", vec![(0..0, "XYZ")], "WFla\r\nYWJjZGVm\r\nZ2hpamts\r\nbW5vcA==\r\n"),
            ("at the end", vec![(16..16, "XY")], "YWJjZGVm\r\nZ2hpamts\r\nbW5vcFhZ\r\n"),
            ("nothing left", vec![(0..16, "")], ""),
            ("two in one group", vec![(0..1, "A"), (2..3, "C")], "QWJDZGVm\r\nZ2hpamts\r\nbW5vcA==\r\n"),
            ("two groups", vec![(0..1, "A"), (3..4, "D")], "QWJjRGVm\r\nZ2hpamts\r\nbW5vcA==\r\n"),
        ] {
            assert_eq!(spliced(encoded, &edits), expected, "{case}");
        }
    }

    #[test]
    fn no_line_is_left_empty() {
        // "abcdefghijkl"
        let encoded = "YWJjZGVm\r\nZ2hpamts\r\n";
        for (case, edits, expected) in [
            ("the last line goes", vec![(6..12, "")], "YWJjZGVm\r\n"),
            ("and something comes", vec![(6..12, ""), (12..12, "XYZ")], "YWJjZGVm\r\nWFla\r\n"),
            ("the first line goes", vec![(0..6, "")], "Z2hpamts\r\n"),
            ("all goes", vec![(0..12, "")], ""),
            ("and something comes for all", vec![(0..12, ""), (12..12, "XYZ")], "WFla"),
        ] {
            assert_eq!(spliced(encoded, &edits), expected, "{case}");
        }
    }

    #[test]
    fn lines_keep_the_width_of_the_part() {
        let octets = vec![b'x'; 200];
        for (width, widest) in [(60, 60), (75, 75), (76, 76), (10, 10), (1000, 268)] {
            let one_line = BASE64.encode(&octets);
            let lines: Vec<&str> =
                one_line.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let result = spliced(&lines.join("\n"), &[(100..101, "abcdefghijklmnopqrstuvwxyz")]);
            assert_eq!(result.lines().map(str::len).max(), Some(widest), "{width}: {result}");
        }
        assert_eq!(
            spliced("aGVsbG8=", &[(5..5, " world ".repeat(20).as_str())]).lines().next().unwrap().len(),
            76
        );
    }
}
