mod splicing;

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2};

use crate::DecodeError;
use crate::line::trim_blanks_end;
use crate::receiver::{Block, Receiver};

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

/// About how many octets it decodes to: rarely more.
pub(crate) fn decoded_octets(encoded: &[u8]) -> usize {
    encoded.len().saturating_sub(2 * memchr_iter(b'=', encoded).count())
}

pub(crate) fn decode_to(out: &mut impl Receiver, encoded: &[u8]) -> Result<(), DecodeError> {
    let mut block = Block::before(out);
    if may_have_padding(encoded) {
        decode_pieces(&mut block, encoded)?;
    } else {
        decode_unpadded(&mut block, encoded)?;
    }
    block.hand_on();
    Ok(())
}

/// Does a blank stand before any line end, or what might be one?
fn may_have_padding(encoded: &[u8]) -> bool {
    let next = encoded.get(1..).unwrap_or_default();
    let is = |octet: u8, one: u8, other: u8| u8::from(octet == one) | u8::from(octet == other);
    // Without a branch, so that it is compiled to look at many octets at once.
    let padded = encoded
        .iter()
        .zip(next)
        .fold(0, |padded, (&octet, &next)| padded | (is(octet, b' ', b'\t') & is(next, b'\r', b'\n')));
    padded > 0 || matches!(encoded.last(), Some(b' ' | b'\t'))
}

fn decode_pieces(out: &mut Block<'_, impl Receiver>, encoded: &[u8]) -> Result<(), DecodeError> {
    for (piece, span) in (Pieces { encoded, at: 0 }) {
        let end = span.end;
        match piece {
            Piece::Text => out.run(encoded, span),
            Piece::Octet(octet) => out.octet(octet),
            Piece::StrayEquals => out.octet(stray_equals(encoded, span.start)?),
            Piece::SoftBreak | Piece::Padding => continue,
        }
        out.place(end);
    }
    Ok(())
}

/// The same where nothing is special but the equals sign, as in nearly all mail: this runs twice over each changed part.
fn decode_unpadded(out: &mut Block<'_, impl Receiver>, encoded: &[u8]) -> Result<(), DecodeError> {
    let mut at = 0;
    while let Some(text) = memchr(b'=', &encoded[at..]) {
        out.run(encoded, at..at + text);
        at += text;
        out.place(at);
        // They come in runs: a character of UTF-8 is two or more.
        while let [b'=', behind @ ..] = &encoded[at..] {
            if let [high, low, ..] = behind
                && let Some(octet) = hex_octet(*high, *low)
            {
                out.octet(octet);
                at += 3;
            } else if let Some(length) = soft_break(behind) {
                // Noted before it: what is written at the end goes before a last soft break.
                out.place(at);
                at += 1 + length;
            } else {
                out.octet(stray_equals(encoded, at)?);
                at += 1;
            }
        }
    }
    out.run(encoded, at..encoded.len());
    Ok(())
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
    use crate::receiver::Kept;

    fn decode_by(
        way: impl Fn(&mut Block<'_, Kept>, &[u8]) -> Result<(), DecodeError>,
        encoded: &[u8],
    ) -> Result<Kept, DecodeError> {
        let mut kept = Kept::default();
        let mut block = Block::before(&mut kept);
        way(&mut block, encoded)?;
        block.hand_on();
        Ok(kept)
    }

    proptest! {
        #[test]
        fn both_ways_to_decode_are_the_same(encoded in "([!-~]{0,20} ?|=|=3[dD]|\r|\n|\r\n|=\r\n|==){0,30}") {
            let encoded = encoded.as_bytes();
            if may_have_padding(encoded) {
                return Ok(());
            }
            let plainly = decode_by(decode_unpadded, encoded);
            let pieces = decode_by(decode_pieces, encoded);
            let octets = |kept: &Result<Kept, DecodeError>| kept.as_ref().map(|kept| kept.octets.clone()).map_err(|error| *error);
            prop_assert_eq!(octets(&plainly), octets(&pieces));
            if let Ok(Kept { octets, map }) = plainly {
                let (decoded, at) = map.before(octets.len());
                let rest = decode_by(decode_pieces, &encoded[at..])?.octets;
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
            (" \r", true),
        ] {
            assert_eq!(may_have_padding(encoded.as_bytes()), padded, "{encoded:?}");
        }
    }

    fn decoded(encoded: &str) -> Result<Vec<u8>, DecodeError> {
        let mut kept = Kept::default();
        decode_to(&mut kept, encoded.as_bytes()).map(|()| kept.octets)
    }

    fn text_of(encoded: &str) -> String {
        String::from_utf8_lossy(&decoded(encoded).unwrap()).into_owned()
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
            assert_eq!(decoded(encoded), Err(DecodeError::NotQuotedPrintable { at }), "{encoded}");
        }
    }
}
