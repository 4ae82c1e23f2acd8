use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::LazyLock;

use envelope::Reason;
use lol_html::errors::RewritingError;
use lol_html::html_content::{Comment, Element, EndTag};
use lol_html::{
    DocumentContentHandlers, ElementContentHandlers, EndTagHandler, HandlerResult, HtmlRewriter,
    MemorySettings, Selector, Settings,
};

use crate::glance::{self, HIDING};

/// Where things stand in a part, as `lol_html` found them. Its output is thrown away.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The start tags asked for, in document order.
    pub(crate) tags: Vec<FoundTag>,
    /// Conditional comments, from `<!--` to their end.
    pub(crate) comments: Vec<Range<usize>>,
    /// The `href` of the first `base` that has one.
    pub(crate) base: Option<Range<usize>>,
    /// Where the first `<body…>` ends.
    pub(crate) body_start: Option<usize>,
    /// Whether an image could go where [`Wanted::mark_at`] says.
    pub(crate) mark: Spot,
    /// Whether an image could go to the very end.
    pub(crate) end: Spot,
}

/// What an image put somewhere would become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spot {
    /// No image: part of a comment, an attribute, a script.
    #[default]
    Swallowed,
    /// An image inside something that does not show it.
    Hidden,
    /// An image.
    Sound,
}

/// A start tag that was asked for.
#[derive(Debug)]
pub(crate) struct FoundTag {
    pub(crate) range: Range<usize>,
    pub(crate) element: FoundElement,
    /// The value of `href`, or of an image's `src`, without quotes. `None`: no such attribute.
    pub(crate) url: Option<Range<usize>>,
    /// Where the name of that attribute begins.
    pub(crate) url_name: usize,
    /// The `data-waxseal` attributes, from the name to behind the value's quote.
    pub(crate) switches: Vec<Switch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundElement {
    /// `a`, `area`, or Outlook's VML.
    Link,
    /// `img`, or a picture of Outlook's VML.
    Image,
}

#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) range: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// What to look for.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each handler is wanted or not")]
pub(crate) struct Wanted {
    pub(crate) area: bool,
    pub(crate) base: bool,
    pub(crate) images: bool,
    pub(crate) comments: bool,
    pub(crate) body: bool,
    pub(crate) hiding: bool,
    /// Where the pixel is meant to go, other than to the very end.
    pub(crate) mark_at: Option<usize>,
}

/// An element of no meaning. It is shown to the parser where an image is meant to go: if it sees an element there, an image
/// would be one, and nothing after it reads any differently. It never leaves this file.
const MARK: &[u8] = b"<wxseal>";

/// `lol_html`'s own limit: a part whose nesting, or one tag of which, needs more is left alone.
const MEMORY_OCTETS: usize = 4 << 20;

/// It is fed so much at a time, to see in between whether anybody still waits. Well below what it may hold of a tag that is not
/// whole yet.
const FEED_OCTETS: usize = 1 << 20;

/// Links have no larger numbers; real mail has hundreds at most, and each takes memory.
pub(crate) const MAX_TAGS: usize = 1 << 16;

struct Selectors {
    a: Selector,
    area: Selector,
    base: Selector,
    img: Selector,
    body: Selector,
    html: Selector,
    mark: Selector,
    href: Selector,
    src: Selector,
    hiding: Vec<Selector>,
}

static SELECTORS: LazyLock<Selectors> = LazyLock::new(|| {
    let parse = |text: &str| text.parse().expect("a test parses each of these");
    Selectors {
        a: parse("a"),
        area: parse("area"),
        base: parse("base"),
        img: parse("img"),
        body: parse("body"),
        html: parse("html"),
        mark: parse("wxseal"),
        href: parse("*[href]"),
        src: parse("*[src]"),
        hiding: HIDING.iter().map(|name| parse(&format!("{name} wxseal"))).collect(),
    }
});

/// Scans a whole part.
///
/// # Errors
/// When it cannot be followed without doubt, or only with more memory than it is worth.
pub(crate) fn scan(html: &[u8], wanted: Wanted, given_up: &dyn Fn() -> bool) -> Result<Scan, Reason> {
    let scan = run(html, wanted, given_up)?;
    if wanted.mark_at.is_some() && scan.mark == Spot::Swallowed {
        // Then the mark became part of something, and what was found behind it may stand elsewhere.
        return run(html, Wanted { mark_at: None, ..wanted }, given_up);
    }
    Ok(scan)
}

fn run(html: &[u8], wanted: Wanted, given_up: &dyn Fn() -> bool) -> Result<Scan, Reason> {
    let notes = Notes { html, mark_at: wanted.mark_at, found: RefCell::default() };
    {
        let always = [(&SELECTORS.a, Ask::Link), (&SELECTORS.mark, Ask::Mark)];
        let maybe = [
            (wanted.area, &SELECTORS.area, Ask::Link),
            (wanted.images, &SELECTORS.img, Ask::Image),
            (wanted.base, &SELECTORS.base, Ask::Base),
            (wanted.body, &SELECTORS.body, Ask::Body),
        ];
        let maybe =
            maybe.into_iter().filter(|(wanted, ..)| *wanted).map(|(_, selector, ask)| (selector, ask));
        let hiding =
            SELECTORS.hiding.iter().filter(|_| wanted.hiding).map(|selector| (selector, Ask::Hidden));
        let (notes, mut settings) = (&notes, settings(true));
        for (selector, ask) in always.into_iter().chain(maybe).chain(hiding) {
            settings = on_element(settings, selector, move |element| {
                notes.note(ask, element);
                notes.have_room()
            });
        }
        if wanted.comments {
            let note = move |comment: &mut Comment<'_>| {
                notes.comment(comment);
                Ok(())
            };
            let handlers = DocumentContentHandlers::default().comments(note);
            settings = settings.append_document_content_handler(handlers);
        }
        feed(HtmlRewriter::new(settings, |_: &[u8]| {}), html, wanted.mark_at, given_up)?;
    }
    Ok(notes.found.into_inner())
}

fn on_element<'h>(
    settings: Settings<'h, 'static>,
    selector: &'static Selector,
    handler: impl FnMut(&mut Element<'_, '_>) -> HandlerResult + 'h,
) -> Settings<'h, 'static> {
    let handlers = ElementContentHandlers::default().element(handler);
    settings.append_element_content_handler((Cow::Borrowed(selector), handlers))
}

/// Scans the inside of a conditional comment, which starts at `offset`, for links, and for images if they are wanted:
/// Outlook's VML has them on elements of any name.
pub(crate) fn scan_comment(inside: &[u8], offset: usize, images: bool) -> Result<Vec<FoundTag>, Reason> {
    let notes = Notes { html: inside, mark_at: None, found: RefCell::default() };
    {
        // Not strict: no browser parses it.
        let mut settings = on_element(settings(false), &SELECTORS.href, |element| {
            let name = &inside[notes.name(element)];
            if name.contains(&b':')
                || [b"a".as_slice(), b"area"].iter().any(|link| link.eq_ignore_ascii_case(name))
            {
                notes.note(Ask::Link, element);
            }
            notes.have_room()
        });
        if images {
            settings = on_element(settings, &SELECTORS.src, |element| {
                let name = &inside[notes.name(element)];
                let is_image = name.contains(&b':') || name.eq_ignore_ascii_case(b"img");
                // One that is a link as well stays.
                if is_image && !element.has_attribute("href") {
                    notes.note(Ask::Image, element);
                }
                notes.have_room()
            });
        }
        let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
        followed(rewriter.write(inside))?;
        followed(rewriter.end())?;
    }
    let mut tags = notes.found.into_inner().tags;
    let shift = |range: &mut Range<usize>| *range = range.start + offset..range.end + offset;
    for tag in &mut tags {
        shift(&mut tag.range);
        tag.url.iter_mut().for_each(shift);
        tag.url_name += offset;
        for switch in &mut tag.switches {
            shift(&mut switch.range);
            shift(&mut switch.value);
        }
    }
    Ok(tags)
}

/// The last `</body>`, else the last `</html>`, that is a tag and closes one that was opened.
///
/// The slow way, for parts whose last one is none: it stands in a comment, a script, an attribute.
pub(crate) fn last_end_tag(html: &[u8], given_up: &dyn Fn() -> bool) -> Result<Option<usize>, Reason> {
    let ends: [Rc<RefCell<Option<usize>>>; 2] = Default::default();
    let mut settings = settings(true);
    for (selector, name, end) in [(&SELECTORS.body, "body", &ends[0]), (&SELECTORS.html, "html", &ends[1])] {
        settings = on_element(settings, selector, move |element| {
            let end = Rc::clone(end);
            let note: EndTagHandler<'static> = Box::new(move |tag: &mut EndTag<'_>| {
                // Also called when another end tag closes the element.
                if tag.name() == name {
                    *end.borrow_mut() = Some(tag.source_location().bytes().start);
                }
                Ok(())
            });
            element.on_end_tag(note)
        });
    }
    feed(HtmlRewriter::new(settings, |_: &[u8]| {}), html, None, given_up)?;
    let [body, html] = ends.map(|end| *end.borrow());
    Ok(body.or(html))
}

fn settings<'h>(strict: bool) -> Settings<'h, 'static> {
    let memory = MemorySettings::new().with_max_allowed_memory_usage(MEMORY_OCTETS);
    // Charsets do not matter to it: positions are octets, and text is decoded elsewhere.
    Settings::new().with_memory_settings(memory).with_strict(strict).with_adjust_charset_on_meta_tag(false)
}

fn feed(
    mut rewriter: HtmlRewriter<'_, impl FnMut(&[u8])>,
    html: &[u8],
    mark_at: Option<usize>,
    given_up: &dyn Fn() -> bool,
) -> Result<(), Reason> {
    let (before, after) = mark_at.and_then(|at| html.split_at_checked(at)).unwrap_or((html, b""));
    let mark = if mark_at.is_some() { MARK } else { b"" };
    for octets in [before, mark, after, MARK] {
        for octets in octets.chunks(FEED_OCTETS) {
            if given_up() {
                return Err(Reason::TooSlow);
            }
            followed(rewriter.write(octets))?;
        }
    }
    followed(rewriter.end())
}

fn followed(result: Result<(), RewritingError>) -> Result<(), Reason> {
    result.map_err(|error| match error {
        // Handlers have nothing else to complain of.
        RewritingError::ContentHandlerError(_) => Reason::TooLarge,
        _ => Reason::HtmlNotFollowed,
    })
}

/// What a handler is for.
#[derive(Clone, Copy)]
enum Ask {
    Link,
    Image,
    Base,
    Body,
    Mark,
    Hidden,
}

/// What the handlers share.
struct Notes<'a> {
    html: &'a [u8],
    mark_at: Option<usize>,
    found: RefCell<Scan>,
}

impl Notes<'_> {
    fn note(&self, ask: Ask, element: &Element<'_, '_>) {
        match ask {
            Ask::Link => self.tag(element, FoundElement::Link, b"href"),
            Ask::Image => self.tag(element, FoundElement::Image, b"src"),
            Ask::Base => self.base(element),
            Ask::Body => self.body(element),
            Ask::Mark => self.mark(element, Spot::Sound),
            Ask::Hidden => self.mark(element, Spot::Hidden),
        }
    }

    fn have_room(&self) -> HandlerResult {
        if self.found.borrow().tags.len() < MAX_TAGS { Ok(()) } else { Err("too many tags".into()) }
    }

    fn base(&self, element: &Element<'_, '_>) {
        let href = element.attributes().iter().find_map(|attribute| {
            let name = self.here(attribute.name_source_location()?.bytes());
            let href = self.slice(&name).eq_ignore_ascii_case(b"href");
            href.then(|| attribute.value_source_location().map_or(0..0, |value| self.here(value.bytes())))
        });
        let mut found = self.found.borrow_mut();
        if let (None, Some(href)) = (&found.base, href)
            && self.is_whole(&self.here(element.source_location().bytes()))
        {
            found.base = Some(href);
        }
    }

    fn body(&self, element: &Element<'_, '_>) {
        let range = self.here(element.source_location().bytes());
        if self.is_whole(&range) {
            self.found.borrow_mut().body_start.get_or_insert(range.end);
        }
    }

    fn mark(&self, element: &Element<'_, '_>, spot: Spot) {
        let at = element.source_location().bytes().start;
        let mut found = self.found.borrow_mut();
        // Both handlers may be asked about one mark: hidden wins.
        let put = |place: &mut Spot| {
            if *place != Spot::Hidden {
                *place = spot;
            }
        };
        if Some(at) == self.mark_at {
            put(&mut found.mark);
        }
        if at == self.html.len() + self.mark_at.map_or(0, |_| MARK.len()) {
            put(&mut found.end);
        }
    }

    fn comment(&self, comment: &Comment<'_>) {
        let range = self.here(comment.source_location().bytes());
        // One that the end of the part ends is none to Outlook.
        if glance::is_conditional(self.slice(&range)) && self.slice(&range).ends_with(b">") {
            self.found.borrow_mut().comments.push(range);
        }
    }

    fn tag(&self, element: &Element<'_, '_>, kind: FoundElement, url_name: &[u8]) {
        let range = self.here(element.source_location().bytes());
        if !self.is_whole(&range) {
            return;
        }
        let mut tag = FoundTag { range, element: kind, url: None, url_name: 0, switches: Vec::new() };
        let mut has_url = false;
        for attribute in element.attributes() {
            let Some(name) = attribute.name_source_location() else { continue };
            let name = self.here(name.bytes());
            let value = attribute.value_source_location().map(|value| self.here(value.bytes()));
            // Of two attributes with one name the first counts.
            if !has_url && self.slice(&name).eq_ignore_ascii_case(url_name) {
                has_url = true;
                tag.url = Some(value.unwrap_or(name.end..name.end));
                tag.url_name = name.start;
            } else if kind == FoundElement::Link && self.slice(&name).eq_ignore_ascii_case(b"data-waxseal") {
                let value = value.unwrap_or(name.end..name.end);
                let quoted = matches!(self.html.get(value.end), Some(b'"' | b'\'')) && value.start > name.end;
                let quoted = quoted && self.html.get(value.start - 1) == self.html.get(value.end);
                tag.switches.push(Switch { range: name.start..value.end + usize::from(quoted), value });
            }
        }
        if has_url || !tag.switches.is_empty() {
            self.found.borrow_mut().tags.push(tag);
        }
    }

    fn name(&self, element: &Element<'_, '_>) -> Range<usize> {
        let tag = self.here(element.source_location().bytes());
        let octets = self.html.get(tag.start + 1..tag.end).unwrap_or_default();
        let length =
            octets.iter().position(|octet| crate::markup::is_name_end(*octet)).unwrap_or(octets.len());
        tag.start + 1..tag.start + 1 + length
    }

    /// From positions in what the parser was fed to positions in the part.
    fn here(&self, range: Range<usize>) -> Range<usize> {
        let back = |at: usize| match self.mark_at {
            Some(mark) if at > mark => at.saturating_sub(MARK.len()).max(mark),
            _ => at,
        };
        back(range.start)..back(range.end)
    }

    /// A tag that the last mark completed is none.
    fn is_whole(&self, range: &Range<usize>) -> bool {
        range.end <= self.html.len()
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.html.get(range.clone()).unwrap_or_default()
    }
}
