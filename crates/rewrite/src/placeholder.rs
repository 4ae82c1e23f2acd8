use std::borrow::Cow;

/// What templates put round a name that is filled in later. Both ends must be there.
const BRACKETS: &[(&str, &str)] = &[
    ("{{", "}}"),
    ("{%", "%}"),
    ("%%", "%%"),
    ("*|", "|*"),
    ("[[", "]]"),
    ("${", "}"),
    ("#{", "}"),
    ("<%", "%>"),
    ("[%", "%]"),
    ("{$", "}"),
    ("%recipient.", "%"),
    ("%recipient_", "%"),
];

/// Does a template's placeholder stand in this URL, plainly or percent-encoded as mail programs do it?
pub(crate) fn holds_placeholder(url: &str) -> bool {
    // Every bracket has one of these, or is encoded with a percent sign.
    let octets = url.as_bytes();
    if memchr::memchr3(b'{', b'%', b'[', octets).or_else(|| memchr::memchr(b'*', octets)).is_none() {
        return false;
    }
    is_in(url) || decoded(url).is_some_and(|plain| is_in(&plain))
}

fn is_in(url: &str) -> bool {
    BRACKETS.iter().any(|(open, close)| {
        let opened = url.match_indices(open).map(|(at, _)| &url[at + open.len()..]);
        let mut names = opened.map_while(|inside| inside.find(close).map(|end| &inside[..end]));
        // `{{}}` is nothing to fill in; between two broken percent signs stands anything.
        names.any(|name| !name.is_empty() && (open != close || !name.contains(['/', '&'])))
    })
}

/// Percent-encoding undone, once. `None`: there is none of a bracket.
fn decoded(url: &str) -> Option<Cow<'_, str>> {
    const ENCODED: &[&str] = &["%7b", "%7B", "%25", "%5b", "%5B", "%3c", "%3C", "%7c", "%7C"];
    if !ENCODED.iter().any(|code| url.contains(code)) {
        return None;
    }
    let octets = url.as_bytes();
    let mut plain = Vec::with_capacity(octets.len());
    let mut at = 0;
    while let Some(&octet) = octets.get(at) {
        let code = octets.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) if octet == b'%' => {
                plain.push(code);
                at += 3;
            }
            _ => {
                plain.push(octet);
                at += 1;
            }
        }
    }
    Some(Cow::Owned(String::from_utf8_lossy(&plain).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        for url in [
            "{{x}}",
            "https://example.com/{{ user.id }}",
            "https://{{host}}/",
            "{{{unsubscribe}}}",
            "%%unsubscribe%%",
            "https://example.com/?u=%%email%%",
            "*|UNSUB|*",
            "https://example.com/*|UNIQID|*/a",
            "[[x]]",
            "${x}",
            "https://example.com/${path}/b",
            "#{x}",
            "<%= url %>",
            "{% url 'x' %}",
            "[%link%]",
            "{$link}",
            "https://example.com/?e=%recipient.email%",
            "%7B%7Bx%7D%7D",
            "https://example.com/%7b%7buser%7d%7d",
            "https://example.com/%25%25id%25%25",
            "https://example.com/*%7CID%7C*",
            "https://example.com/%5B%5Bx%5D%5D",
            "https://example.com/%24%7Bx%7D",
            "https://example.com/$%7Bx%7D",
            "https://example.com/%3C%=x%%3E",
        ] {
            assert!(holds_placeholder(url), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://example.com/{a}",
            "https://example.com/?a[b][c]=1",
            "https://example.com/?a[]=1&b[]=2",
            "https://example.com/%7B1234-ABCD%7D",
            "https://example.com/100%25",
            "https://example.com/?q=50%25%20off",
            "https://example.com/100%",
            "https://example.com/100%%",
            "https://example.com/%%/a/%%",
            "https://example.com/*/a|b",
            "https://example.com/a%2Fb%20c",
            "https://example.com/{{",
            "https://example.com/{{}}",
            "https://example.com/?a=%25&b=%25",
            "https://example.com/#{",
            "https://example.com/é%é",
        ] {
            assert!(!holds_placeholder(url), "{url}");
        }
    }
}
