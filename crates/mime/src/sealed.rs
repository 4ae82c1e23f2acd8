use std::borrow::Cow;

use memchr::memmem;

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

#[cfg(test)]
mod tests {
    use super::*;

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
