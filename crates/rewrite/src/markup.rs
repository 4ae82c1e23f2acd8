use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

/// A run of markup, in source order. Comments, declarations, and what stands inside `style`, `script` and their like
/// are left out.
pub(crate) enum Piece<'a> {
    /// Text, entities and all.
    Text(Range<usize>),
    /// A start or end tag.
    Tag(Tag<'a>),
}

/// A tag.
pub(crate) struct Tag<'a> {
    /// As written.
    pub(crate) name: &'a [u8],
    /// An end tag.
    pub(crate) closing: bool,
    /// The offset of its `<`.
    pub(crate) at: usize,
}

/// Walks markup to gather text: what can be seen, what a link says.
///
/// It never decides where an octet is changed, so it need not be exact where `lol_html` is.
pub(crate) struct Pieces<'a> {
    html: &'a [u8],
    at: usize,
}

/// What is inside is not markup, and not shown as text of the page.
const RAW: &[&[u8]] = &[
    b"style",
    b"script",
    b"title",
    b"textarea",
    b"xmp",
    b"iframe",
    b"noembed",
    b"noframes",
    b"noscript",
    b"template",
];

impl<'a> Pieces<'a> {
    pub(crate) fn new(html: &'a [u8], from: usize) -> Self {
        Self { html, at: from }
    }

    fn rest(&self) -> &'a [u8] {
        self.html.get(self.at..).unwrap_or_default()
    }

    /// Steps to `length` octets from here, or to the end.
    fn skip(&mut self, length: Option<usize>) {
        self.at = length.map_or(self.html.len(), |length| self.at + length);
    }

    fn tag(&mut self, closing: bool) -> Tag<'a> {
        let (at, rest) = (self.at, self.rest());
        let name = &rest[if closing { 2 } else { 1 }..];
        let name = &name[..name.iter().position(|octet| is_name_end(*octet)).unwrap_or(name.len())];
        self.skip(tag_length(rest));
        if !closing && RAW.iter().any(|raw| raw.eq_ignore_ascii_case(name)) {
            self.skip(find_end_tag(self.rest(), name));
        }
        Tag { name, closing, at }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            let rest = self.rest();
            match rest {
                [] => return None,
                [b'<', b'/', letter, ..] if letter.is_ascii_alphabetic() => {
                    return Some(Piece::Tag(self.tag(true)));
                }
                [b'<', letter, ..] if letter.is_ascii_alphabetic() => {
                    return Some(Piece::Tag(self.tag(false)));
                }
                [b'<', b'!', b'-', b'-', ..] => self.skip(comment_length(rest)),
                [b'<', b'!' | b'?' | b'/', ..] => self.skip(memchr(b'>', rest).map(|at| at + 1)),
                [_, after @ ..] => {
                    // A `<` that begins nothing is text.
                    let start = self.at;
                    self.at += memchr(b'<', after).map_or(rest.len(), |at| at + 1);
                    return Some(Piece::Text(start..self.at));
                }
            }
        }
    }
}

pub(crate) fn is_name_end(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | 0x0c | b'/' | b'>')
}

/// To the `>` that no quote holds.
fn tag_length(tag: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr3(b'>', b'"', b'\'', tag.get(at..)?)?;
        match tag[at] {
            b'>' => return Some(at + 1),
            quote => {
                let opens = tag[..at].iter().rfind(|octet| !octet.is_ascii_whitespace()) == Some(&b'=');
                at += 1;
                if opens {
                    at += memchr(quote, &tag[at..])? + 1;
                }
            }
        }
    }
}

/// From `<!--` to behind its end (WHATWG HTML §13.2.5.43 to 13.2.5.51). `None`: it has none.
pub(crate) fn comment_length(comment: &[u8]) -> Option<usize> {
    match comment.get(4..)? {
        [b'>', ..] => Some(5),
        [b'-', b'>', ..] => Some(6),
        inside => {
            let mut ends = memmem::find_iter(inside, b"--");
            ends.find_map(|at| match &inside[at + 2..] {
                [b'>', ..] => Some(4 + at + 3),
                // `--!>`; and `--->`, as the finder steps over overlaps.
                [b'!' | b'-', b'>', ..] => Some(4 + at + 4),
                _ => None,
            })
        }
    }
}

/// Where the end tag of this name begins.
fn find_end_tag(raw: &[u8], name: &[u8]) -> Option<usize> {
    memmem::find_iter(raw, b"</").find(|at| {
        let tag = &raw[at + 2..];
        tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            && tag.get(name.len()).is_none_or(|octet| is_name_end(*octet))
    })
}

/// The text of the element whose start tag ends at `from`: runs of text, and a blank where an element parts two words. At most
/// `limit` octets of markup are looked at.
pub(crate) fn text_within(html: &[u8], from: usize, name: &[u8], limit: usize) -> Vec<Option<Range<usize>>> {
    let end = html.len().min(from.saturating_add(limit));
    let mut text = Vec::new();
    for piece in Pieces::new(&html[..end], from) {
        match piece {
            Piece::Text(run) => text.push(Some(run)),
            // Links do not nest: a browser closes the first at the second's start.
            Piece::Tag(tag) if tag.name.eq_ignore_ascii_case(name) => break,
            Piece::Tag(tag) => {
                if BREAKS.iter().any(|other| other.eq_ignore_ascii_case(tag.name)) {
                    text.push(None);
                }
            }
        }
    }
    text
}

/// Words do not run on over these.
const BREAKS: &[&[u8]] = &[
    b"br", b"p", b"div", b"td", b"th", b"tr", b"table", b"li", b"center", b"h1", b"h2", b"h3", b"h4", b"h5",
    b"h6", b"hr", b"img",
];

/// Shown without any text.
const SHOWN: &[&[u8]] = &[
    b"img", b"image", b"svg", b"video", b"hr", b"input", b"button", b"canvas", b"object", b"embed", b"iframe",
];

/// Can anything be seen: text, or an image that is not one of those in `without`, which is sorted?
pub(crate) fn is_anything_visible(html: &[u8], without: &[Range<usize>]) -> bool {
    Pieces::new(html, 0).any(|piece| match piece {
        Piece::Text(run) => has_visible_character(&html[run]),
        Piece::Tag(tag) => {
            !tag.closing
                && SHOWN.iter().any(|shown| shown.eq_ignore_ascii_case(tag.name))
                && without.binary_search_by_key(&tag.at, |range| range.start).is_err()
        }
    })
}

/// Does nothing follow but end tags, comments and white space?
pub(crate) fn is_nothing_but_ends(html: &[u8], from: usize) -> bool {
    Pieces::new(html, from).all(|piece| match piece {
        Piece::Text(run) => html[run].trim_ascii().is_empty(),
        Piece::Tag(tag) => tag.closing,
    })
}

/// Does a letter follow, with nothing but end tags and comments before it? An image there would part it from the letter before: a
/// browser draws the two as they go together.
pub(crate) fn text_goes_on(html: &[u8], from: usize) -> bool {
    let next = Pieces::new(html, from).find(|piece| !matches!(piece, Piece::Tag(tag) if tag.closing));
    matches!(next, Some(Piece::Text(run)) if !html[run.start].is_ascii_whitespace())
}

/// Entities that show nothing. Others do.
const BLANK_ENTITIES: &[&str] = &[
    "nbsp",
    "zwnj",
    "zwj",
    "shy",
    "ensp",
    "emsp",
    "thinsp",
    "hairsp",
    "numsp",
    "lrm",
    "rlm",
    "Tab",
    "NewLine",
    "NoBreak",
    "ZeroWidthSpace",
    "NonBreakingSpace",
];

/// Characters that show nothing though they are no white space, as UTF-8.
pub(crate) const INVISIBLE: &[char] = &[
    '\u{ad}', '\u{34f}', '\u{180e}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}',
    '\u{2061}', '\u{2062}', '\u{2063}', '\u{2064}', '\u{2800}', '\u{feff}',
];

fn has_visible_character(run: &[u8]) -> bool {
    let mut rest = run;
    loop {
        rest = rest.trim_ascii_start();
        let Some(&first) = rest.first() else { return false };
        if first == b'&' {
            let Some(length) = blank_entity(rest) else { return true };
            rest = &rest[length..];
        } else if first.is_ascii() {
            return true;
        } else {
            let length = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
            let shows = |c: char| !c.is_whitespace() && !INVISIBLE.contains(&c);
            // Not UTF-8: in every other charset 0xA0 is the only blank worth telling.
            let visible = match std::str::from_utf8(&rest[..length]) {
                Ok(text) => text.chars().any(shows),
                Err(_) => rest[..length].iter().any(|octet| *octet != 0xa0),
            };
            if visible {
                return true;
            }
            rest = &rest[length..];
        }
    }
}

/// The length of the entity at the start, if it shows nothing.
fn blank_entity(text: &[u8]) -> Option<usize> {
    let end = text.iter().take(24).position(|octet| *octet == b';')?;
    let name = std::str::from_utf8(&text[1..end]).ok()?;
    let blank = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            let character = char::from_u32(code.ok()?)?;
            character.is_whitespace() || INVISIBLE.contains(&character)
        }
        None => BLANK_ENTITIES.contains(&name),
    };
    blank.then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_seen() {
        for (html, visible) in [
            ("", false),
            ("Hello", true),
            ("<p>Hi</p>", true),
            (
                "<html><head><title>Not on the page</title><style>p{color:red}</style></head><body></body></html>",
                false,
            ),
            ("<body>\r\n<p>&nbsp;</p><br>\u{200b}&zwnj;&#8203;&#x200B;\u{a0}&#160; </body>", false),
            ("<body><p>&nbsp;.</p></body>", true),
            ("<p>&amp;</p>", true),
            ("<p>&euro;</p>", true),
            ("<p>&</p>", true),
            ("<p>é</p>", true),
            ("<p>山</p>", true),
            ("<!-- text in a comment --><!-->", false),
            ("<!-- a --> b", true),
            ("<!--[if mso]>only in Outlook<![endif]-->", false),
            ("<script>document.write('x')</script><noscript>x</noscript><textarea>x</textarea>", false),
            ("<style>unclosed", false),
            ("<img src=\"cid:a\">", true),
            ("<IMG SRC=x>", true),
            ("<div><hr></div>", true),
            ("<p title=\"a > b\">", false),
            ("<p title='a > b' x=y>", false),
            ("<p x\">seen", true),
            ("<!DOCTYPE html>", false),
            ("<?xml version=\"1.0\"?>", false),
            ("</p>", false),
            ("<unclosed tag", false),
            ("1 < 2", true),
            ("<", true),
        ] {
            assert_eq!(is_anything_visible(html.as_bytes(), &[]), visible, "{html}");
        }
        assert!(
            !is_anything_visible(b"<p><img src=x></p>", std::slice::from_ref(&(3..14))),
            "our own pixel does not count"
        );
        assert!(!is_anything_visible(b"<p>\xa0</p>", &[]), "Latin-1");
        assert!(is_anything_visible(b"<p>\xe9</p>", &[]), "Latin-1");
    }

    #[test]
    fn what_a_link_says() {
        for (html, text) in [
            ("plain</a> after", "plain"),
            ("<b>bo</b>ld</A>", "bold"),
            ("one<br>two<p>three</a>", "one two three"),
            ("never closed", "never closed"),
            ("first<a href=x>second</a>", "first"),
            ("<!-- no -->yes<style>a{}</style></a>", "yes"),
            ("<area>a &lt; b</a>", "a &lt; b"),
            ("", ""),
        ] {
            assert_eq!(says(html, 0, 4096), text, "{html}");
        }
        assert_eq!(says("0123456789</a>", 2, 3), "234");
        assert_eq!(says("", 9, 3), "");
    }

    fn says(html: &str, from: usize, limit: usize) -> String {
        let text = text_within(html.as_bytes(), from, b"a", limit);
        text.into_iter().map(|run| run.map_or(" ", |run| &html[run])).collect()
    }

    #[test]
    fn comments_end_where_a_browser_ends_them() {
        for (comment, length) in [
            ("<!-- a -->b", Some(10)),
            ("<!-->b", Some(5)),
            ("<!--->b", Some(6)),
            ("<!---->b", Some(7)),
            ("<!----->b", Some(8)),
            ("<!-- a --!>b", Some(11)),
            ("<!-- a ---->b", Some(12)),
            ("<!-- a --->b", Some(11)),
            ("<!-- a -- b -->c", Some(15)),
            ("<!-- a", None),
            ("<!--", None),
        ] {
            assert_eq!(comment_length(comment.as_bytes()), length, "{comment}");
        }
    }
}
