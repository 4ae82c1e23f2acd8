use std::borrow::Cow;

/// The path as we know it: a percent-encoded character that needs no encoding is that character, so `/c/%41bc`
/// is `/c/Abc` (RFC 3986 §6.2.2.2).
///
/// Mail programs, scanners and gateways write a URL anew on its way. All else stays as it came: several slashes
/// are not one, nor is an encoded slash one.
pub(crate) fn request_path(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut known = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let (c, length) = match encoded(rest) {
            Some(decoded) => (decoded, 3),
            None => (c, c.len_utf8()),
        };
        rest = &rest[length..];
        known.push(c);
    }
    Cow::Owned(known)
}

/// The character that `%41` at the beginning stands for, if it is one that needs no encoding.
fn encoded(text: &str) -> Option<char> {
    let digits = text.strip_prefix('%')?.get(..2)?;
    let octet =
        u8::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
    let unreserved = octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    unreserved.then_some(char::from(octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_path() {
        for (path, known) in [
            ("/", "/"),
            ("", ""),
            ("*", "*"),
            ("/c/Abc-_9", "/c/Abc-_9"),
            ("//c///Abc", "//c///Abc"),
            ("/c/%41%62c%2D%5f9", "/c/Abc-_9"),
            ("/%63/Abc", "/c/Abc"),
            ("/c/A%2Fbc", "/c/A%2Fbc"),
            ("/c/%2541", "/c/%2541"),
            ("/c/%", "/c/%"),
            ("/c/%4", "/c/%4"),
            ("/c/%+4x", "/c/%+4x"),
            ("/c/%é1", "/c/%é1"),
            ("/c/%C3%A9", "/c/%C3%A9"),
            ("/c/%00", "/c/%00"),
        ] {
            assert_eq!(request_path(path), known, "{path}");
        }
    }
}
