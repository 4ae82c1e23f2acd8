use std::borrow::Cow;

use memchr::{memchr_iter, memchr3, memmem};

use crate::media_type::Parameterized;
use crate::part_header::PartHeader;
use crate::{TransferEncoding, decode};

/// How a message is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sealed {
    /// A signature beside the parts (RFC 1847 §2.1), of S/MIME or PGP.
    Signed,
    /// Encrypted (RFC 1847 §2.2).
    Encrypted,
    /// An S/MIME object (RFC 8551 §3.2).
    Smime,
    /// PGP armour in displayed text.
    PgpInline,
}

/// A part of this type seals the message it stands in.
pub(crate) fn seal_of(media_type: &str, header: &PartHeader) -> Option<Sealed> {
    match media_type {
        "multipart/signed"
        | "application/pgp-signature"
        | "application/pkcs7-signature"
        | "application/x-pkcs7-signature" => Some(Sealed::Signed),
        "multipart/encrypted" | "application/pgp-encrypted" => Some(Sealed::Encrypted),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => Some(Sealed::Smime),
        // Some programs do not know the types of their own files.
        "application/octet-stream" => {
            let name = |field: &Option<Parameterized>, name| {
                field.as_ref().and_then(|field| field.text(name)).unwrap_or_default().to_ascii_lowercase()
            };
            match [name(&header.content_type, "name"), name(&header.disposition, "filename")] {
                names if names.iter().any(|name| name == "smime.p7m") => Some(Sealed::Smime),
                names if names.iter().any(|name| name == "smime.p7s") => Some(Sealed::Signed),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Does PGP armour (RFC 9580 §6.2, §7) begin in this body?
///
/// Only at the beginning of a line: a quoted or talked-about one seals nothing. In HTML blanks and a tag may stand before it.
pub(crate) fn holds_armour(body: &[u8], encoding: Option<TransferEncoding>, html: bool) -> bool {
    let text = match encoding {
        // No encoder writes these letters otherwise.
        Some(TransferEncoding::QuotedPrintable) if memmem::find(body, b"PGP").is_none() => return false,
        Some(TransferEncoding::Base64) if holds_no_begin(body) => return false,
        Some(encoding @ (TransferEncoding::QuotedPrintable | TransferEncoding::Base64)) => {
            decode(body, encoding).map_or(Cow::Borrowed(body), |decoded| Cow::Owned(decoded.octets))
        }
        _ => Cow::Borrowed(body),
    };
    memmem::find_iter(&text, b"-----BEGIN PGP ").any(|at| {
        let (before, kind) = (&text[..at], &text[at + b"-----BEGIN PGP ".len()..]);
        let begins_line = match before.last() {
            None | Some(b'\n') => true,
            Some(_) => html && matches!(before.trim_ascii_end().last(), None | Some(b'>')),
        };
        begins_line && (kind.starts_with(b"MESSAGE") || kind.starts_with(b"SIGNED MESSAGE"))
    })
}

/// Is this base64 text surely without the word `BEGIN`? Saves decoding it once more in nearly all mail.
fn holds_no_begin(body: &[u8]) -> bool {
    // `BEG`, `EGI` or `GIN` make a group of their own, wherever the word begins.
    const GROUPS: [&[u8]; 3] = [b"QkVH", b"RUdJ", b"R0lO"];
    // Lines hold whole groups, and nothing that would shift them; armour itself, under a wrong name, is no base64.
    let (mut start, mut whole, mut carriage_returns) = (0, true, 0);
    for end in memchr_iter(b'\n', body).chain([body.len()]) {
        let line = &body[start..end];
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        carriage_returns += line.len() - text.len();
        whole &= text.len().is_multiple_of(4);
        start = end + 1;
    }
    whole
        && memchr_iter(b'\r', body).count() == carriage_returns
        && memchr3(b' ', b'\t', b'-', body).is_none()
        && GROUPS.iter().all(|group| memmem::find(body, group).is_none())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn armour_is_seen_however_base64_is_cut() {
        for before in 0..7 {
            for width in [1, 4, 57, 60, 75, 76, 1000] {
                for line_end in ["\r\n", "\n", " \r\n", "\r"] {
                    let holds = |word: &str| {
                        let text = format!("{}\n-----{word} PGP MESSAGE-----\n", "x".repeat(before));
                        let encoded = STANDARD.encode(text).into_bytes();
                        let lines: Vec<&[u8]> = encoded.chunks(width).collect();
                        let body = lines.join(line_end.as_bytes());
                        holds_armour(&body, Some(TransferEncoding::Base64), false)
                    };
                    assert!(holds("BEGIN"), "{before} {width} {line_end:?}");
                    assert!(!holds("BEGUN"), "{before} {width} {line_end:?}");
                }
            }
        }
        assert!(holds_no_begin(b"eHh4\r\neHg="));
        assert!(!holds_no_begin(b"eHh4e\r\nHg="));
    }

    #[test]
    fn armour_is_seen_where_it_seals() {
        use TransferEncoding::{Base64, QuotedPrintable, SevenBit};
        for (case, body, encoding, html, sealed) in [
            ("message", "hi\r\n-----BEGIN PGP MESSAGE-----\r\n", Some(SevenBit), false, true),
            ("signed, first line", "-----BEGIN PGP SIGNED MESSAGE-----\r\n", Some(SevenBit), false, true),
            ("old parts", "-----BEGIN PGP MESSAGE, PART 1/2-----\r\n", Some(SevenBit), false, true),
            ("a key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n", Some(SevenBit), false, false),
            ("quoted", "> -----BEGIN PGP MESSAGE-----\r\n", Some(SevenBit), false, false),
            ("quoted-printable", "=2D----BEGIN PGP MES=\r\nSAGE-----", Some(QuotedPrintable), false, true),
            ("base64", "LS0tLS1CRUdJTiBQR1AgTUVTU0FHRS0tLS0t", Some(Base64), false, true),
            ("not base64", "LS0tLS1CRUdJTiBQR1AgTUVTU0FHRS0tLS", Some(Base64), false, false),
            ("html", "<pre>-----BEGIN PGP MESSAGE-----", Some(SevenBit), true, true),
            (
                "html, indented behind a tag",
                "<p>\r\n\t -----BEGIN PGP MESSAGE-----",
                Some(SevenBit),
                true,
                true,
            ),
            ("html, talked about", "<p>see -----BEGIN PGP MESSAGE-----", Some(SevenBit), true, false),
            ("unknown encoding", "-----BEGIN PGP MESSAGE-----", None, false, true),
        ] {
            assert_eq!(holds_armour(body.as_bytes(), encoding, html), sealed, "{case}");
        }
    }
}
