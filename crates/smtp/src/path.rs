use envelope::{AddressError, ForwardPath, Mailbox, ReversePath};

use crate::syntax_error::SyntaxError;

/// Reads `<…>` of MAIL and what follows it (RFC 5321 §4.1.2).
pub(crate) fn reverse_path(text: &str) -> Result<(ReversePath, &str), SyntaxError> {
    let (inner, rest) = brackets(text).ok_or(SyntaxError::NoReversePath)?;
    if inner.is_empty() {
        return Ok((ReversePath::Null, rest));
    }
    let mailbox = mailbox(inner).map_err(SyntaxError::ReversePath)?;
    Ok((ReversePath::Mailbox(mailbox), rest))
}

/// Reads `<…>` of RCPT and what follows it (RFC 5321 §4.1.1.3).
pub(crate) fn forward_path(text: &str) -> Result<(ForwardPath, &str), SyntaxError> {
    let (inner, rest) = brackets(text).ok_or(SyntaxError::NoForwardPath)?;
    if inner.is_empty() {
        return Err(SyntaxError::NoForwardPath);
    }
    if inner.eq_ignore_ascii_case("postmaster") {
        return Ok((ForwardPath::Postmaster, rest));
    }
    let mailbox = mailbox(inner).map_err(SyntaxError::ForwardPath)?;
    Ok((ForwardPath::Mailbox(mailbox), rest))
}

/// Splits `<inner> rest`. A `>` within quotes does not end the path: `<"x> SIZE=1 <y"@c.example>`
/// is one address, and taking its first half would let it inject a parameter.
fn brackets(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let rest = &text[at + 1..];
                let apart = rest.is_empty() || rest.starts_with(' ');
                return apart.then_some((&text[..at], rest));
            }
            _ => {}
        }
    }
    None
}

/// A mailbox, perhaps behind a source route, which is read and ignored (RFC 5321 §4.1.1.3, appendix C).
fn mailbox(text: &str) -> Result<Mailbox, AddressError> {
    if !text.starts_with('@') {
        return Mailbox::parse(text);
    }
    let (route, text) = text.split_once(':').ok_or(AddressError::LocalPart)?;
    for hop in route.split(',') {
        // "@domain" is an address but for its local part, so one is put there to check the domain.
        let domain = hop.strip_prefix('@').ok_or(AddressError::Domain)?;
        Mailbox::parse(&format!("route@{domain}"))?;
    }
    Mailbox::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_paths() {
        for (text, path, rest) in [
            ("<>", "<>", ""),
            ("<> SIZE=1", "<>", " SIZE=1"),
            ("<a@b.example>", "<a@b.example>", ""),
            ("<\"x> SIZE=1 <y\"@c.example> BODY=7BIT", "<\"x> SIZE=1 <y\"@c.example>", " BODY=7BIT"),
            ("<\"a\\\">b\"@c.example>", "<\"a\\\">b\"@c.example>", ""),
            ("<@one.example,@two.example:a@b.example>", "<a@b.example>", ""),
            ("<a@[127.0.0.1]>", "<a@[127.0.0.1]>", ""),
        ] {
            let (found, found_rest) = reverse_path(text).unwrap();
            assert_eq!((found.to_path().as_str(), found_rest), (path, rest), "{text}");
        }
    }

    #[test]
    fn what_is_no_path() {
        for text in [
            "",
            "a@b.example",
            "<a@b.example",
            "<a@b.example>x",
            "<a>",
            "<\"a@b.example>",
            "<one.example:a@b.example>",
            "<@one.example a@b.example>",
            "<@:a@b.example>",
            "<a@b.example>>",
            "<<a@b.example>>",
            "< a@b.example>",
        ] {
            assert!(reverse_path(text).is_err(), "{text}");
            assert!(forward_path(text).is_err(), "{text}");
        }
        assert!(forward_path("<>").is_err());
        assert_eq!(forward_path("<PostMaster>").unwrap().0, ForwardPath::Postmaster);
    }
}
