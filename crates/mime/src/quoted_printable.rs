mod splicing;

use std::ops::Range;

use memchr::memchr2;

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

/// Decodes what [`Pieces`] would, in words of eight octets: this runs twice over every changed part.
pub(crate) fn decode(encoded: &[u8]) -> Result<(Vec<u8>, PositionMap), DecodeError> {
    let mut map = PositionMap::default();
    // A whole word is written each time, of which only the octets before an equals sign or line end count.
    let mut octets = vec![0; encoded.len() + 8];
    let (mut at, mut end) = (0, 0);
    // Where the text that stands for itself began: padding is looked for up to there.
    let mut text_start = 0;
    loop {
        while let Some(word) = encoded[at..].first_chunk::<8>() {
            octets[end..end + 8].copy_from_slice(word);
            let plain = octets_before_equals_or_lf(*word);
            (at, end) = (at + plain, end + plain);
            if plain < 8 {
                break;
            }
        }
        match &encoded[at..] {
            [b'=', high, low, ..] if let Some(octet) = hex_octet(*high, *low) => {
                octets[end] = octet;
                (at, end) = (at + 3, end + 1);
                map.note(end, at);
            }
            [b'=', behind @ ..] => match soft_break(behind) {
                Some(length) => at += 1 + length,
                // Some programs pass over the two octets behind a stray equals sign, others look at them again.
                None if behind.iter().take(2).any(|&octet| octet == b'=') => {
                    return Err(DecodeError::NotQuotedPrintable { at });
                }
                None => {
                    octets[end] = b'=';
                    (at, end) = (at + 1, end + 1);
                }
            },
            [b'\n', ..] => {
                let text = &octets[text_start..end];
                let line_end: &[u8] = if text.ends_with(b"\r") { b"\r\n" } else { b"\n" };
                end = text_start + trim_blanks_end(&text[..text.len() + 1 - line_end.len()]).len();
                octets[end..end + line_end.len()].copy_from_slice(line_end);
                (at, end) = (at + 1, end + line_end.len());
                map.note(end, at);
            }
            [octet, ..] => {
                octets[end] = *octet;
                (at, end) = (at + 1, end + 1);
                continue;
            }
            [] => {
                end = text_start + trim_blanks_end(&octets[text_start..end]).len();
                octets.truncate(end);
                return Ok((octets, map));
            }
        }
        text_start = end;
    }
}

/// How many octets of a word stand before the first equals sign or LF.
fn octets_before_equals_or_lf(word: [u8; 8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_le_bytes(word);
    // The lowest octet that is zero gets its highest bit set; those above it may by mistake.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let found = zeros(word ^ (ONES * u64::from(b'='))) | zeros(word ^ (ONES * u64::from(b'\n')));
    (found.trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plain way, piece by piece.
    fn decoded_by_pieces(encoded: &[u8]) -> Vec<u8> {
        let mut octets = Vec::new();
        for (piece, span) in (Pieces { encoded, at: 0 }) {
            match piece {
                Piece::Text => octets.extend_from_slice(&encoded[span]),
                Piece::Octet(octet) => octets.push(octet),
                Piece::StrayEquals => octets.push(b'='),
                Piece::SoftBreak | Piece::Padding => {}
            }
        }
        octets
    }

    proptest! {
        #[test]
        fn words_decode_to_what_pieces_decode_to(encoded in "([ -~]{0,20}|[ \t]{0,2}|=|=3[dD]|\r|\n|\r\n|=\r\n|\u{3d}=){0,30}") {
            if let Ok((octets, map)) = decode(encoded.as_bytes()) {
                prop_assert_eq!(&octets, &decoded_by_pieces(encoded.as_bytes()));
                let (decoded, at) = map.before(octets.len());
                prop_assert_eq!(&octets[decoded..], &decoded_by_pieces(&encoded.as_bytes()[at..]));
            }
        }

        #[test]
        fn the_first_of_a_word_is_found(word: [u8; 8], at in 0_usize..8, lf: bool) {
            let mut word = word;
            word[at] = if lf { b'\n' } else { b'=' };
            let first = word.iter().position(|octet| matches!(octet, b'=' | b'\n'));
            prop_assert_eq!(Some(octets_before_equals_or_lf(word)), first);
            let plain = word.map(|octet| if matches!(octet, b'=' | b'\n') { octet ^ 1 } else { octet });
            prop_assert_eq!(octets_before_equals_or_lf(plain), 8);
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
