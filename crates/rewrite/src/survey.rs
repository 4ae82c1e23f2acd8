use std::borrow::Cow;
use std::ops::Range;

use envelope::Reason;
use memchr::{memchr, memmem, memrchr};

use crate::charset::{Charset, Scannable};
use crate::glance::{self, Glance};
use crate::judge::{Candidate, Judge};
use crate::markup;
use crate::pixel::{self, Line};
use crate::plain_text::{self, FoundUrl, TextFormat};
use crate::scan::{self, FoundElement, FoundTag, Scan, Switch, Wanted};
use crate::wishes::Wishes;

/// What was found in a part and decided about it; [`Survey::edits`] carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Something can be seen: text, or an image.
    pub visible: bool,
    /// Where a pixel can go without doubt: an offset into the part. `None`: nowhere.
    pub pixel_at: Option<usize>,
    /// The links in document order, each with its own decision; none when links were not wished for.
    pub links: Vec<Link>,
    /// Pixels or links of earlier mail are quoted: carrying out the edits takes them out, with or without new ones.
    pub changes_history: bool,
    /// Where each of `links` stands.
    places: Vec<Place>,
    /// What goes in any case: switches, and pixels of earlier mail.
    removals: Vec<Range<usize>>,
    /// Links of earlier mail when links were not wished for.
    restorations: Vec<Place>,
    /// The line that `pixel_at` is in.
    pixel_line: Option<Line>,
    /// Plain text: URLs are written as they are.
    plain: bool,
}

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The attribute's value, entities undone.
    pub href: String,
    /// What to do about it.
    pub decision: LinkDecision,
}

/// What to do about a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkDecision {
    /// Lead it through us.
    Track {
        /// The URL a browser would have gone to, as it writes it: pure ASCII.
        target: String,
    },
    /// Leave it as it is, or as it was before we tracked it in an earlier mail.
    Keep(Reason),
}

/// Octets to put in the place of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The octets to replace; empty to insert.
    pub range: Range<usize>,
    /// Pure ASCII.
    pub replacement: Vec<u8>,
    /// The link this edit tracks, an index into [`Survey::links`].
    pub link: Option<usize>,
}

/// The value of an `href`, or a URL in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    range: Range<usize>,
    /// Where it led before an earlier mail of ours tracked it.
    original: Option<String>,
    /// The `>` of its tag follows at once.
    before_bracket: bool,
    /// Where the attribute's name begins, if a line may end before it.
    name: Option<usize>,
}

/// RFC 5322 §2.1.1: octets of a line.
const MAX_LINE_OCTETS: usize = 998;

/// Looks through one HTML part: `html` is its octets, the content-transfer-encoding undone, in `charset`.
///
/// Time and memory are bounded by a small multiple of the part's length, whatever is in it.
///
/// # Errors
/// With the reason to leave the whole part alone: a charset in which ASCII octets do not mean ASCII, or HTML that cannot be
/// followed without doubt.
pub fn survey(html: &[u8], charset: Option<&str>, wishes: &Wishes<'_>) -> Result<Survey, Reason> {
    let charset = Charset::find(charset, html)?;
    let Scannable { octets: seen, ends_in_ascii } = charset.scannable(html)?;
    let glance = Glance::at(&seen);
    let in_doubt = glance.foreign && !glance::is_foreign_content_sound(&seen)
        || glance.noscript && !glance::is_noscript_sound(&seen);
    if in_doubt {
        return Err(Reason::HtmlNotFollowed);
    }
    let marks = wishes.history.marks();
    let images = marks.is_empty() || glance::may_hold(&seen, marks);
    // No mail is links for the most part; one that were would have its pixel at the end.
    let longest = if wishes.links { seen.len() * 4 } else { seen.len() };
    let end = pixel::wish(&glance);
    let wanted = Wanted {
        area: glance.area,
        base: glance.base,
        images,
        comments: glance.linked_comments || images && glance.pictured_comments,
        body: pixel::is_for_start(longest, &glance, wishes.position)
            || glance.hiding
            || end.is_some_and(|end| markup::text_goes_on(&seen, end)),
        hiding: glance.hiding,
        mark_at: end,
    };
    let given_up = wishes.given_up;
    let mut scan = scan::scan(&seen, wanted, given_up)?;
    let length = seen.len() + if wishes.links { pixel::growth_by_links(&scan) } else { 0 };
    let for_start = pixel::is_for_start(length, &glance, wishes.position);
    let mut pixel_at = pixel::place(&seen, &glance, &scan, for_start, ends_in_ascii, given_up)?;
    if pixel_at.is_none() && !wanted.body {
        // The end is no place for it, and the start was not asked for.
        scan = scan::scan(&seen, Wanted { body: true, ..wanted }, given_up)?;
        pixel_at = pixel::place(&seen, &glance, &scan, for_start, ends_in_ascii, given_up)?;
    }
    let base = scan.base.clone().and_then(|range| attribute(html, range, charset));
    let judge = Judge::new(wishes, charset, base.as_deref());
    let mut draft =
        Draft { html, seen: &seen, charset, judge, links: wishes.links, survey: Survey::empty(false) };
    for tag in tags_in_order(scan, &seen, images, given_up)? {
        if given_up() {
            return Err(Reason::TooSlow);
        }
        draft.take(&tag);
    }
    let mut survey = draft.survey;
    survey.visible = markup::is_anything_visible(&seen, &survey.removals);
    survey.pixel_at = pixel_at;
    survey.pixel_line = pixel_at.map(|at| Line::around(html, at));
    Ok(survey)
}

/// Looks through a plain text part for URLs: `text` is its octets, the content-transfer-encoding undone, in `charset`.
///
/// A URL begins with `http://` or `https://` and ends where mail programs end it: before white space, `<`, `>` and quotes, without the
/// punctuation of the sentence or the brackets around. There is never a place for a pixel.
///
/// # Errors
/// With the reason to leave the whole part alone, as [`survey`].
pub fn survey_text(
    text: &[u8],
    charset: Option<&str>,
    format: TextFormat,
    wishes: &Wishes<'_>,
) -> Result<Survey, Reason> {
    let charset = Charset::find(charset, text)?;
    let seen = charset.scannable(text)?.octets;
    let judge = Judge::new(wishes, charset, None);
    let mut survey = Survey::empty(true);
    survey.visible = !seen.trim_ascii().is_empty();
    for found in plain_text::urls(&seen, text, charset, format) {
        if (wishes.given_up)() {
            return Err(Reason::TooSlow);
        }
        if survey.links.len() == scan::MAX_TAGS {
            return Err(Reason::TooLarge);
        }
        let FoundUrl { range, before, doubtful } = found;
        let href = charset.decode_lossy(&text[range.clone()]).into_owned();
        let link =
            Candidate { href: (!doubtful).then_some(Cow::Borrowed(&*href)), switched_off: false, bare: true };
        let judged = judge.judge(&link, || charset.decode_lossy(&text[before]).into_owned());
        let place = Place { range, original: judged.original, before_bracket: false, name: None };
        survey.take(place, href, judged.decision, wishes.links);
    }
    Ok(survey)
}

/// The tags of the part and those in its conditional comments.
fn tags_in_order(
    scan: Scan,
    seen: &[u8],
    images: bool,
    given_up: &dyn Fn() -> bool,
) -> Result<Vec<FoundTag>, Reason> {
    let mut tags = scan.tags;
    if scan.comments.is_empty() {
        return Ok(tags);
    }
    for comment in scan.comments {
        if given_up() {
            return Err(Reason::TooSlow);
        }
        let octets = &seen[comment.clone()];
        // `<!--[if …]>` inside `<![endif]-->`
        let Some(start) = memmem::find(octets, b"]>").map(|at| at + 2) else { continue };
        // A tag that nothing but the comment's own end would close is none.
        let Some(inside) = octets.strip_suffix(b"-->").or_else(|| octets.strip_suffix(b"--!>")) else {
            continue;
        };
        let end = memmem::rfind(inside, b"<![").unwrap_or(inside.len());
        if start < end {
            tags.extend(scan::scan_comment(&octets[start..end], comment.start + start, images)?);
        }
        if tags.len() > scan::MAX_TAGS {
            return Err(Reason::TooLarge);
        }
    }
    tags.sort_by_key(|tag| tag.range.start);
    Ok(tags)
}

/// A survey in the making.
struct Draft<'a> {
    html: &'a [u8],
    /// `html` as the scan saw it.
    seen: &'a [u8],
    charset: Charset,
    judge: Judge<'a>,
    links: bool,
    survey: Survey,
}

impl Draft<'_> {
    fn take(&mut self, tag: &FoundTag) {
        match tag.element {
            FoundElement::Image => self.take_image(tag),
            FoundElement::Link => self.take_link(tag),
        }
    }

    fn take_image(&mut self, tag: &FoundTag) {
        let src = tag.url.clone().and_then(|range| attribute(self.html, range, self.charset));
        if src.is_some_and(|src| self.judge.is_own_pixel(&src)) && !self.parts_halves(&tag.range) {
            self.survey.removals.push(tag.range.clone());
            self.survey.changes_history = true;
        }
    }

    fn take_link(&mut self, tag: &FoundTag) {
        self.survey.removals.extend(removed(self.seen, &tag.switches));
        let Some(range) = tag.url.clone() else { return };
        let href = attribute(self.html, range.clone(), self.charset);
        let switched_off = tag
            .switches
            .iter()
            .any(|switch| !self.html[switch.value.clone()].trim_ascii().eq_ignore_ascii_case(b"on"));
        let link = Candidate { href, switched_off, bare: false };
        let judged = self.judge.judge(&link, || self.text(tag));
        let lossy = || self.charset.decode_lossy(&self.html[range.clone()]);
        let href = link.href.unwrap_or_else(lossy).into_owned();
        let before_bracket = self.html.get(range.end) == Some(&b'>');
        let name = self.charset.lines_may_end().then_some(tag.url_name);
        let place = Place { range, original: judged.original, before_bracket, name };
        self.survey.take(place, href, judged.decision, self.links);
    }

    /// Would what stands before the tag and what stands behind become something else without it, markup or a character?
    fn parts_halves(&self, tag: &Range<usize>) -> bool {
        let (before, behind) = (&self.html[..tag.start], self.html.get(tag.end..).unwrap_or_default());
        let before = &before[memchr::memrchr2(b'>', b'\n', before).map_or(0, |end| end + 1)..];
        let behind = &behind[..memchr::memchr2(b'<', b'\n', behind).unwrap_or(behind.len()).min(TEXT_OCTETS)];
        let is_plain = |octet: Option<&u8>| octet.is_none_or(|octet| octet.is_ascii() && *octet != 0x1b);
        let apart = || format!("{}{}", self.charset.decode_lossy(before), self.charset.decode_lossy(behind));
        joins_markup(self.seen, tag)
            || !(is_plain(before.last()) && is_plain(behind.first()))
                && self.charset.decode_lossy(&[before, behind].concat()) != apart()
    }

    /// What the link says to a reader.
    fn text(&self, tag: &FoundTag) -> String {
        let name = &self.seen[tag.range.start + 1..tag.range.end];
        let name = &name[..name.iter().position(|octet| markup::is_name_end(*octet)).unwrap_or(name.len())];
        let mut text = String::new();
        for run in markup::text_within(self.seen, tag.range.end, name, TEXT_OCTETS) {
            match run {
                Some(run) => text.push_str(&self.charset.decode_lossy(&self.html[run])),
                None => text.push(' '),
            }
        }
        if text.contains('&') { htmlize::unescape(text).into_owned() } else { text }
    }
}

/// A link's text is looked at no further than this, in octets of markup.
const TEXT_OCTETS: usize = 4_096;

/// The attributes to take out of a tag, each with the blanks before it where these part nothing any more:
/// `<a data-waxseal="off"href=x>` needs them.
///
/// One stays where what is around it would mean something else without it: in `<a href data-waxseal=""=x>` the name `=x` would
/// become the value of the one before, in `<a/data-waxseal=off>` a slash that parted two attributes the end of the element.
fn removed(html: &[u8], switches: &[Switch]) -> Vec<Range<usize>> {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | 0x0c);
    let mut removed: Vec<Range<usize>> = Vec::new();
    // What stands before, the earlier ones gone: a slash, and blanks behind that.
    let (mut slash, mut blanks) = (false, false);
    for Switch { range, .. } in switches {
        let Range { start, end } = range.clone();
        let kept = html[..start].iter().rposition(|octet| !blank(octet)).map_or(0, |at| at + 1);
        let behind = html.get(end..).unwrap_or_default();
        if removed.last().is_some_and(|last| last.end == kept) {
            blanks |= kept < start;
        } else {
            (slash, blanks) = (html[..kept].ends_with(b"/"), kept < start);
        }
        match (behind.iter().find(|octet| !blank(octet)), behind.first()) {
            (None | Some(b'='), _) => {}
            (_, Some(b'>')) if slash && !blanks => {}
            (_, Some(next)) if !slash && (blank(next) || *next == b'>') => removed.push(kept..end),
            _ => removed.push(start..end),
        }
    }
    removed
}

/// Would the texts before and behind become a tag or a character reference if nothing were between them any more?
fn joins_markup(html: &[u8], range: &Range<usize>) -> bool {
    let (before, behind) = (&html[..range.start], html.get(range.end..).unwrap_or_default());
    let in_name = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'#';
    let name = before.iter().rev().take(MAX_REFERENCE_OCTETS).take_while(|octet| in_name(octet)).count();
    match (&before[..before.len() - name], behind.first()) {
        ([.., b'<'], Some(next)) if name == 0 => {
            next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?')
        }
        ([.., b'<', b'/'], Some(next)) if name == 0 => !next.is_ascii_whitespace(),
        ([.., b'&'], Some(next)) => in_name(next) || *next == b';',
        _ => false,
    }
}

/// The longest is `&CounterClockwiseContourIntegral;`.
const MAX_REFERENCE_OCTETS: usize = 40;

/// An attribute's value, entities undone. `None`: octets that the charset does not have, or NUL, which browsers replace
/// (WHATWG HTML §13.2.5.36) and other programs do not.
fn attribute(html: &[u8], range: Range<usize>, charset: Charset) -> Option<Cow<'_, str>> {
    let value = charset.decode(html.get(range)?).filter(|value| !value.contains('\0'))?;
    Some(if value.contains('&') {
        Cow::Owned(htmlize::unescape_attribute(value).into_owned())
    } else {
        value
    })
}

impl Survey {
    fn take(&mut self, place: Place, href: String, decision: LinkDecision, links: bool) {
        self.changes_history |= place.original.is_some();
        if links {
            self.links.push(Link { href, decision });
            self.places.push(place);
        } else if place.original.is_some() {
            self.restorations.push(place);
        }
    }

    fn empty(plain: bool) -> Self {
        Self {
            plain,
            visible: false,
            pixel_at: None,
            links: Vec::new(),
            changes_history: false,
            places: Vec::new(),
            removals: Vec::new(),
            restorations: Vec::new(),
            pixel_line: None,
        }
    }

    /// The edits, sorted and apart from each other: what earlier mail left is taken out, links are led to what `tracked_url`
    /// gives, a pixel is put in.
    ///
    /// `tracked_url` is called once for each link to track, in order, with its index into [`Survey::links`]; where it gives
    /// nothing the link stays, or becomes again what it was before an earlier mail of ours. `pixel_url` is the pixel's, which
    /// goes to [`Survey::pixel_at`].
    pub fn edits(
        &self,
        tracked_url: &mut dyn FnMut(usize) -> Option<String>,
        pixel_url: Option<&str>,
    ) -> Vec<Edit> {
        let mut edits =
            Vec::with_capacity(self.links.len() + self.removals.len() + self.restorations.len() + 1);
        edits.extend(self.removals.iter().map(|range| Edit {
            range: range.clone(),
            replacement: vec![],
            link: None,
        }));
        edits.extend(self.restorations.iter().filter_map(|place| self.restored(place)));
        for (index, (link, place)) in self.links.iter().zip(&self.places).enumerate() {
            let url = match link.decision {
                LinkDecision::Track { .. } => tracked_url(index),
                LinkDecision::Keep(_) => None,
            };
            match url {
                Some(url) => edits.push(Edit {
                    range: place.range.clone(),
                    replacement: self.written(url, place),
                    link: Some(index),
                }),
                None => edits.extend(self.restored(place)),
            }
        }
        if let (Some(at), Some(line), Some(url)) = (self.pixel_at, self.pixel_line, pixel_url) {
            edits.push(Edit { range: at..at, replacement: line.tag(&escaped(url)), link: None });
        }
        edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
        // A pixel put where one of an earlier mail is taken out is one edit.
        edits.dedup_by(|later, earlier| {
            let insertion_before = earlier.range.is_empty() && earlier.range.start == later.range.start;
            if insertion_before {
                earlier.range.end = later.range.end;
            }
            insertion_before
        });
        edits
    }

    /// [`Survey::edits`], with line ends before the links of lines that would pass 998 octets by them: in a tag a line end is as good
    /// as the blanks there. `html` is the part.
    pub fn edits_in_short_lines(
        &self,
        html: &[u8],
        tracked_url: &mut dyn FnMut(usize) -> Option<String>,
        pixel_url: Option<&str>,
    ) -> Vec<Edit> {
        let mut edits = self.edits(tracked_url, pixel_url);
        let links: Vec<&Edit> = edits.iter().filter(|edit| edit.link.is_some()).collect();
        let mut breaks = Vec::new();
        for on_line in links.chunk_by(|one, next| is_one_line(html, one.range.start..next.range.start)) {
            let growth = |link: &&Edit| link.replacement.len().saturating_sub(link.range.len());
            let length = on_line.first().map_or(0, |first| line_octets(html, first.range.start));
            if length + on_line.iter().map(growth).sum::<usize>() > MAX_LINE_OCTETS {
                breaks.extend(on_line.iter().filter_map(|edit| self.line_end_before(html, edit.link?)));
            }
        }
        edits.extend(breaks);
        edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
        edits
    }

    /// A line end for the blanks before a link's attribute.
    fn line_end_before(&self, html: &[u8], link: usize) -> Option<Edit> {
        let name = self.places.get(link)?.name?;
        let start = html[..name].iter().rposition(|octet| !matches!(octet, b' ' | b'\t'))? + 1;
        let begins_line = matches!(html[start - 1], b'\r' | b'\n');
        let edit =
            || Edit { range: start..name, replacement: pixel::line_end_of(html).into(), link: Some(link) };
        (start < name && !begins_line).then(edit)
    }

    fn restored(&self, place: &Place) -> Option<Edit> {
        let original = place.original.clone()?;
        Some(Edit { range: place.range.clone(), replacement: self.written(original, place), link: None })
    }

    fn written(&self, url: String, place: &Place) -> Vec<u8> {
        if self.plain {
            return url.into_bytes();
        }
        let mut text = escaped(&url);
        // `-->` would end a conditional comment.
        if place.before_bracket && (text.ends_with("--") || text.ends_with("--!")) {
            let last = text.pop().map(u32::from).unwrap_or_default();
            text.push_str(&format!("&#{last};"));
        }
        text.into_bytes()
    }
}

fn is_one_line(html: &[u8], range: Range<usize>) -> bool {
    html.get(range).is_some_and(|octets| memchr(b'\n', octets).is_none())
}

/// The length of the line around a place.
fn line_octets(html: &[u8], at: usize) -> usize {
    let before = memrchr(b'\n', &html[..at]).map_or(at, |end| at - end - 1);
    before + memchr(b'\n', &html[at..]).unwrap_or(html.len() - at)
}

/// As an attribute's value, whatever quotes it has or has not.
fn escaped(url: &str) -> String {
    let mut text = String::with_capacity(url.len() + 8);
    let mut rest = url;
    // Nearly every URL is one run, a token above all.
    while let Some(special) = rest.bytes().position(|octet| !is_plain(octet)) {
        let (run, from) = rest.split_at(special);
        text.push_str(run);
        let mut after = from.chars();
        match after.next() {
            Some('&') => text.push_str("&amp;"),
            Some(c) => text.push_str(&format!("&#{};", u32::from(c))),
            None => {}
        }
        rest = after.as_str();
    }
    text.push_str(rest);
    text
}

fn is_plain(octet: u8) -> bool {
    octet.is_ascii_graphic() && !matches!(octet, b'&' | b'"' | b'\'' | b'<' | b'>' | b'`')
}
