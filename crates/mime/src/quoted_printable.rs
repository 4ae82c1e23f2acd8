mod splicing;

use std::ops::Range;

use memchr::{memchr_iter, memchr2};

use crate::DecodeError;
use crate::line::trim_blanks_end;
use crate::position_map::PositionMap;

pub(crate) use splicing::splice;

/// A stretch of quoted-printable text (RFC 2045 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// Octets that stand for themselves, line ends among them.
    Text,
    /// `=3D`: one octet.
    Octet(u8),
    /// An equals sign that stands for itself, against the grammar.
    StrayEquals,
    /// An equals sign at the end of a line, with its padding and the line end: nothing.
    SoftBreak,
    /// Blanks at the end of a line, added in transport: nothing.
    Padding,
}

impl Piece {
    /// How many octets it decodes to.
    fn octets(self, span: &Range<usize>) -> usize {
        match self {
            Self::Text => span.len(),
            Self::Octet(_) | Self::StrayEquals => 1,
            Self::SoftBreak | Self::Padding => 0,
        }
    }
}

/// Cuts the text into pieces. Can begin at any piece.
struct Pieces<'a> {
    encoded: &'a [u8],
    at: usize,
}

impl Iterator for Pieces<'_> {
    type Item = (Piece, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let (rest, at) = (&self.encoded[self.at..], self.at);
        let (piece, length) = match rest {
            [] => return None,
            [b'=', high, low, ..] if let Some(octet) = hex_octet(*high, *low) => (Piece::Octet(octet), 3),
            [b'=', behind @ ..] => match soft_break(behind) {
                Some(length) => (Piece::SoftBreak, 1 + length),
                None => (Piece::StrayEquals, 1),
            },
            _ => text_or_padding(rest),
        };
        self.at += length;
        Some((piece, at..self.at))
    }
}

/// How far the rest of a soft break reaches behind its equals sign: a missing line end counts at the end of the text,
/// where the one before a delimiter belongs to the delimiter.
fn soft_break(behind: &[u8]) -> Option<usize> {
    let blanks = behind.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    match &behind[blanks..] {
        [] => Some(blanks),
        [b'\n', ..] => Some(blanks + 1),
        [b'\r', b'\n', ..] => Some(blanks + 2),
        _ => None,
    }
}

fn text_or_padding(rest: &[u8]) -> (Piece, usize) {
    let (line, end) = match memchr2(b'=', b'\n', rest) {
        Some(stop) if rest[stop] == b'=' => return (Piece::Text, stop),
        Some(lf) => (rest[..lf].strip_suffix(b"\r").unwrap_or(&rest[..lf]), lf + 1),
        None => (rest, rest.len()),
    };
    match trim_blanks_end(line).len() {
        kept if kept == line.len() => (Piece::Text, end),
        0 => (Piece::Padding, line.len()),
        kept => (Piece::Text, kept),
    }
}

/// The octet that two hex digits stand for. Lower-case ones are against the grammar, and read by everybody.
pub(crate) fn hex_octet(high: u8, low: u8) -> Option<u8> {
    let (high, low) = (HEX_VALUES[usize::from(high)], HEX_VALUES[usize::from(low)]);
    // 16 stands for what is no digit.
    ((high | low) < 16).then_some(high << 4 | low)
}

const HEX_VALUES: [u8; 256] = {
    let mut values = [16; 256];
    let (mut digit, mut value) = (0, 0);
    while digit < 16 {
        values[b"0123456789ABCDEF"[digit] as usize] = value;
        values[b"0123456789abcdef"[digit] as usize] = value;
        (digit, value) = (digit + 1, value + 1);
    }
    values
};

pub(crate) fn decode(encoded: &[u8]) -> Result<(Vec<u8>, PositionMap), DecodeError> {
    if has_padding(encoded) { decode_pieces(encoded) } else { decode_unpadded(encoded) }
}

/// Does a blank stand at the end of any line?
fn has_padding(encoded: &[u8]) -> bool {
    let padded = |end: usize| matches!(encoded[..end].last(), Some(b' ' | b'\t'));
    memchr_iter(b'\n', encoded).any(|lf| padded(lf - usize::from(encoded[..lf].ends_with(b"\r"))))
        || padded(encoded.len())
}

fn decode_pieces(encoded: &[u8]) -> Result<(Vec<u8>, PositionMap), DecodeError> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut map = PositionMap::default();
    for (piece, span) in (Pieces { encoded, at: 0 }) {
        let end = span.end;
        match piece {
            Piece::Text => octets.extend_from_slice(&encoded[span]),
            Piece::Octet(octet) => octets.push(octet),
            Piece::StrayEquals => octets.push(stray_equals(encoded, span.start)?),
            Piece::SoftBreak | Piece::Padding => continue,
        }
        map.note(octets.len(), end);
    }
    Ok((octets, map))
}

/// The same where nothing is special but the equals sign, as in nearly all mail: this runs twice over each changed part.
fn decode_unpadded(encoded: &[u8]) -> Result<(Vec<u8>, PositionMap), DecodeError> {
    let mut octets = vec![0; encoded.len() + SHORT];
    let mut map = PositionMap::default();
    let (mut at, mut end) = (0, 0);
    for (block, start) in encoded.chunks(64).zip((0..).step_by(64)) {
        let mut signs = equals_signs(block);
        while signs != 0 {
            let sign = start + signs.trailing_zeros() as usize;
            signs &= signs - 1;
            if sign > at {
                end = copy_text(&mut octets, end, &encoded[at..], sign - at);
                map.note(end, sign);
            }
            let behind = &encoded[sign + 1..];
            if let [high, low, ..] = behind
                && let Some(octet) = hex_octet(*high, *low)
            {
                octets[end] = octet;
                (at, end) = (sign + 3, end + 1);
            } else if let Some(length) = soft_break(behind) {
                // Noted before it: what is written at the end goes before a last soft break.
                map.note(end, sign);
                at = sign + 1 + length;
            } else {
                octets[end] = stray_equals(encoded, sign)?;
                (at, end) = (sign + 1, end + 1);
            }
        }
    }
    end = copy_text(&mut octets, end, &encoded[at..], encoded.len() - at);
    octets.truncate(end);
    Ok((octets, map))
}

const SHORT: usize = 16;

/// Copies `length` octets of `text` to `at`. Most texts between two equals signs are short, and a copy of constant length
/// is no call; what it copies too many is written over later.
fn copy_text(octets: &mut [u8], at: usize, text: &[u8], length: usize) -> usize {
    match (octets[at..].first_chunk_mut::<SHORT>(), text.first_chunk::<SHORT>()) {
        (Some(place), Some(short)) if length <= SHORT => *place = *short,
        _ => octets[at..at + length].copy_from_slice(&text[..length]),
    }
    at + length
}

/// Where the equals signs stand in a block of up to 64 octets: a bit for each, the lowest for the first.
fn equals_signs(block: &[u8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = block.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain(std::iter::once(&last)).zip((0..).step_by(8));
    words.fold(0, |signs, (word, bit)| {
        let differing = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'='));
        // The highest bit of each octet that is zero, moved to its lowest; then these eight side by side.
        let low_bits = (differing & (ONES * 0x7f)) + ONES * 0x7f;
        let equal = !(low_bits | differing) >> 7 & ONES;
        signs | equal.wrapping_mul(0x0102_0408_1020_4080) >> 56 << bit
    })
}

/// An equals sign for itself, unless what follows is another: some programs pass over the two octets behind a stray
/// one, others look at them again.
fn stray_equals(encoded: &[u8], at: usize) -> Result<u8, DecodeError> {
    let read_twice = encoded[at + 1..].iter().take(2).any(|&octet| octet == b'=');
    if read_twice { Err(DecodeError::NotQuotedPrintable { at }) } else { Ok(b'=') }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_ways_to_decode_are_the_same(encoded in "([!-~]{0,20} ?|=|=3[dD]|\r|\n|\r\n|=\r\n|==){0,30}") {
            let encoded = encoded.as_bytes();
            if has_padding(encoded) {
                return Ok(());
            }
            let (plainly, pieces) = (decode_unpadded(encoded), decode_pieces(encoded));
            prop_assert_eq!(plainly.clone().map(|(octets, _)| octets), pieces.map(|(octets, _)| octets));
            if let Ok((octets, map)) = plainly {
                let (decoded, at) = map.before(octets.len());
                let (rest, _) = decode_pieces(&encoded[at..])?;
                prop_assert_eq!(&octets[decoded..], rest);
            }
        }
    }

    #[test]
    fn padding_is_blanks_at_line_ends() {
        for (encoded, padded) in [
            ("a b\r\nc", false),
            ("a \r\n", true),
            ("a\t\nb", true),
            ("a= \r\nb", true),
            ("a ", true),
            ("", false),
            ("\r\n", false),
            (" \r", false),
        ] {
            assert_eq!(has_padding(encoded.as_bytes()), padded, "{encoded:?}");
        }
    }

    fn text_of(encoded: &str) -> String {
        String::from_utf8_lossy(&decode(encoded.as_bytes()).unwrap().0).into_owned()
    }

    #[test]
    fn text_is_decoded() {
        for (case, encoded, text) in [
            ("plain", "a b\r\nc", "a b\r\nc"),
            ("octets", "a=3Db=3d=C3=bc", "a=b=ü"),
            ("soft break", "a=\r\nb=\nc", "abc"),
            ("soft break with padding", "a= \t\r\nb", "ab"),
            ("soft break at the end", "a=\r\n", "a"),
            ("soft break before the delimiter's line end", "a=", "a"),
            ("the same with padding", "a= ", "a"),
            ("padding", "a \t\r\nb  \nc\t", "a\r\nb\nc"),
            ("only padding on a line", "a\r\n \r\nb", "a\r\n\r\nb"),
            ("padding behind a soft break", "a=\r\n  \r\nb", "a\r\nb"),
            ("a blank before a soft break", "a =\r\nb", "a b"),
            ("an encoded blank", "a=20\r\nb", "a \r\nb"),
            ("padding behind an octet", "a=20 \r\nb", "a \r\nb"),
            ("stray equals", "a=zz b=4\r\nc=G", "a=zz b=4\r\nc=G"),
            ("nothing", "", ""),
        ] {
            assert_eq!(text_of(encoded), text, "{case}");
        }
        for (encoded, at) in [("==41", 0), ("a=x=41", 1), ("= =\r\n", 0)] {
            assert_eq!(decode(encoded.as_bytes()), Err(DecodeError::NotQuotedPrintable { at }), "{encoded}");
        }
    }
}
