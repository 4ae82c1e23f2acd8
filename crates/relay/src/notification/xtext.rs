/// Undoes xtext (RFC 3461 §4): `+2B` is `+`. `None` unless what comes out is printable ASCII: it goes into a field.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut rest = text.as_bytes();
    while let [octet, after @ ..] = rest {
        let (octet, after) = match (octet, after) {
            (b'+', [high, low, after @ ..]) => {
                let digit = |octet: &u8| char::from(*octet).to_digit(16);
                (u8::try_from(digit(high)? * 16 + digit(low)?).ok()?, after)
            }
            (b'+', _) => return None,
            (octet, after) => (*octet, after),
        };
        if !matches!(octet, b' '..=b'~') {
            return None;
        }
        decoded.push(char::from(octet));
        rest = after;
    }
    (!decoded.is_empty()).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        for (text, meant) in [
            ("QQ314159", Some("QQ314159")),
            ("bo+2Bnews@example.net", Some("bo+news@example.net")),
            ("a+3Db", Some("a=b")),
            ("a+20b", Some("a b")),
            ("a+0D+0AX-Evil: b", None),
            ("a+", None),
            ("a+4", None),
            ("a+zz", None),
            ("jörg", None),
            ("", None),
        ] {
            assert_eq!(decode(text).as_deref(), meant, "{text}");
        }
    }
}
