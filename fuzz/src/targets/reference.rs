//! Transfer encodings once more, written apart from the `mime` crate's and without regard to speed.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mime::TransferEncoding;

/// `None`: not base64.
pub fn decode(encoded: &[u8], encoding: TransferEncoding) -> Option<Vec<u8>> {
    match encoding {
        TransferEncoding::SevenBit | TransferEncoding::EightBit | TransferEncoding::Binary => {
            Some(encoded.to_vec())
        }
        TransferEncoding::QuotedPrintable => {
            Some(encoded.split_inclusive(|octet| *octet == b'\n').flat_map(quoted_printable_line).collect())
        }
        TransferEncoding::Base64 => base64(encoded),
    }
}

/// RFC 2045 §6.7, line by line.
fn quoted_printable_line(line: &[u8]) -> Vec<u8> {
    let content = match line.strip_suffix(b"\n") {
        Some(content) => content.strip_suffix(b"\r").unwrap_or(content),
        None => line,
    };
    let line_end = &line[content.len()..];
    let blanks = content.iter().rev().take_while(|octet| **octet == b' ' || **octet == b'\t').count();
    let text = &content[..content.len() - blanks];
    let (text, line_end) = match text.strip_suffix(b"=") {
        Some(text) => (text, &b""[..]),
        None => (text, line_end),
    };
    let (mut out, mut at) = (vec![], 0);
    while at < text.len() {
        let digits = text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(octet) if text[at] == b'=' => {
                out.push(octet);
                at += 3;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out.extend_from_slice(line_end);
    out
}

fn base64(encoded: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let text: Vec<u8> = encoded.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    GeneralPurpose::new(&STANDARD, config).decode(text).ok()
}

/// Octets of the longest line, its line end not counted, and blanks before that only if they are no mere padding.
pub fn longest_line(text: &[u8], padded: bool) -> usize {
    let length = |line: &[u8]| {
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let blanks = line.iter().rev().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        if padded { line.len() - blanks } else { line.len() }
    };
    text.split_inclusive(|octet| *octet == b'\n').map(length).max().unwrap_or(0)
}
