use std::ops::Range;

use url::{Position, Url};

/// An http or https URL as a browser writes it: pure ASCII, the host in its ASCII form, no default port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    text: String,
    host: Range<usize>,
    /// There is a user name or password.
    pub(crate) userinfo: bool,
}

impl Address {
    /// Most links in mail are in that form already; telling so costs a tenth of parsing them.
    pub(crate) fn plain(url: &str) -> Option<Self> {
        let start = if url.starts_with("https://") { 8 } else { 7 };
        let host = plain_host(url, start)?;
        let rest = &url.as_bytes()[host.end..];
        is_plain(rest).then(|| Self { text: url.to_owned(), host, userinfo: false })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the host ends and the port or path begins.
    pub(crate) fn host_end(&self) -> usize {
        self.host.end
    }

    pub(crate) fn host(&self) -> &str {
        &self.text[self.host.clone()]
    }
}

impl From<Url> for Address {
    fn from(url: Url) -> Self {
        let host = url[..Position::BeforeHost].len()..url[..Position::AfterHost].len();
        let userinfo = !url.username().is_empty() || url.password().is_some();
        Self { text: url.into(), host, userinfo }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.text
    }
}

/// The host, if it is plain labels of letters, digits and hyphens, none of which IDNA or an IPv4 parser would touch, and
/// a path follows at once.
fn plain_host(url: &str, start: usize) -> Option<Range<usize>> {
    if !matches!(url.get(..start), Some("https://" | "http://")) {
        return None;
    }
    let end = start + memchr::memchr(b'/', &url.as_bytes()[start..])?;
    let host = &url[start..end];
    let is_plain = |label: &str| {
        let octets = label.as_bytes();
        let plain = octets.iter().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        // `xn--` is checked and decoded, and `--` in that place is kept for its like.
        plain && !label.is_empty() && octets.get(2..4) != Some(b"--")
    };
    let last = host.rsplit('.').next()?;
    let is_name = last.starts_with(|c: char| c.is_ascii_lowercase());
    (is_name && host.split('.').all(is_plain)).then_some(start..end)
}

/// Is this path, query and fragment what a browser makes of it (WHATWG URL §1.3, §4.4)?
fn is_plain(rest: &[u8]) -> bool {
    let (path, rest) =
        rest.split_at(rest.iter().position(|o| matches!(o, b'?' | b'#')).unwrap_or(rest.len()));
    let (query, fragment) = rest.split_at(memchr::memchr(b'#', rest).unwrap_or(rest.len()));
    // Dot segments, plain or encoded, are taken out.
    let mut before = 0;
    let path_is_plain = path.iter().all(|&octet| {
        let dot = octet == b'.' && before == b'/' || matches!(octet, b'e' | b'E') && before == b'2';
        before = octet;
        !dot && PATH[usize::from(octet)]
    });
    let is_graphic =
        |octet: &u8| octet.is_ascii_graphic() && !matches!(octet, b'"' | b'<' | b'>' | b'\'' | b'`');
    path_is_plain && query.iter().chain(fragment).all(is_graphic)
}

/// Octets of a path that stay as they are.
const PATH: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 128_u8 {
        table[octet as usize] = octet.is_ascii_alphanumeric()
            || matches!(
                octet,
                b'/' | b'.'
                    | b'-'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'+'
                    | b','
                    | b'='
                    | b':'
                    | b';'
                    | b'@'
                    | b'&'
                    | b'!'
                    | b'$'
                    | b'*'
                    | b'('
                    | b')'
            );
        octet += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_ones() {
        for url in [
            "https://example.com/",
            "http://www.example.com/a/b.html?c=d&e=%20#f",
            "https://a-b.example.co.uk/~x/@y:z;p=1,2",
            "https://localhost/",
            "https://3com.example/",
            "https://example.com/a.b/c..d",
        ] {
            assert_eq!(Address::plain(url), Some(Address::from(Url::parse(url).unwrap())), "{url}");
        }
        for url in [
            "",
            "https://",
            "https:///",
            "https://example.com",
            "https://example.com?a",
            "ftp://example.com/",
            "https://EXAMPLE.com/",
            "https://example.com:80/",
            "https://a@example.com/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f/",
            "https://1.2.0x3/",
            "https://xn--bcher-kva.example/",
            "https://example..com/",
            "https://example.com./",
            "https://.example/",
            "https://exam_ple.com/",
            "https://example.com/./a",
            "https://example.com/a/../b",
            "https://example.com/%2e/",
            "https://example.com/a b",
            "https://example.com/\\",
            "https://example.com/{a}",
            "https://example.com/?'",
            "https://example.com/#\"",
            "https://example.com/é",
            "https://[::1]/",
        ] {
            assert_eq!(Address::plain(url), None, "{url}");
        }
        let full = Address::from(Url::parse("https://ana:x@bücher.example:8080/").unwrap());
        assert_eq!((full.host(), full.userinfo), ("xn--bcher-kva.example", true));
        assert_eq!(Address::from(Url::parse("https://[::1]/").unwrap()).host(), "[::1]");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn what_is_taken_for_plain_is_what_the_parser_gives(
            url in "https?://[a-z0-9.-]{1,8}(\\.[a-z0-9x-]{1,4})?/[ -~]{0,8}([?][ -~]{0,6})?(#[ -~]{0,6})?",
            dots in "https://a\\.b/([.%2eE/a]{0,6}/?){0,3}",
        ) {
            for url in [url, dots] {
                if let Some(plain) = Address::plain(&url) {
                    let parsed = Url::parse(&url);
                    prop_assert_eq!(Ok(plain), parsed.map(Address::from), "{}", url);
                }
            }
        }
    }
}
