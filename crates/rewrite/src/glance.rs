use memchr::{memchr_iter, memmem};

use crate::markup;

/// What one look at the octets says before they are parsed.
///
/// It takes what stands in comments, scripts and attributes for markup too, so it only says what may be there: which
/// handlers the parser needs, and where to ask it. Whatever is told by it is checked by the parser.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is seen or not, apart from the others")]
pub(crate) struct Glance {
    /// The last `</body`.
    pub(crate) body_end: Option<usize>,
    /// The last `</html`.
    pub(crate) html_end: Option<usize>,
    /// There may be an `area`.
    pub(crate) area: bool,
    /// There may be a `base`.
    pub(crate) base: bool,
    /// There may be a comment that only Outlook looks into, with an `href` inside.
    pub(crate) linked_comments: bool,
    /// The same with a `src`.
    pub(crate) pictured_comments: bool,
    /// There may be an element that does not show an image inside it, or drops it.
    pub(crate) hiding: bool,
    /// There may be a `frameset`, which has no body to put an image in.
    pub(crate) frameset: bool,
    /// There may be an `svg` or `math`.
    pub(crate) foreign: bool,
    /// There may be a `noscript`.
    pub(crate) noscript: bool,
    /// There may be something that goes before or into the head: the part is no mere fragment of a body.
    pub(crate) head: bool,
    /// A formatting element may be left open: a browser opens it again around whatever comes later.
    pub(crate) unclosed_formatting: bool,
    /// The first formatting element.
    pub(crate) formatting: Option<usize>,
}

/// Elements that a browser opens again after they were cut off (WHATWG HTML §13.2.4.3).
const FORMATTING: &[&[u8]] = &[
    b"a", b"b", b"big", b"code", b"em", b"font", b"i", b"nobr", b"s", b"small", b"strike", b"strong", b"tt",
    b"u",
];

/// Elements inside which an image is not shown, or not even parsed as one.
pub(crate) const HIDING: &[&str] =
    &["select", "template", "object", "video", "audio", "canvas", "dialog", "details", "math", "svg"];

const HEAD: &[&[u8]] =
    &[b"html", b"head", b"meta", b"title", b"link", b"base", b"style", b"script", b"noscript", b"template"];

impl Glance {
    pub(crate) fn at(html: &[u8]) -> Self {
        let mut glance = Self::default();
        let mut open = [0_u32; FORMATTING.len()];
        let mut comments_until = 0;
        for at in memchr_iter(b'<', html) {
            let after = &html[at + 1..];
            match after {
                [b'!', ..] => glance.declaration(html, at, &mut comments_until),
                [b'/', name @ ..] => glance.end_tag(at, name, &mut open),
                [letter, ..] if letter.is_ascii_alphabetic() => glance.start_tag(at, after, &mut open),
                _ => {}
            }
        }
        glance.unclosed_formatting = open.iter().any(|count| *count > 0);
        glance
    }

    fn start_tag(&mut self, at: usize, tag: &[u8], open: &mut [u32]) {
        let mut lower = [0; 16];
        let name = name(tag, &mut lower);
        match name {
            b"area" => self.area = true,
            b"base" => {
                self.base = true;
                self.head = true;
            }
            b"body" => self.head = true,
            b"frameset" => self.frameset = true,
            _ => {
                if let Some(formatting) = position(FORMATTING, name) {
                    open[formatting] += 1;
                    self.formatting.get_or_insert(at);
                }
                self.head |= HEAD.contains(&name);
                self.foreign |= name == b"svg" || name == b"math";
                self.noscript |= name == b"noscript";
                self.hiding |= HIDING.iter().any(|hiding| hiding.as_bytes() == name);
            }
        }
    }

    fn end_tag(&mut self, at: usize, tag: &[u8], open: &mut [u32]) {
        let mut lower = [0; 16];
        match name(tag, &mut lower) {
            b"body" => self.body_end = Some(at),
            b"html" => self.html_end = Some(at),
            name => {
                if let Some(formatting) = position(FORMATTING, name) {
                    // One that closes nothing leaves no credit.
                    open[formatting] = open[formatting].saturating_sub(1);
                }
            }
        }
    }

    fn declaration(&mut self, html: &[u8], at: usize, comments_until: &mut usize) {
        let rest = &html[at..];
        if rest.get(2).is_some_and(u8::is_ascii_alphabetic) {
            self.head = true;
        }
        // Looked into once each, however many seem to begin inside one another.
        let all_seen = self.linked_comments && self.pictured_comments;
        if at < *comments_until || all_seen || !is_conditional(rest) {
            return;
        }
        let length = markup::comment_length(rest);
        *comments_until = length.map_or(usize::MAX, |length| at + length);
        if let Some(length) = length {
            let comment = &rest[..length];
            let holds = |[lower, upper]: [u8; 2], name: &str| {
                memchr::memchr2_iter(lower, upper, comment).any(|at| starts_with(&comment[at..], name))
            };
            self.linked_comments |= holds(*b"hH", "href");
            self.pictured_comments |= holds(*b"sS", "src");
        }
    }
}

/// Are the `svg` and `math` of a part nested as they should be?
///
/// What is text and what is markup inside them depends on the elements that are open, and `lol_html`, which keeps no tree, and a
/// browser may disagree once an end tag is missing or does not fit.
pub(crate) fn is_foreign_content_sound(html: &[u8]) -> bool {
    let mut open = Vec::new();
    for at in memchr_iter(b'<', html) {
        let (closing, tag) = match &html[at + 1..] {
            [b'/', tag @ ..] => (true, tag),
            tag => (false, tag),
        };
        let mut lower = [0; 16];
        let Some(element) = FOREIGN.iter().position(|name| *name == self::name(tag, &mut lower)) else {
            continue;
        };
        if !closing {
            // `<svg/>` opens nothing to a browser; a parser that knows less waits for its end.
            if memchr::memchr(b'>', tag).is_some_and(|end| tag[..end].ends_with(b"/")) {
                return false;
            }
            open.push(element);
        } else if open.pop() != Some(element) {
            return false;
        }
    }
    open.is_empty()
}

/// Does nothing that begins inside a `noscript` go on behind it?
///
/// A browser takes the inside for text; a mail program, which runs no scripts, for markup: an open comment, quote or
/// element of text in there swallows what comes later in the one and not in the other.
pub(crate) fn is_noscript_sound(html: &[u8]) -> bool {
    let mut at = 0;
    while let Some(open) = find_tag(html, at, b"noscript") {
        let inside = open + b"<noscript".len();
        let end = find_tag(html, inside, b"/noscript").unwrap_or(html.len());
        if !is_closed_in_itself(&html[inside..end]) {
            return false;
        }
        at = end;
    }
    true
}

fn is_closed_in_itself(inside: &[u8]) -> bool {
    let even = |quote: u8| memchr_iter(quote, inside).count().is_multiple_of(2);
    let last = |octet: u8| memchr::memrchr(octet, inside);
    let swallows = memchr_iter(b'<', inside).any(|at| {
        let mut lower = [0; 16];
        let tag = &inside[at + 1..];
        tag.starts_with(b"!") || SWALLOWING.contains(&name(tag, &mut lower))
    });
    !swallows && even(b'"') && even(b'\'') && last(b'<') <= last(b'>')
}

fn find_tag(html: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let rest = html.get(from..)?;
    memchr_iter(b'<', rest).map(|at| from + at).find(|at| {
        let tag = &html[at + 1..];
        tag.get(..wanted.len()).is_some_and(|name| name.eq_ignore_ascii_case(wanted))
    })
}

/// Elements whose inside is text, or is shown nowhere, or is another language's.
const SWALLOWING: &[&[u8]] = &[
    b"textarea",
    b"title",
    b"style",
    b"script",
    b"xmp",
    b"iframe",
    b"noembed",
    b"noframes",
    b"plaintext",
    b"select",
    b"template",
    b"svg",
    b"math",
    b"noscript",
];

/// The elements of foreign content, and those in it that hold HTML (WHATWG HTML §13.2.6.5).
const FOREIGN: &[&[u8]] = &[
    b"svg",
    b"math",
    b"title",
    b"desc",
    b"foreignobject",
    b"mi",
    b"mo",
    b"mn",
    b"ms",
    b"mtext",
    b"annotation-xml",
];

/// `<!--[if mso]>` and its like: Outlook, and old Internet Explorers, read the inside as markup.
pub(crate) fn is_conditional(comment: &[u8]) -> bool {
    starts_with(comment, "<!--[if")
}

/// Might one of these texts stand in the part, maybe with its slashes as entities?
pub(crate) fn may_hold(html: &[u8], marks: &[&str]) -> bool {
    let is_slash = |at: usize| ["&#47", "&#x2f"].iter().any(|slash| starts_with(&html[at..], slash));
    marks.iter().any(|mark| memmem::find(html, mark.as_bytes()).is_some())
        || memmem::find_iter(html, b"&#").any(is_slash)
}

fn starts_with(octets: &[u8], start: &str) -> bool {
    octets.get(..start.len()).is_some_and(|octets| octets.eq_ignore_ascii_case(start.as_bytes()))
}

fn position(names: &[&[u8]], name: &[u8]) -> Option<usize> {
    // By far most names are none of these; lengths tell that.
    if name.len() > LONGEST_FORMATTING { None } else { names.iter().position(|other| *other == name) }
}

const LONGEST_FORMATTING: usize = 6;

/// The tag's name in lower case; empty when it is longer than any we look for.
fn name<'a>(tag: &[u8], lower: &'a mut [u8; 16]) -> &'a [u8] {
    for (at, slot) in lower.iter_mut().enumerate() {
        match tag.get(at) {
            Some(octet) if !markup::is_name_end(*octet) => *slot = octet.to_ascii_lowercase(),
            _ => return &lower[..at],
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_may_be_there() {
        let html = b"<p></BODY></html ></body\n></htmlx>";
        let glance = Glance::at(html);
        assert_eq!((glance.body_end, glance.html_end), (Some(18), Some(10)));
        let quiet =
            |html: &str| format!("{:?}", Glance::at(html.as_bytes())) == format!("{:?}", Glance::default());
        for html in ["", "<", "</", "<!", "text < 3", "<p>a</p>", "<bodyguard>", "<!-- x -->"] {
            assert!(quiet(html), "{html}");
        }
        assert!(Glance::at(b"<AREA>").area);
        assert!(Glance::at(b"<Base href>").base);
        assert!(Glance::at(b"<frameset>").frameset);
        assert!(Glance::at(b"<select>").hiding);
        for head in ["<html>", "<!doctype html>", "<BODY>", "<style>", "<meta x>"] {
            assert!(Glance::at(head.as_bytes()).head, "{head}");
        }
        for unclosed in ["<b>", "<a><p></a><a>", "<FONT size=1>", "<i></b>", "</b></b><b>"] {
            assert!(Glance::at(unclosed.as_bytes()).unclosed_formatting, "{unclosed}");
        }
        for closed in ["<A href=x>a</a>", "<b><i></i></b>", "</b>"] {
            assert!(!Glance::at(closed.as_bytes()).unclosed_formatting, "{closed}");
        }
        assert_eq!(Glance::at(b"<p></b><I>").formatting, Some(7));
        for (html, linked) in [
            ("<!--[if mso]><a href=x><![endif]-->", true),
            ("<!--[IF mso]><v:rect HREF=x><![endif]-->", true),
            ("<!--[if mso]><table><![endif]--><a href=x>", false),
            ("<!--[if mso]><table>", false),
            ("<!-- [if mso]><a href=x> -->", false),
            ("<!-- a href -->", false),
            ("<!--[if mso]><!--[if mso]>--> href", false),
        ] {
            assert_eq!(Glance::at(html.as_bytes()).linked_comments, linked, "{html}");
            let pictured = html.replace("href", "src").replace("HREF", "Src");
            assert_eq!(Glance::at(pictured.as_bytes()).pictured_comments, linked, "{pictured}");
        }
    }

    #[test]
    fn foreign_content() {
        for (html, sound) in [
            ("<p>hi</p><svg/><textarea></svg><a>x</a></textarea>", false),
            ("<svg><title/></svg>", false),
            ("<svg></svg>", true),
            (
                "<title>x</title><svg><title>y</title><foreignObject><p>z</p></foreignObject></svg><math><mi>x</mi></math>",
                true,
            ),
            ("<svg>", false),
            ("<svg/>", false),
            ("<desc><svg></desc>", false),
            ("<math><mi></mtext></math>", false),
            ("</svg><svg>", false),
        ] {
            assert_eq!(is_foreign_content_sound(html.as_bytes()), sound, "{html}");
            assert!(Glance::at(html.as_bytes()).foreign);
        }
        assert!(!Glance::at(b"<mathias@example.com>").foreign);
    }

    #[test]
    fn inside_a_noscript() {
        for (html, sound) in [
            ("<noscript><img src=\"x\" width='1'></noscript>", true),
            ("<!--[if mso]><noscript><xml><o:x>96</o:x></xml></noscript><![endif]-->", true),
            ("<NoScript >a</NOSCRIPT><p title=\"", true),
            ("<noscript><textarea></noscript>", false),
            ("<noscript><!-- </noscript>", false),
            ("<noscript><style></noscript>", false),
            ("<noscript><p title=\"</noscript>", false),
            ("<noscript><p title='>'\"></noscript>", false),
            ("<noscript><p </noscript>", false),
            ("<noscript>a", true),
            ("<noscript><b", false),
        ] {
            assert_eq!(is_noscript_sound(html.as_bytes()), sound, "{html}");
            assert!(Glance::at(html.as_bytes()).noscript);
        }
    }

    #[test]
    fn marks() {
        assert!(may_hold(b"https://t.example/o/abc", &["/o/", "/c/"]));
        assert!(may_hold(b"https:&#x2F;&#x2F;t.example", &["/o/"]));
        assert!(!may_hold(b"https://t.example/open", &["/o/", "/c/"]));
    }
}
