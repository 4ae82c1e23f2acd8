//! What holds for every body in every encoding: no edit, no change; an edit changes what it says and nothing else.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use quoted_printable::ParseMode;
use waxseal_mime::{Decoded, Edit, SpliceError, TransferEncoding, decode};

/// Text of words, markup, line ends, blanks in bad places and octets that are no ASCII.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        6 => "[a-z]{1,9} ".prop_map(String::into_bytes),
        2 => "[ -~]{1,90}".prop_map(String::into_bytes),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b" \t\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"<a href=\"https://x.example/?a=1&amp;b=2\">".to_vec()),
        1 => Just("ü=\u{20ac}".as_bytes().to_vec()),
        1 => Just(b"x".repeat(76)),
        1 => vec(any::<u8>(), 1..20),
    ];
    vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

/// Up to four edits at random places, as fractions of the text, with what to write.
fn edits() -> impl Strategy<Value = Vec<(u16, u16, Vec<u8>)>> {
    let replacement = prop_oneof![
        3 => "[!-~]{0,120}".prop_map(String::into_bytes),
        1 => "[ -~\r\n\t]{0,9}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..9),
    ];
    // Half of them are insertions, many of them at the end.
    let length = prop_oneof![Just(0), 0_u16..40];
    let place = prop_oneof![4 => any::<u16>(), 1 => Just(u16::MAX)];
    vec((place, length, replacement), 0..=4)
}

/// Turns places into ranges of the text that do not overlap and cut no line end.
fn placed<'a>(edits: &'a [(u16, u16, Vec<u8>)], text: &[u8]) -> Vec<(Range<usize>, &'a [u8])> {
    let length = text.len();
    let cuts = |at: usize| usize::from(text[..at].ends_with(b"\r") && text[at..].starts_with(b"\n"));
    let mut sorted: Vec<_> = edits.iter().collect();
    sorted.sort_by_key(|edit| edit.0);
    let mut free = 0;
    sorted
        .into_iter()
        .map(|(place, octets, replacement)| {
            let start = (usize::from(*place) * (length + 1) / 65_536).min(length).max(free);
            let start = start + cuts(start);
            free = (start + usize::from(*octets)).min(length);
            free += cuts(free);
            (start..free, replacement.as_slice())
        })
        .collect()
}

/// Both ways to splice, which are one.
fn splice(encoded: &[u8], decoded: &Decoded, edits: &[Edit<'_>]) -> Result<Vec<u8>, SpliceError> {
    let mut out = b"before\r\nit:".to_vec();
    let before = out.clone();
    let behind = waxseal_mime::splice_into(&mut out, encoded, decoded, edits);
    assert_eq!(out[..before.len()], before);
    let behind = behind.map(|()| out[before.len()..].to_vec());
    if behind.is_err() {
        assert_eq!(out, before);
    }
    assert_eq!(behind, waxseal_mime::splice(encoded, decoded, edits));
    behind
}

fn edited(text: &[u8], edits: &[(Range<usize>, &[u8])]) -> Vec<u8> {
    let mut out = text.to_vec();
    for (range, replacement) in edits.iter().rev() {
        out.splice(range.clone(), replacement.iter().copied());
    }
    out
}

fn as_edits<'a>(edits: &[(Range<usize>, &'a [u8])]) -> Vec<Edit<'a>> {
    edits.iter().map(|(range, replacement)| Edit { range: range.clone(), replacement }).collect()
}

/// Quoted-printable as nobody should write it: each choice is taken from `odd`, over and over.
fn odd_quoted_printable(text: &[u8], odd: &[u8], width: usize, crlf: bool) -> Vec<u8> {
    let line_end: &[u8] = if crlf { b"\r\n" } else { b"\n" };
    let mut choices = odd.iter().copied().cycle();
    let mut choose = |of: u8| choices.next().unwrap_or(0) % of;
    let padding = [b"".as_slice(), b"", b"", b"", b" ", b"\t ", b"  "];
    let (mut out, mut column, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(line_end) {
            if out.ends_with(b" ") || out.ends_with(b"\t") {
                // The blank is text: it must not come to the end of the line.
                out.push(b'=');
                out.extend_from_slice(line_end);
            }
            out.extend_from_slice(padding[usize::from(choose(7))]);
            out.extend_from_slice(line_end);
            (column, at) = (0, at + line_end.len());
            continue;
        }
        let octet = text[at];
        let literal = matches!(octet, b' '..=b'~' | b'\t') && octet != b'=' && choose(30) > 0;
        let encoded = match (literal, choose(2)) {
            (true, _) => vec![octet],
            (false, 0) => format!("={octet:02X}").into_bytes(),
            (false, _) => format!("={octet:02x}").into_bytes(),
        };
        if column + encoded.len() >= width {
            out.push(b'=');
            out.extend_from_slice(padding[usize::from(choose(7))]);
            out.extend_from_slice(line_end);
            column = 0;
        }
        column += encoded.len();
        out.extend(encoded);
        at += 1;
    }
    match choose(4) {
        0 => out.push(b'='),
        1 => out.extend([b"=", line_end].concat()),
        _ if out.ends_with(b" ") || out.ends_with(b"\t") => out.push(b'='),
        _ => {}
    }
    out
}

fn odd_base64(text: &[u8], odd: &[u8], width: usize, crlf: bool) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut characters = Vec::new();
    for group in text.chunks(3) {
        let bits =
            group.iter().chain([&0, &0]).take(3).fold(0_u32, |bits, &octet| bits << 8 | u32::from(octet));
        for at in 0..4 {
            let value = (bits >> (18 - 6 * at)) & 63;
            characters.push(if at <= group.len() { alphabet[value as usize] } else { b'=' });
        }
    }
    let mut choices = odd.iter().copied().cycle();
    let padding = [b"".as_slice(), b"", b"", b"", b" ", b"\t"];
    let mut out = Vec::new();
    for line in characters.chunks(width) {
        out.extend_from_slice(line);
        out.extend_from_slice(padding[usize::from(choices.next().unwrap_or(0) % 6)]);
        out.extend_from_slice(if crlf { b"\r\n" } else { b"\n" });
    }
    out
}

fn longest_line(text: &[u8]) -> usize {
    let length = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_end().len();
    text.split(|&octet| octet == b'\n').map(length).max().unwrap_or(0)
}

/// Runs of whole encoded lines that no edit comes within `margin` decoded octets of: they must stand in the result, in order.
fn untouched_lines(
    encoded: &[u8],
    encoding: TransferEncoding,
    edits: &[(Range<usize>, &[u8])],
    margin: usize,
) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut start, mut decoded_start) = (0, 0);
    let mut characters = 0;
    for line in encoded.split_inclusive(|&octet| octet == b'\n') {
        let end = start + line.len();
        let decoded_end = if encoding == TransferEncoding::Base64 {
            characters += line.iter().filter(|octet| !octet.is_ascii_whitespace() && **octet != b'=').count();
            characters * 3 / 4
        } else {
            decoded_start + decode(line, encoding).expect("a line of what decodes").octets.len()
        };
        let near =
            |range: &Range<usize>| range.start <= decoded_end + margin && range.end + margin >= decoded_start;
        if !edits.iter().any(|(range, _)| near(range)) {
            match runs.last_mut() {
                Some(run) if run.end == start => run.end = end,
                _ => runs.push(start..end),
            }
        }
        (start, decoded_start) = (end, decoded_end);
    }
    runs
}

#[track_caller]
fn assert_lines_stay(encoded: &[u8], result: &[u8], runs: &[Range<usize>]) {
    let mut from = 0;
    for run in runs {
        let lines = &encoded[run.clone()];
        let rest = &result[from..];
        let found = if run.end == encoded.len() {
            rest.ends_with(lines).then(|| rest.len() - lines.len())
        } else if run.start == 0 {
            rest.starts_with(lines).then_some(0)
        } else {
            rest.windows(lines.len()).position(|window| window == lines)
        };
        from +=
            found.unwrap_or_else(|| panic!("lines {run:?} are gone: {}", lines.escape_ascii())) + lines.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn quoted_printable_holds_the_edited_text(
        text in text(), edits in edits(), odd in vec(any::<u8>(), 1..40), width in 10_usize..77, crlf: bool
    ) {
        let encoded = odd_quoted_printable(&text, &odd, width, crlf);
        let encoding = TransferEncoding::QuotedPrintable;
        let decoded = decode(&encoded, encoding).unwrap();
        prop_assert_eq!(decoded.octets.escape_ascii().to_string(), text.escape_ascii().to_string());
        prop_assert_eq!(splice(&encoded, &decoded, &[]).unwrap(), encoded.clone());

        let edits = placed(&edits, &text);
        if encoded.is_empty() {
            return Ok(());
        }
        let result = splice(&encoded, &decoded, &as_edits(&edits)).unwrap();
        prop_assert_eq!(decode(&result, encoding).unwrap().octets, edited(&text, &edits));
        if longest_line(&encoded) <= 76 {
            prop_assert!(longest_line(&result) <= 76, "{}", result.escape_ascii());
        }
        let changing: Vec<_> = edits.into_iter().filter(|(range, new)| text[range.clone()] != **new).collect();
        assert_lines_stay(&encoded, &result, &untouched_lines(&encoded, encoding, &changing, 0));
    }

    #[test]
    fn quoted_printable_of_another_encoder_too(text in text(), edits in edits()) {
        let encoded = quoted_printable::encode(&text);
        let decoded = decode(&encoded, TransferEncoding::QuotedPrintable).unwrap();
        prop_assert_eq!(&decoded.octets, &text);
        let edits = placed(&edits, &text);
        if !encoded.is_empty() {
            let result = splice(&encoded, &decoded, &as_edits(&edits)).unwrap();
            prop_assert_eq!(quoted_printable::decode(&result, ParseMode::Robust).unwrap(), {
                quoted_printable::decode(quoted_printable::encode(edited(&text, &edits)), ParseMode::Robust).unwrap()
            });
            prop_assert!(longest_line(&result) <= 76);
        }
    }

    /// The `quoted_printable` crate writes CRLF for every line end, and drops octets that are not printable.
    #[test]
    fn quoted_printable_reads_as_another_decoder_reads_it(
        lines in vec("([a-z]{0,5}(=3D|=c3=BC|=| |\t|=[G-Z]{2}|=\r\n){0,4}){0,6}[ \t]{0,2}", 0..8)
    ) {
        let encoded = lines.join("\r\n");
        if let Ok(decoded) = decode(encoded.as_bytes(), TransferEncoding::QuotedPrintable) {
            let other = quoted_printable::decode(&encoded, ParseMode::Robust).unwrap();
            prop_assert_eq!(decoded.octets.escape_ascii().to_string(), other.escape_ascii().to_string());
        }
    }

    #[test]
    fn base64_holds_the_edited_text(
        text in text(), edits in edits(), odd in vec(any::<u8>(), 1..40), width in 1_usize..100, crlf: bool,
        by_threes: bool
    ) {
        let encoded = odd_base64(&text, &odd, width, crlf);
        let encoding = TransferEncoding::Base64;
        let decoded = decode(&encoded, encoding).unwrap();
        prop_assert_eq!(&decoded.octets, &text);
        prop_assert_eq!(splice(&encoded, &decoded, &[]).unwrap(), encoded.clone());

        let mut edits: Vec<_> =
            placed(&edits, &text).into_iter().map(|(range, new)| (range, new.to_vec())).collect();
        if by_threes {
            for (range, replacement) in &mut edits {
                while !(replacement.len() + 3 * range.len() - range.len()).is_multiple_of(3) {
                    replacement.push(b' ');
                }
            }
        }
        let edits: Vec<_> = edits.iter().map(|(range, new)| (range.clone(), new.as_slice())).collect();
        if encoded.is_empty() {
            return Ok(());
        }
        let result = splice(&encoded, &decoded, &as_edits(&edits)).unwrap();
        prop_assert_eq!(decode(&result, encoding).unwrap().octets, edited(&text, &edits));
        let one_line = encoded.split(|&octet| octet == b'\n').count() <= 2;
        let widest = if one_line { longest_line(&encoded).max(76) } else { longest_line(&encoded) };
        prop_assert!(longest_line(&result) <= widest, "{widest}: {}", result.escape_ascii());
        let mut changing: Vec<_> = edits.into_iter().filter(|(range, new)| text[range.clone()] != **new).collect();
        if let (false, Some(first)) = (by_threes, changing.first_mut()) {
            // All behind an edit may be encoded anew.
            first.0.end = text.len();
        }
        assert_lines_stay(&encoded, &result, &untouched_lines(&encoded, encoding, &changing, 3));
    }

    #[test]
    fn text_that_is_not_encoded_holds_the_edited_text(
        text in text(), edits in edits(), long_lines: bool, encoding in prop::sample::select(vec![
            TransferEncoding::SevenBit, TransferEncoding::EightBit, TransferEncoding::Binary,
        ])
    ) {
        let text = if long_lines { text.repeat(8).replace_line_ends() } else { text };
        let decoded = decode(&text, encoding).unwrap();
        let edits = placed(&edits, &text);
        let expected = edited(&text, &edits);
        if text.is_empty() {
            return Ok(());
        }
        match splice(&text, &decoded, &as_edits(&edits)) {
            Ok(result) => {
                prop_assert_eq!(&result, &expected);
                let length = |text: &[u8]| text.split(|&octet| octet == b'\n').map(<[u8]>::len).max().unwrap_or(0);
                prop_assert!(length(&text) > 998 || length(&expected) <= 999);
            }
            Err(SpliceError::LineTooLong { edit }) => {
                // Without that edit and those behind it, it fits.
                let fewer = &edits[..edit];
                prop_assert_eq!(splice(&text, &decoded, &as_edits(fewer)), Ok(edited(&text, fewer)));
                let (with, without) = (edited(&text, &edits[..=edit]), edited(&text, fewer));
                prop_assert!(longest_line(&with) > 998 || with.len() > without.len());
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn any_octets_are_decoded_or_refused(encoded: Vec<u8>, place: u16) {
        for encoding in [TransferEncoding::QuotedPrintable, TransferEncoding::Base64, TransferEncoding::SevenBit] {
            if let Ok(decoded) = decode(&encoded, encoding) {
                prop_assert_eq!(splice(&encoded, &decoded, &[]).unwrap(), encoded.clone());
                let at = usize::from(place) % (decoded.octets.len() + 1);
                let _ = splice(&encoded, &decoded, &[Edit { range: at..at, replacement: b"<img src=x>" }]);
            }
        }
    }
}

trait ReplaceLineEnds {
    fn replace_line_ends(self) -> Self;
}

impl ReplaceLineEnds for Vec<u8> {
    /// Keeps every eighth line end, so that lines come near to 998 octets.
    fn replace_line_ends(mut self) -> Self {
        let mut seen = 0;
        for octet in &mut self {
            if *octet == b'\n' {
                seen += 1;
                if seen % 8 > 0 {
                    *octet = b' ';
                }
            }
        }
        self
    }
}
