use envelope::Reason;
use memchr::{memchr, memchr2, memrchr};

use crate::glance::{self, Glance};
use crate::markup;
use crate::scan::{self, FoundElement, Scan, Spot, Wanted};
use crate::wishes::PixelPosition;

/// Providers cut off longer HTML behind "show all" (Gmail at 102 KB), and a pixel with it.
const CLIPPED_OCTETS: usize = 102_400;

/// The 998 octets of RFC 5322 §2.1.1, less some for the links on the same line, which grow too.
const MAX_LINE_OCTETS: usize = 698;

/// Out of the flow and at the page's corner, so that nothing moves: no line of text is opened for it, no margins stop
/// collapsing, and the page does not grow by the row below its last line. Webmail that takes `position` away still has a
/// float whose margins take its size back: of 131 mails and traps drawn so, 15 differed, 55 with a block. `!important`
/// holds off a style sheet's `img { width: 100% !important }`, and the rest its borders and shadows.
///
/// Never `display:none`: programs do not load what they do not show. Outlook's engine takes the attributes for the size.
const STYLE: &str = "position:absolute!important;top:0!important;left:0!important;float:left!important;\
    width:1px!important;height:1px!important;min-width:0!important;min-height:0!important;max-width:1px!important;\
    max-height:1px!important;margin:-1px -1px 0 0!important;border:0!important;padding:0!important;background:none!important;\
    box-shadow:none!important;outline:0!important";

/// The place a pixel would best go to, before the parser was asked: an offset, or `None` for the very end.
pub(crate) fn wish(glance: &Glance) -> Option<usize> {
    glance.body_end.or(glance.html_end)
}

/// About how much longer the part becomes when its links are tracked: each by our own host and the token's own octets, and
/// by a third of itself, for base64.
pub(crate) fn growth_by_links(scan: &Scan) -> usize {
    let links = scan.tags.iter().filter(|tag| tag.element == FoundElement::Link);
    links.filter_map(|tag| tag.url.as_ref()).map(|url| GROWTH_OCTETS + url.len() / 3).sum()
}

const GROWTH_OCTETS: usize = 90;

/// Is the pixel to go to the start, if that can be found? `length` is the part's, once it is rewritten.
pub(crate) fn is_for_start(length: usize, glance: &Glance, position: PixelPosition) -> bool {
    match position {
        PixelPosition::Start => true,
        PixelPosition::End => false,
        // A formatting element that was left open would be opened again, with its border and all, round a pixel at the end.
        PixelPosition::Auto => length > CLIPPED_OCTETS || glance.unclosed_formatting,
    }
}

/// Where the pixel goes: where it is an image, shown, and moves nothing. `for_start`: to the start, if that is such a place.
pub(crate) fn place(
    html: &[u8],
    glance: &Glance,
    scan: &Scan,
    for_start: bool,
    ends_in_ascii: bool,
    given_up: &dyn Fn() -> bool,
) -> Result<Option<usize>, Reason> {
    if glance.frameset {
        return Ok(None);
    }
    let mut start = start(html, glance, scan);
    if glance.hiding && start.is_some() {
        // A `body` inside a `select` is none.
        let wanted = Wanted { hiding: true, mark_at: start, ..Wanted::default() };
        if scan::scan(html, wanted, given_up)?.mark != Spot::Sound {
            start = None;
        }
    }
    if start.is_some() && for_start {
        return Ok(start);
    }
    let body_end = end(html, glance, scan, given_up)?;
    let very_end = (scan.end == Spot::Sound && ends_in_ascii).then_some(html.len());
    // Text that goes on right behind the body is drawn as one with what stands before.
    let end = body_end.filter(|end| !markup::text_goes_on(html, *end)).or(very_end);
    let shown = |_: &usize| scan.mark != Spot::Hidden;
    Ok(end.filter(shown).or(start).or(body_end.filter(shown)))
}

/// Before the end of the body, else of the document, if that is a place for it.
fn end(
    html: &[u8],
    glance: &Glance,
    scan: &Scan,
    given_up: &dyn Fn() -> bool,
) -> Result<Option<usize>, Reason> {
    let Some(wish) = wish(glance) else { return Ok(None) };
    let end = match scan.mark {
        Spot::Sound => Some(wish),
        // The last one is no tag: it stands in a comment, a script, an attribute.
        Spot::Swallowed if !glance.hiding => scan::last_end_tag(html, given_up)?,
        Spot::Swallowed | Spot::Hidden => None,
    };
    // `</body>` in an `svg` ends the body for one, and the other is still in the `svg` behind it.
    let end = end.filter(|end| !glance.foreign || glance::is_foreign_content_sound(&html[..*end]));
    // What a browser opens again round the pixel goes on round what follows it.
    Ok(end.filter(|end| !glance.unclosed_formatting || markup::is_nothing_but_ends(html, *end)))
}

/// Behind `<body…>`; or at the very start of a mere fragment.
fn start(html: &[u8], glance: &Glance, scan: &Scan) -> Option<usize> {
    // A `body` in mid-text begins nothing, and formatting elements may be open there.
    let body =
        scan.body_start.filter(|start| glance.formatting.is_none_or(|formatting| formatting >= *start));
    body.or_else(|| {
        let start = if html.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        // White space before a body begins is nothing; behind the pixel it would be text.
        let rest = html[start..].trim_ascii_start();
        // What is nothing before a body begins, `</p>` for one, is something in it.
        let begins = match rest {
            [b'<', next, ..] => next.is_ascii_alphabetic(),
            other => !other.is_empty(),
        };
        (begins && !glance.head).then_some(html.len() - rest.len())
    })
}

/// How the lines of the part end.
pub(crate) fn line_end_of(html: &[u8]) -> &'static str {
    match memchr(b'\n', html) {
        Some(end) if end == 0 || html[end - 1] != b'\r' => "\n",
        _ => "\r\n",
    }
}

/// The line the pixel goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its octets before the pixel.
    before: usize,
    /// Its octets behind.
    after: usize,
    end: &'static str,
}

impl Line {
    pub(crate) fn around(html: &[u8], at: usize) -> Self {
        let before = memrchr(b'\n', &html[..at]).map_or(at, |end| at - end - 1);
        let after = memchr2(b'\r', b'\n', &html[at..]).unwrap_or(html.len() - at);
        Self { before, after, end: line_end_of(html) }
    }

    /// The pixel's tag; `url` is escaped. Where the line would grow too long, it is broken inside the tag, where that
    /// means nothing.
    pub(crate) fn tag(self, url: &str) -> Vec<u8> {
        let (src, style) = (format!("src=\"{url}\""), format!("style=\"{STYLE}\""));
        let parts = ["<img", &src, "width=\"1\" height=\"1\" alt=\"\"", &style, ">"];
        let length: usize = parts.iter().map(|part| part.len() + 1).sum();
        let gap = if self.before + length + self.after <= MAX_LINE_OCTETS { " " } else { self.end };
        parts.join(gap).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_breaks_long_lines_inside_itself() {
        let tag = |html: &[u8], at| Line::around(html, at).tag("https://t.example/o/x");
        let short = tag(b"<p>a</p></body>", 8);
        assert!(!short.contains(&b'\n'));
        let text = String::from_utf8(short).unwrap();
        assert!(
            text.starts_with("<img src=\"https://t.example/o/x\" width=\"1\" height=\"1\" alt=\"\" style=\""),
            "{text}"
        );
        assert!(!text.contains("display:none"));

        let line = format!("<p>{}</p>\r\n<p>{}</p></body></html>", "a".repeat(980), "b".repeat(900));
        let at = line.find("</body>").unwrap();
        let edited = [&line.as_bytes()[..at], &tag(line.as_bytes(), at), &line.as_bytes()[at..]].concat();
        let edited = String::from_utf8(edited).unwrap();
        assert!(edited.split("\r\n").all(|line| line.len() <= 998 && !line.contains('\n')));

        let unix = line.replace('\r', "");
        assert!(!tag(unix.as_bytes(), at - 1).contains(&b'\r'), "line ends stay of one kind");
    }
}
