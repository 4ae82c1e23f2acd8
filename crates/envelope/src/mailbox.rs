use std::fmt;

/// A mailbox, `local-part@domain` (RFC 5321 §4.1.2), kept as it was written.
///
/// A quoted local part keeps its quotes, so that writing it back can never inject a
/// parameter. Comparing is [`Mailbox::same_mailbox`]: the standard leaves the case of
/// the local part to its host, no host in use tells two people apart by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    text: String,
    at: usize,
}

/// Why a text is not a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@` outside quotes.
    #[error("an address needs a local part, an @ and a domain")]
    NoAt,
    /// Nothing before the `@`, or a character there that needs quotes.
    #[error("the part before the @ is not a valid local part")]
    LocalPart,
    /// Not a domain name and not an address literal.
    #[error("the part after the @ is not a valid domain")]
    Domain,
    /// RFC 5321 §4.5.3.1: 64 octets before the `@`, 255 after it.
    #[error("the address is too long")]
    TooLong,
}

const MAX_LOCAL_PART_OCTETS: usize = 64;
const MAX_DOMAIN_OCTETS: usize = 255;

impl Mailbox {
    /// Parses `local-part@domain`, without angle brackets. UTF-8 is allowed (RFC 6531 §3.3):
    /// ask [`Mailbox::is_ascii`] where it is not.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let at = split_at_sign(text).ok_or(AddressError::NoAt)?;
        let (local_part, domain) = (&text[..at], &text[at + 1..]);
        // 64 octets is what the standard promises; some providers' bounce addresses are longer
        // and do exist, so the limit is on the whole.
        if text.len() > MAX_LOCAL_PART_OCTETS + 1 + MAX_DOMAIN_OCTETS || domain.len() > MAX_DOMAIN_OCTETS {
            return Err(AddressError::TooLong);
        }
        if !(is_dot_string(local_part) || is_quoted_string(local_part)) {
            return Err(AddressError::LocalPart);
        }
        if !(is_domain(domain) || is_address_literal(domain)) {
            return Err(AddressError::Domain);
        }
        Ok(Self { text: text.to_owned(), at })
    }

    /// What stands before the `@`, with its quotes if it has some.
    pub fn local_part(&self) -> &str {
        &self.text[..self.at]
    }

    /// What stands after the `@`: a domain, or an address literal in its brackets.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// `local-part@domain`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// False when SMTPUTF8 (RFC 6531) is needed to carry it.
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// Equal but for ASCII case.
    pub fn same_mailbox(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The last `@` outside a quoted local part.
fn split_at_sign(text: &str) -> Option<usize> {
    if !text.starts_with('"') {
        return text.rfind('@');
    }
    let mut escaped = false;
    for (at, octet) in text.bytes().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return (text.as_bytes().get(at + 1) == Some(&b'@')).then_some(at + 1),
            _ => {}
        }
    }
    None
}

/// `atom *("." atom)`, RFC 5321 §4.1.2, with UTF-8 (RFC 6531 §3.3).
fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn is_quoted_string(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return false;
    };
    let mut escaped = false;
    for c in inner.chars() {
        if c.is_control() {
            return false;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return false,
            _ => {}
        }
    }
    !escaped
}

fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            // Underscores are not in the grammar and are in the world.
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (!c.is_ascii() && !c.is_control() && !c.is_whitespace()))
    })
}

fn is_address_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    match inner.split_once(':') {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6") => {
            address.parse::<std::net::Ipv6Addr>().is_ok()
        }
        _ => inner.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_address() {
        type Parts = Result<(&'static str, &'static str), AddressError>;
        let table: &[(&str, Parts)] = &[
            ("ana@example.com", Ok(("ana", "example.com"))),
            ("Ana.B+tag=x@EXAMPLE.com", Ok(("Ana.B+tag=x", "EXAMPLE.com"))),
            ("\"a b\"@example.com", Ok(("\"a b\"", "example.com"))),
            ("\"x> SIZE=1 <y\"@c.test", Ok(("\"x> SIZE=1 <y\"", "c.test"))),
            ("\"a@b\"@example.com", Ok(("\"a@b\"", "example.com"))),
            ("\"a\\\"b\"@example.com", Ok(("\"a\\\"b\"", "example.com"))),
            ("a@[127.0.0.1]", Ok(("a", "[127.0.0.1]"))),
            ("a@[IPv6:::1]", Ok(("a", "[IPv6:::1]"))),
            ("jörg@bücher.example", Ok(("jörg", "bücher.example"))),
            ("a_b@under_score.example", Ok(("a_b", "under_score.example"))),
            ("ana", Err(AddressError::NoAt)),
            ("@example.com", Err(AddressError::LocalPart)),
            ("a..b@example.com", Err(AddressError::LocalPart)),
            (".a@example.com", Err(AddressError::LocalPart)),
            ("a b@example.com", Err(AddressError::LocalPart)),
            ("a\r\nRCPT@example.com", Err(AddressError::LocalPart)),
            ("\"a\r\n\"@example.com", Err(AddressError::LocalPart)),
            ("\"a\"b@example.com", Err(AddressError::NoAt)),
            ("a@", Err(AddressError::Domain)),
            ("a@b..c", Err(AddressError::Domain)),
            ("a@-b.example", Err(AddressError::Domain)),
            ("a@[300.1.1.1]", Err(AddressError::Domain)),
            ("a@b c", Err(AddressError::Domain)),
            ("a@b>c", Err(AddressError::Domain)),
        ];
        for (text, expected) in table {
            let found = Mailbox::parse(text);
            let found = found.as_ref().map(|m| (m.local_part(), m.domain())).map_err(|e| *e);
            assert_eq!(found, *expected, "{text:?}");
        }
    }

    #[test]
    fn case_does_not_make_another_mailbox() {
        let one = Mailbox::parse("Ana@Example.COM").unwrap();
        assert!(one.same_mailbox(&Mailbox::parse("ana@example.com").unwrap()));
        assert!(!one.same_mailbox(&Mailbox::parse("anna@example.com").unwrap()));
    }
}
