use rewrite::{History, Own};
use seal::{Keys, LINK_PATH, PIXEL_PATH, REFUSAL_PATH, UNSUBSCRIBE_PATH};

/// Tells our own earlier pixels and links in quoted text from everybody else's.
///
/// A URL is ours when it stands under one of our base URLs and its token opens with one of our
/// keys; so a link of another installation, or one that only looks like ours, is left alone.
pub(crate) struct OwnHistory<'a> {
    pub(crate) keys: &'a Keys,
    /// Without a slash at the end.
    pub(crate) base_urls: &'a [String],
}

impl History for OwnHistory<'_> {
    fn own(&self, url: &str) -> Own {
        match self.own_once(url) {
            // Wrapped twice, by an older version or by another program of ours: back to where it really led.
            Own::Link { mut target } => {
                for _ in 1..MAX_WRAPPINGS {
                    match self.own_once(&target) {
                        Own::Link { target: inner } => target = inner,
                        _ => break,
                    }
                }
                Own::Link { target }
            }
            other => other,
        }
    }

    fn marks(&self) -> &[&str] {
        // A program may have written the slashes as references.
        &[PIXEL_PATH, "&#47;", "&#x2f;", "&#x2F;", "&sol;"]
    }
}

/// Each wrapping makes a link a third longer, so that more of them do not fit into a token anyway.
const MAX_WRAPPINGS: usize = 8;

impl OwnHistory<'_> {
    fn own_once(&self, url: &str) -> Own {
        let url = url.trim();
        let Some(path) = self.base_urls.iter().find_map(|base| after_base(url, base)) else {
            return Own::NotOurs;
        };
        // Mail programs add fragments and queries when they quote; a token holds neither # nor ?.
        let path = path.split(['#', '?']).next().unwrap_or_default();
        if let Some(token) = path.strip_prefix(PIXEL_PATH) {
            return self.keys.open_pixel(token).map_or(Own::Damaged, |_| Own::Pixel);
        }
        if let Some(token) = path.strip_prefix(LINK_PATH) {
            return self
                .keys
                .open_link(token)
                .map_or(Own::Damaged, |link| Own::Link { target: link.target.as_str().to_owned() });
        }
        // For one recipient to click, and not for us to count.
        if [UNSUBSCRIBE_PATH, REFUSAL_PATH].iter().any(|ours| path.starts_with(ours)) {
            return Own::Damaged;
        }
        Own::NotOurs
    }
}

/// What stands behind the base URL, whose scheme and host any program may have re-cased (RFC 3986 §6.2.2.1).
fn after_base<'a>(url: &'a str, base: &str) -> Option<&'a str> {
    let (head, rest) = url.split_at_checked(base.len())?;
    (head.eq_ignore_ascii_case(base) && rest.starts_with('/')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use envelope::{RelayId, Timestamp};
    use seal::Recipient;

    use super::*;

    #[test]
    fn only_what_opens_is_ours() {
        let keys = Keys::generate([7; 32]);
        let id = RelayId::new(Timestamp::from_unix_millis(0), [1; 10]);
        let pixel = keys.seal_pixel(id, Recipient::Shared);
        let link = keys.seal_link(id, Recipient::Index(0), 3, "https://example.com/a?b=1").unwrap();
        let foreign = Keys::generate([8; 32]).seal_pixel(id, Recipient::Shared);
        let bases = ["https://t.example.com".to_owned(), "https://old.example.com".to_owned()];
        let history = OwnHistory { keys: &keys, base_urls: &bases };
        let target = || Own::Link { target: "https://example.com/a?b=1".into() };
        for (url, expected) in [
            (format!("https://t.example.com/o/{pixel}"), Own::Pixel),
            (format!("HTTPS://T.Example.COM/o/{pixel}"), Own::Pixel),
            (format!(" https://old.example.com/c/{link}#x "), target()),
            (format!("https://t.example.com/c/{link}"), target()),
            (format!("https://t.example.com/c/{pixel}"), Own::Damaged),
            (format!("https://t.example.com/o/{foreign}"), Own::Damaged),
            ("https://t.example.com/u/AAAA".to_owned(), Own::Damaged),
            ("https://t.example.com/r/AAAA?x".to_owned(), Own::Damaged),
            ("https://other.example.com/u/AAAA".to_owned(), Own::NotOurs),
            (format!("https://t.example.com.evil.test/o/{pixel}"), Own::NotOurs),
            (format!("https://other.example.com/o/{pixel}"), Own::NotOurs),
            ("https://t.example.com/".to_owned(), Own::NotOurs),
            ("https://t.example.com".to_owned(), Own::NotOurs),
        ] {
            assert_eq!(history.own(&url), expected, "{url}");
        }
    }
}
