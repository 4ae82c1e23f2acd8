//! What must hold for any octets at all. Each function here panics where it does not.
#![allow(unreachable_pub, reason = "the fuzzer's binaries and a test of the main workspace share these")]

#[path = "../../../tests/harness/document.rs"]
mod document;
mod mime_locate;
mod octets;
mod reference;
mod rewrite;
mod splice;
mod survey;
mod token;

use document::{Reading, Whose};
use encoding_rs::Encoding;

pub use mime_locate::mime_locate;
pub use rewrite::rewrite;
pub use splice::splice;
pub use survey::survey;
pub use token::token;

/// How a mail program reads a part: as its charset says, if it says one.
fn reading<'a>(label: Option<&str>, part: &[u8], ours: &'a dyn Whose) -> Option<Reading<'a>> {
    // html5ever takes a square of the nesting's depth.
    if part.len() > 32_768 || part.iter().filter(|octet| **octet == b'<').count() > 1_000 {
        return None;
    }
    let encoding = match label {
        Some(label) if !label.to_ascii_lowercase().contains("ascii") => {
            Encoding::for_label(label.as_bytes())?
        }
        _ if part.is_ascii() && !part.contains(&0x1b) => encoding_rs::UTF_8,
        _ => return None,
    };
    // JIS X 0201: in its Roman half a tilde is an overline to a browser, and to whoever wrote the address a tilde.
    let is_roman = encoding == encoding_rs::ISO_2022_JP && part.windows(3).any(|octets| octets == b"\x1b(J");
    (!is_roman).then_some(Reading { encoding, ours, soup: true })
}

/// A browser sees the same document but for our links and the pixel.
fn same_document(reading: &Reading<'_>, before: &[u8], after: &[u8]) {
    let text = |octets: &[u8]| reading.encoding.decode(octets).0.into_owned();
    if let Err(why) = reading.compare(&text(before), &text(after)) {
        let shown = |text: &[u8]| text[..text.len().min(2_000)].escape_ascii().to_string();
        let why: String = why.chars().take(1_000).collect();
        panic!("another document: {why}\n{}\n{}", shown(before), shown(after));
    }
}

/// Every target, by name.
pub const TARGETS: [(&str, fn(&[u8])); 5] = [
    ("mime_locate", mime_locate),
    ("splice", splice),
    ("rewrite", rewrite),
    ("survey", survey),
    ("token", token),
];
