use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// The octets of a part, its transfer encoding undone, as the page shows them.
///
/// `charset` is the parameter as it stands in the message. Total: a charset nobody knows is guessed, octets that
/// do not belong are replaced. For reading only; what Waxseal sends on is never decoded and written again.
pub fn text(octets: &[u8], charset: Option<&str>) -> String {
    let label = charset.unwrap_or_default().trim_matches([' ', '\t', '"', '\'']);
    // "us-ascii" is what a part is without a charset, and 8-bit octets in it are mostly UTF-8.
    let named = Encoding::for_label_no_replacement(label.as_bytes())
        .filter(|_| !label.eq_ignore_ascii_case("us-ascii") && !label.eq_ignore_ascii_case("ascii"));
    let guess = || if std::str::from_utf8(octets).is_ok() { UTF_8 } else { WINDOWS_1252 };
    named.unwrap_or_else(guess).decode(octets).0.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_is_honoured_and_a_wrong_one_guessed() {
        for (octets, charset, shown) in [
            (b"gr\xfc\xdfe".as_slice(), Some("ISO-8859-1"), "grüße"),
            (b"gr\xfc\xdfe", None, "grüße"),
            ("grüße".as_bytes(), None, "grüße"),
            ("grüße".as_bytes(), Some("us-ascii"), "grüße"),
            ("grüße".as_bytes(), Some("\"utf-8\""), "grüße"),
            (b"\xd0\xd2\xc9", Some("koi8-r"), "при"),
            (b"\x1b$B$3$s\x1b(B", Some("ISO-2022-JP"), "こん"),
            (b"plain", Some("no-such-charset"), "plain"),
            (b"", Some(""), ""),
        ] {
            assert_eq!(text(octets, charset), shown, "{charset:?}");
        }
    }
}
