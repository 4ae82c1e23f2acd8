use std::borrow::Cow;

use envelope::Reason;
use url::{ParseError, Url};

use crate::address::Address;
use crate::charset::Charset;
use crate::survey::LinkDecision;
use crate::wishes::{Own, Wishes};
use crate::{link_text, placeholder, unsubscribe};

/// Longer URLs are not even looked at: a tracked link carries an eighth of this, and mail must not cost us time.
const MAX_URL_OCTETS: usize = 8_192;

/// What a tracked link can carry, and so the longest base that could be the beginning of one: a long base times many
/// links is more than any memory.
const MAX_TARGET_OCTETS: usize = 1_000;

/// Real fields have two or three. Each link is compared with all of them, and mail must not cost us time.
const MAX_UNSUBSCRIBE_TARGETS: usize = 32;

/// Decides about links.
pub(crate) struct Judge<'a> {
    wishes: &'a Wishes<'a>,
    charset: Charset,
    /// Relative links are relative to this.
    base: Option<Url>,
    /// The targets of List-Unsubscribe, as a browser writes them.
    unsubscribe: Vec<Address>,
}

/// A link as it stands in a part.
pub(crate) struct Candidate<'a> {
    /// The attribute's value, entities undone. `None`: octets that the charset does not have.
    pub(crate) href: Option<Cow<'a, str>>,
    /// The sender switched tracking of this one off.
    pub(crate) switched_off: bool,
    /// It stands in plain text: what a reader sees is the URL itself, and becomes the new one.
    pub(crate) bare: bool,
}

/// What became of a candidate.
pub(crate) struct Judged {
    pub(crate) decision: LinkDecision,
    /// It is a link of an earlier mail of ours, which led here.
    pub(crate) original: Option<String>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(wishes: &'a Wishes<'a>, charset: Charset, base: Option<&str>) -> Self {
        let base = base.filter(|href| href.len() <= MAX_TARGET_OCTETS).and_then(|href| Url::parse(href).ok());
        // Where a program wrote the header as it writes HTML.
        let parse = |url: String| Url::parse(&url.replace("&amp;", "&")).ok().map(Address::from);
        let fields = wishes.list_unsubscribe.iter();
        let targets = fields.flat_map(|body| unsubscribe::targets(body)).take(MAX_UNSUBSCRIBE_TARGETS);
        let unsubscribe = targets.filter_map(parse).collect();
        Self { wishes, charset, base, unsubscribe }
    }

    /// Decides; `text` is called, where it matters, for what the link says to a reader, entities undone.
    pub(crate) fn judge(&self, link: &Candidate<'_>, text: impl FnOnce() -> String) -> Judged {
        let mut original = None;
        let decision = match self.decide(link, &mut original, text) {
            Ok(address) if address.as_str().len() > MAX_TARGET_OCTETS => LinkDecision::Keep(Reason::TooLong),
            Ok(address) => LinkDecision::Track { target: address.into() },
            Err(reason) => LinkDecision::Keep(reason),
        };
        Judged { decision, original }
    }

    /// Is this image's source one of our pixels?
    pub(crate) fn is_own_pixel(&self, src: &str) -> bool {
        let Ok(address) = self.resolve(src) else { return false };
        // An image proxy's URL, Gmail's for one, ends in a fragment that says what it fetches.
        let proxied = address.as_str().split_once('#').and_then(|(_, fragment)| self.resolve(fragment).ok());
        let is_pixel = |address: &Address| self.wishes.history.own(address.as_str()) == Own::Pixel;
        is_pixel(&address) || proxied.is_some_and(|proxied| is_pixel(&proxied))
    }

    /// The URL to track, or why not.
    fn decide(
        &self,
        link: &Candidate<'_>,
        original: &mut Option<String>,
        text: impl FnOnce() -> String,
    ) -> Result<Address, Reason> {
        let href = link.href.as_deref().ok_or(Reason::UnparsableUrl)?;
        let mut found = self.resolve(href);
        let own = match &found {
            Ok(address) => self.wishes.history.own(address.as_str()),
            Err(_) => Own::NotOurs,
        };
        match own {
            Own::NotOurs => {}
            Own::Pixel | Own::Damaged => return Err(Reason::AlreadyTracked),
            Own::Link { target } => {
                found = self.resolve(original.insert(target));
            }
        }
        if link.switched_off {
            return Err(Reason::DataWaxsealOff);
        }
        let address = found?;
        match self.why_keep(&address, link.bare, text) {
            Some(reason) => Err(reason),
            None => Ok(address),
        }
    }

    /// Where a browser would go, or why there is nowhere to go that we may follow.
    fn resolve(&self, href: &str) -> Result<Address, Reason> {
        if href.len() > MAX_URL_OCTETS {
            return Err(Reason::TooLong);
        }
        let href = as_browsers_read(href);
        match href.as_bytes() {
            [] => return Err(Reason::EmptyHref),
            // `#{link}` too
            _ if placeholder::holds_placeholder(&href) => return Err(Reason::Placeholder),
            [b'#', ..] => return Err(Reason::Fragment),
            _ if let Some(address) = Address::plain(&href) => return Ok(address),
            _ if !self.charset.can_encode(&href) => return Err(Reason::UnparsableUrl),
            _ => {}
        }
        let encode: &dyn Fn(&str) -> Cow<'_, [u8]> = &|query| self.charset.encode_query(query);
        let in_utf_8 = self.charset.is_utf_8() || href.is_ascii();
        let parser = Url::options().encoding_override((!in_utf_8).then_some(encode));
        let url = match parser.parse(&href) {
            Ok(url) if !is_http(&url) => return Err(Reason::Scheme),
            // `https:example.com`: a path to a browser that shows a page by https, a host to others.
            Ok(_) if !has_authority(&href) => return Err(Reason::Relative),
            Ok(url) => url,
            Err(ParseError::RelativeUrlWithoutBase) => {
                let base = self.base.as_ref().ok_or(Reason::Relative)?;
                parser.base_url(Some(base)).parse(&href).map_err(|_| Reason::Relative)?
            }
            Err(_) => return Err(Reason::UnparsableUrl),
        };
        if is_http(&url) { Ok(url.into()) } else { Err(Reason::Scheme) }
    }

    fn why_keep(&self, address: &Address, bare: bool, text: impl FnOnce() -> String) -> Option<Reason> {
        let rules = self.wishes.rules;
        let keep_if_text_is_url = rules.keep_if_text_is_url && !bare;
        if address.userinfo {
            return Some(Reason::Userinfo);
        }
        // As long as the address: it is ASCII.
        let lower = in_lower_case(address.as_str());
        if rules.are_asked_to_keep(address, &lower) {
            return Some(Reason::Excluded);
        }
        if rules.keep_list_unsubscribe
            && (self.unsubscribe.contains(address) || unsubscribe::is_in_url(&lower))
        {
            return Some(Reason::Unsubscribe);
        }
        if rules.keep_as_one_time(address, &lower) {
            return Some(Reason::OneTime);
        }
        if rules.keep_as_app_link(address) {
            return Some(Reason::AppLink);
        }
        if rules.keep_list_unsubscribe || keep_if_text_is_url {
            let text = text().to_lowercase();
            if rules.keep_list_unsubscribe && unsubscribe::is_in_text(&text) {
                return Some(Reason::Unsubscribe);
            }
            if keep_if_text_is_url && link_text::is_url(&text) {
                return Some(Reason::TextIsUrl);
            }
        }
        None
    }
}

fn in_lower_case(url: &str) -> Cow<'_, str> {
    if url.bytes().any(|octet| octet.is_ascii_uppercase()) {
        Cow::Owned(url.to_ascii_lowercase())
    } else {
        Cow::Borrowed(url)
    }
}

/// Without the blanks and controls around it, and the tabs and line ends within (WHATWG URL §4.4).
fn as_browsers_read(href: &str) -> Cow<'_, str> {
    const DROPPED: [char; 3] = ['\t', '\r', '\n'];
    let trimmed = href.trim_matches(|c: char| c <= ' ');
    if trimmed.bytes().any(|octet| octet < b' ') {
        Cow::Owned(trimmed.replace(DROPPED, ""))
    } else {
        Cow::Borrowed(trimmed)
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// Are there two slashes, of either kind, behind the scheme?
fn has_authority(url: &str) -> bool {
    let after = url.split_once(':').map_or("", |(_, after)| after);
    matches!(after.as_bytes(), [b'/' | b'\\', b'/' | b'\\', ..])
}
