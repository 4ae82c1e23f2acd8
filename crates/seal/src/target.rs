use std::fmt;

use url::Url;

/// The longest destination a token carries. Longer ones are left untracked: mail programs and gateways cut long links.
pub const MAX_TARGET_OCTETS: usize = 1_000;

/// Where a redirect may lead: it came out of a token that we signed.
///
/// Pure printable ASCII without blanks, `http://` or `https://`, with a host and no user information, so it
/// may stand in a `Location` field as it is. Only [`Keys::open_link`](crate::Keys::open_link) makes one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifiedTarget(String);

/// Why a destination cannot be sealed into a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// Longer than [`MAX_TARGET_OCTETS`].
    #[error("the destination has {octets} octets; a link carries at most {limit}")]
    TooLong {
        /// How long it is.
        octets: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Not `http://` or `https://`.
    #[error("the destination is not an http or https URL")]
    NotHttp,
    /// A user name or password stands before the host.
    #[error("the destination holds a user name or password")]
    Userinfo,
    /// A control character, such as CR or LF, or a blank.
    #[error("the destination holds a control character or a blank")]
    Control,
    /// Octets beyond ASCII. A browser's own serialisation has none.
    #[error("the destination is not pure ASCII")]
    NotAscii,
    /// No URL by WHATWG's rules.
    #[error("the destination is not a URL")]
    NotAUrl,
    /// A URL, but not as a browser writes it: `https://EXAMPLE.com`, `https:\\example.com/`.
    #[error("the destination is not in the form a browser gives it")]
    NotSerialised,
}

impl VerifiedTarget {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For octets whose MAC was right. They are looked at once more: a token signed by a faulty earlier version, or
    /// with a stolen key, must still not split a header or lead to another scheme.
    pub(crate) fn from_signed(octets: &[u8]) -> Option<Self> {
        let target = std::str::from_utf8(octets).ok()?;
        // No URL parser here: a later one that takes less would kill links in mail sent long ago.
        check_octets(target).ok()?;
        Some(Self(target.to_owned()))
    }
}

impl fmt::Display for VerifiedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for VerifiedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// May this destination be signed?
pub(crate) fn check(target: &str) -> Result<(), MintError> {
    check_octets(target)?;
    let url = Url::parse(target).map_err(|_| MintError::NotAUrl)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(MintError::Userinfo);
    }
    // What leads a browser to one host and a laxer parser to another is never in this form.
    if url.as_str() == target { Ok(()) } else { Err(MintError::NotSerialised) }
}

/// The rules that need no URL parser and never change.
fn check_octets(target: &str) -> Result<(), MintError> {
    if target.len() > MAX_TARGET_OCTETS {
        return Err(MintError::TooLong { octets: target.len(), limit: MAX_TARGET_OCTETS });
    }
    if target.bytes().any(|octet| octet <= b' ' || octet == 0x7f) {
        return Err(MintError::Control);
    }
    if !target.is_ascii() {
        return Err(MintError::NotAscii);
    }
    let rest = target.strip_prefix("https://").or_else(|| target.strip_prefix("http://"));
    let rest = rest.ok_or(MintError::NotHttp)?;
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(MintError::Userinfo);
    }
    if authority.is_empty() { Err(MintError::NotAUrl) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_signed() {
        let long = format!("https://example.com/{}", "a".repeat(MAX_TARGET_OCTETS));
        let full = &long[..MAX_TARGET_OCTETS];
        for good in [
            "https://example.com/",
            "http://example.com:8080/a?b=c&d=%E2%82%AC#frag",
            "https://xn--bcher-kva.example/",
            "https://[2001:db8::1]/",
            "http://127.0.0.1/",
            "https://example.com/@ana",
            "https://example.com/?to=ana@example.com",
            "https://example.com/?q=\\",
            full,
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
            assert_eq!(VerifiedTarget::from_signed(good.as_bytes()).unwrap().as_str(), good);
        }
        let too_long = MintError::TooLong { octets: long.len(), limit: MAX_TARGET_OCTETS };
        for (bad, why) in [
            ("", MintError::NotHttp),
            ("/only/a/path", MintError::NotHttp),
            ("ftp://example.com/", MintError::NotHttp),
            ("javascript:alert(1)", MintError::NotHttp),
            ("data:text/html,x", MintError::NotHttp),
            ("mailto:ana@example.com", MintError::NotHttp),
            ("//example.com/", MintError::NotHttp),
            ("https:example.com", MintError::NotHttp),
            ("https://example.com/\r\nSet-Cookie: a=b", MintError::Control),
            ("https://example.com/\r", MintError::Control),
            ("https://example.com/\n", MintError::Control),
            ("https://example.com/\0", MintError::Control),
            ("https://example.com/\u{7f}", MintError::Control),
            ("https://example.com/a b", MintError::Control),
            (" https://example.com/", MintError::Control),
            ("https://exam\tple.com/", MintError::Control),
            ("https://ana@example.com/", MintError::Userinfo),
            ("https://ana:secret@example.com/", MintError::Userinfo),
            ("https://@example.com/", MintError::Userinfo),
            ("https://good.example@evil.example", MintError::Userinfo),
            ("https://bücher.example/", MintError::NotAscii),
            ("https://example.com/\u{85}", MintError::NotAscii),
            ("https:///", MintError::NotAUrl),
            ("https:///example.com/", MintError::NotAUrl),
            ("https://?a", MintError::NotAUrl),
            ("https://exa%00mple.com/", MintError::NotAUrl),
            ("https://example.com:99999/", MintError::NotAUrl),
            ("https://example.com", MintError::NotSerialised),
            ("HTTPS://example.com/", MintError::NotHttp),
            ("https://EXAMPLE.com/", MintError::NotSerialised),
            ("https://example.com\\@evil.example/", MintError::NotSerialised),
            ("https://example.com:443/", MintError::NotSerialised),
            ("https://example.com/a/../b", MintError::NotSerialised),
            // What a browser reads as one host and another program as another.
            ("http:\\\\evil.example/", MintError::NotHttp),
            ("http:\\\\evil.example\\", MintError::NotHttp),
            ("https:/\\evil.example/", MintError::NotHttp),
            ("https:/evil.example/", MintError::NotHttp),
            ("https://\\evil.example/", MintError::NotAUrl),
            ("https:////evil.example/", MintError::NotAUrl),
            ("https://example.com\\.evil.example/", MintError::NotSerialised),
            ("https://good.example#@evil.example/", MintError::NotSerialised),
            ("https://good.example?@evil.example/", MintError::NotSerialised),
            ("https://good.example%40evil.example/", MintError::NotAUrl),
            ("https://good.example:pw@evil.example/", MintError::Userinfo),
            ("\\\\evil.example/", MintError::NotHttp),
            ("\thttps://example.com/", MintError::Control),
            ("ht\ntps://example.com/", MintError::Control),
            ("https:\t//example.com/", MintError::Control),
            ("java\rscript:alert(1)", MintError::Control),
            ("https://example.com/\u{b}", MintError::Control),
            ("https://example.com/?a\r\n\r\n<script>", MintError::Control),
            ("https://example.com/\u{a0}", MintError::NotAscii),
            ("https://exa\u{ad}mple.com/", MintError::NotAscii),
            ("https://example\u{3002}com/", MintError::NotAscii),
            ("https://\u{ff45}xample.com/", MintError::NotAscii),
            ("https://example.com/\u{2028}", MintError::NotAscii),
            ("https://xn--/", MintError::NotAUrl),
            ("https://0x7f.1/", MintError::NotSerialised),
            ("https://2130706433/", MintError::NotSerialised),
            ("https://[::ffff:127.0.0.1]/", MintError::NotSerialised),
            ("https://example.com./../", MintError::NotSerialised),
            ("vbscript:x", MintError::NotHttp),
            ("file:///etc/passwd", MintError::NotHttp),
            ("blob:https://example.com/x", MintError::NotHttp),
            ("view-source:https://example.com/", MintError::NotHttp),
            ("HtTp://example.com/", MintError::NotHttp),
            (&long, too_long),
        ] {
            assert_eq!(check(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn however_long_it_is_it_is_refused_at_once() {
        for octets in [MAX_TARGET_OCTETS + 1, 65_536, 4_000_000] {
            let long = format!("https://example.com/{}", "/".repeat(octets - 20));
            assert_eq!(check(&long), Err(MintError::TooLong { octets, limit: MAX_TARGET_OCTETS }));
            assert_eq!(VerifiedTarget::from_signed(long.as_bytes()), None);
        }
    }

    #[test]
    fn what_was_signed_is_looked_at_again() {
        for bad in [
            b"https://example.com/\r\nX: y".as_slice(),
            b"javascript:alert(1)",
            b"https://ana@example.com/",
            b"https://",
            b"https://example.com/\xff",
            "https://bücher.example/".as_bytes(),
            b"",
        ] {
            assert_eq!(VerifiedTarget::from_signed(bad), None, "{}", bad.escape_ascii());
        }
    }
}
