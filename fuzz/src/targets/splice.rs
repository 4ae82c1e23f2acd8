use std::ops::Range;

use mime::{DecodeError, Edit, SpliceError, TransferEncoding};

use super::octets;
use super::reference::{self, longest_line};

/// Writes edits into any encoded body: the result decodes to the edited text, or there is an error that is true.
///
/// `data` is a letter for the encoding (`7`, `8`, `b`, `q`, `6`), one for the number of edits (`0` to `5`), four octets for each edit,
/// and the body.
pub fn splice(data: &[u8]) {
    let Some((&[encoding, count], rest)) = data.split_first_chunk() else { return };
    let encoding = encoding_of(encoding);
    let (orders, _) = rest.as_chunks::<4>();
    let orders = &orders[..usize::from(count & 7).min(5).min(orders.len())];
    let encoded = &rest[orders.as_flattened().len()..];
    let reference = reference::decode(encoded, encoding);
    let decoded = match mime::decode(encoded, encoding) {
        Ok(decoded) => decoded,
        Err(error) => {
            let possible = match encoding {
                TransferEncoding::QuotedPrintable => {
                    matches!(error, DecodeError::NotQuotedPrintable { at } if encoded[at] == b'=')
                }
                TransferEncoding::Base64 => error == DecodeError::NotBase64,
                _ => false,
            };
            assert!(possible, "{encoding:?}: {error}");
            return;
        }
    };
    let before = reference.expect("what is decoded is decoded by the other reader too");
    assert_eq!(decoded.octets, before, "the two readers differ");

    let edits: Vec<Edit<'_>> = orders.iter().map(|order| edit(*order, before.len())).collect();
    match mime::splice(encoded, &decoded, &edits) {
        Ok(spliced) => is_right(encoded, &spliced, encoding, &before, &edits),
        Err(error) => is_true(error, encoded, encoding, &before, &edits),
    }
}

fn encoding_of(letter: u8) -> TransferEncoding {
    match letter {
        b'7' => TransferEncoding::SevenBit,
        b'8' => TransferEncoding::EightBit,
        b'b' => TransferEncoding::Binary,
        letter if letter.is_multiple_of(2) => TransferEncoding::Base64,
        _ => TransferEncoding::QuotedPrintable,
    }
}

/// A place as a fraction of the text, a length, and which text.
fn edit([high, low, length, text]: [u8; 4], octets: usize) -> Edit<'static> {
    let start = usize::from(u16::from_be_bytes([high, low])) * (octets + 1) / 65_536;
    // From `@`, which stands for an insertion.
    let length = usize::from(length.wrapping_sub(b'@'));
    Edit { range: start..(start + length).min(octets), replacement: TEXTS[usize::from(text) % TEXTS.len()] }
}

const LONG: [u8; 1_100] = [b'u'; 1_100];

/// What is written: what we do write, and what is bad to write.
const TEXTS: [&[u8]; 16] = [
    b"",
    b"x",
    b"https://t.example.com/c/EgAAAAABo8Zk3pL9tq1V0000000000000000AAAAAGh0dHBzOi8vd3d3LmV4YW1wbGUub3JnLw",
    b"<img src=\"https://t.example.com/o/EQAAAAABo8Zk\"\r\nwidth=\"1\" height=\"1\" alt=\"\" style=\"display:block!important\">",
    b" ",
    b"a=3D&amp;b",
    b"--boundary",
    b".",
    b"\t",
    b"ends in blanks \t",
    b"a\r\nb",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0\xff\xc3\xbc",
    &LONG,
];

fn is_right(encoded: &[u8], spliced: &[u8], encoding: TransferEncoding, before: &[u8], edits: &[Edit<'_>]) {
    let changes = changes(before, edits);
    let (mut after, mut copied) = (vec![], 0);
    for (range, replacement) in &changes {
        assert!(range.start >= copied, "overlapping edits were carried out: {edits:?}");
        after.extend_from_slice(&before[copied..range.start]);
        after.extend_from_slice(replacement);
        copied = range.end;
    }
    after.extend_from_slice(&before[copied..]);
    let read_back = reference::decode(spliced, encoding).expect("what was written is in the same encoding");
    assert_eq!(read_back, after, "{encoding:?} with {edits:?}");
    if changes.is_empty() {
        assert_eq!(spliced, encoded, "nothing to do, and a change");
    }
    let mut grown = 0;
    let places: Vec<_> = changes
        .iter()
        .map(|(range, replacement)| {
            let start = range.start.checked_add_signed(grown).expect("in order");
            grown += replacement.len().cast_signed() - range.len().cast_signed();
            (range.clone(), start..start + replacement.len())
        })
        .collect();
    octets::stay(encoded, spliced, encoding, &places);
    // Blanks that were added in transport count for no more than they mean.
    let padded = matches!(encoding, TransferEncoding::QuotedPrintable | TransferEncoding::Base64);
    let (was, is) = (longest_line(encoded, padded), longest_line(spliced, padded));
    let allowed = match encoding {
        TransferEncoding::QuotedPrintable | TransferEncoding::Base64 => was.max(76),
        _ => was.max(998),
    };
    assert!(is <= allowed || was > 998, "{encoding:?}: a line of {is}, where the longest had {was}");
    let line_ends_match = |text: &[u8]| {
        let crlf = text.windows(2).filter(|pair| pair == b"\r\n").count();
        let octets = |wanted: u8| text.iter().filter(|octet| **octet == wanted).count();
        octets(b'\r') == crlf && octets(b'\n') == crlf
    };
    let is_encoded = matches!(encoding, TransferEncoding::QuotedPrintable | TransferEncoding::Base64);
    if is_encoded && line_ends_match(encoded) {
        assert!(line_ends_match(spliced), "{encoding:?}: a bare CR or LF");
    }
}

/// The edits that change something, in order.
fn changes<'a>(before: &[u8], edits: &[Edit<'a>]) -> Vec<(Range<usize>, &'a [u8])> {
    let changing = edits.iter().filter(|edit| before[edit.range.clone()] != *edit.replacement);
    let mut changes: Vec<_> = changing.map(|edit| (edit.range.clone(), edit.replacement)).collect();
    changes.sort_by_key(|(range, _)| (range.start, range.end));
    changes
}

fn is_true(
    error: SpliceError,
    encoded: &[u8],
    encoding: TransferEncoding,
    before: &[u8],
    edits: &[Edit<'_>],
) {
    let encoding_is_none = !matches!(encoding, TransferEncoding::QuotedPrintable | TransferEncoding::Base64);
    let changes = changes(before, edits);
    let holds = match error {
        SpliceError::EmptyBody => encoded.is_empty() && !changes.is_empty(),
        SpliceError::Overlap => changes.windows(2).any(|pair| pair[0].0.end > pair[1].0.start),
        SpliceError::CutsLineEnd { edit } => {
            let cuts = |at: usize| before[..at].ends_with(b"\r") && before[at..].starts_with(b"\n");
            let range = &edits[edit].range;
            encoding != TransferEncoding::Base64 && (cuts(range.start) || cuts(range.end))
        }
        SpliceError::LineTooLong { edit } => encoding_is_none && edit < edits.len(),
        // Only where an equals sign had stood for itself may one come to mean something else.
        SpliceError::SelfCheckFailed => {
            encoding == TransferEncoding::QuotedPrintable && has_stray_equals(encoded)
        }
        // Base64 has no hyphens.
        SpliceError::LikeDelimiter => encoding != TransferEncoding::Base64 && !changes.is_empty(),
        SpliceError::OutOfRange { .. } => false,
    };
    assert!(holds, "{encoding:?}: {error}, for {edits:?}");
}

fn has_stray_equals(encoded: &[u8]) -> bool {
    encoded.iter().enumerate().filter(|(_, octet)| **octet == b'=').any(|(at, _)| {
        let behind = &encoded[at + 1..];
        let is_octet = behind.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let blanks = behind.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        let is_break = matches!(behind[blanks..], [] | [b'\n', ..] | [b'\r', b'\n', ..]);
        !is_octet && !is_break
    })
}
