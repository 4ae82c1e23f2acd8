use crate::address::Address;
use crate::{app_link, one_time};

/// Which links stay as they are, beside those that never change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each rule is on or off by itself")]
pub struct LinkRules {
    /// Leave links alone that match one of these: `*` stands for anything, upper and lower case are alike, and the
    /// scheme may be left out. `*.example.com/unsubscribe*`; without a slash, `*.example.com` is every link to such a host.
    pub keep: Vec<String>,
    /// Leave a link alone whose visible text is itself a URL: mail programs warn when text and target differ.
    pub keep_if_text_is_url: bool,
    /// Leave sign-in, reset and other links alone that work only once: scanners would use them up.
    pub keep_one_time: bool,
    /// Leave links alone that open an app: behind a redirect they open the browser.
    pub keep_app_links: bool,
    /// Leave the target of List-Unsubscribe alone, and whatever looks like a link for unsubscribing.
    pub keep_list_unsubscribe: bool,
}

impl Default for LinkRules {
    fn default() -> Self {
        Self {
            keep: Vec::new(),
            keep_if_text_is_url: true,
            keep_one_time: true,
            keep_app_links: true,
            keep_list_unsubscribe: true,
        }
    }
}

impl LinkRules {
    /// Did somebody write down that this link stays? `lower` is the URL in lower case.
    pub(crate) fn are_asked_to_keep(&self, address: &Address, lower: &str) -> bool {
        let without_scheme = lower.split_once("://").map_or(lower, |(_, rest)| rest);
        self.keep.iter().any(|pattern| {
            let subject = match (pattern.contains("://"), pattern.contains('/')) {
                (true, _) => lower,
                (false, true) => without_scheme,
                (false, false) => address.host(),
            };
            matches(pattern, subject)
        })
    }

    pub(crate) fn keep_as_one_time(&self, address: &Address, lower: &str) -> bool {
        self.keep_one_time && one_time::is_one_time(&lower[address.host_end()..])
    }

    pub(crate) fn keep_as_app_link(&self, address: &Address) -> bool {
        self.keep_app_links && app_link::is_app_host(address.host())
    }
}

/// Does the whole of `subject`, in lower case, match the pattern? At most as many steps as the product of their lengths.
fn matches(pattern: &str, subject: &str) -> bool {
    let (pattern, subject) = (pattern.as_bytes(), subject.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much it has taken.
    let mut star: Option<(usize, usize)> = None;
    while let Some(octet) = subject.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(expected) if expected.to_ascii_lowercase() == *octet => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, seen) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|octet| *octet == b'*')
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, url, kept) in [
            ("*.example.com/unsubscribe*", "https://news.example.com/unsubscribe?u=1", true),
            ("*.example.com/unsubscribe*", "https://example.com/unsubscribe", false),
            ("*example.com/unsubscribe*", "https://example.com/unsubscribe", true),
            ("*.EXAMPLE.com/*", "https://news.example.com/Path", true),
            ("example.com/a", "https://example.com/a", true),
            ("example.com/a", "https://example.com/ab", false),
            ("example.com", "https://example.com/anything?x=y", true),
            ("example.com", "https://www.example.com/", false),
            ("*.example.com", "https://www.example.com/?evil=x.example.com", true),
            ("*.example.com", "https://evil.example/x.example.com", false),
            ("https://example.com/*", "https://example.com/x", true),
            ("https://example.com/*", "http://example.com/x", false),
            ("*", "https://example.com/", true),
            ("", "https://example.com/", false),
            ("example.com/*/b/*/c", "https://example.com/a/b/b/b/c/c", true),
            ("example.com/*a*a*a*a*b", "https://example.com/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("example.com:8080/*", "https://example.com:8080/x", true),
        ] {
            let rules = LinkRules { keep: vec![pattern.into()], ..LinkRules::default() };
            let url = Address::from(Url::parse(url).unwrap());
            assert_eq!(
                rules.are_asked_to_keep(&url, &url.as_str().to_lowercase()),
                kept,
                "{pattern} {url:?}"
            );
        }
    }

    #[test]
    fn each_rule_can_be_switched_off() {
        let off = LinkRules { keep_one_time: false, keep_app_links: false, ..LinkRules::default() };
        let once = Address::from(Url::parse("https://example.com/reset-password").unwrap());
        let is_kept = |rules: &LinkRules| rules.keep_as_one_time(&once, once.as_str());
        assert!(is_kept(&LinkRules::default()) && !is_kept(&off));
        let app = Address::from(Url::parse("https://wa.me/1").unwrap());
        assert!(LinkRules::default().keep_as_app_link(&app) && !off.keep_as_app_link(&app));
    }
}
