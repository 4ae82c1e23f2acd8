use std::ops::Range;
use std::sync::{Arc, LazyLock};

use ::rewrite::{LinkRules, PixelPosition};
use envelope::{Choice, RelayId, Timestamp};
use mail_parser::{ContentType, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use mime::TransferEncoding;
use relay::{OnDkim, Rewriting, Rewritten, Tracking};
use seal::{Keys, LINK_PATH, PIXEL_PATH, Recipient};

use super::document::Whose;
use super::octets;
use super::reference::{self, longest_line};

const BASE_URL: &str = "https://t.example.com";
const TRACK_FIELD: &str = "X-Waxseal-Track";

/// The keys of `tests/harness/collection.rs`, so that the pixels and links quoted in its messages are our own here too.
static KEYS: LazyLock<Arc<Keys>> = LazyLock::new(|| Arc::new(Keys::generate([42; 32])));

/// Rewrites any message: what comes out is what went in but for this message's links and its one pixel, by a reader that
/// shares nothing with the rewriting.
///
/// `data` is one octet of choices, as [`tracking`] reads it, and the message.
pub fn rewrite(data: &[u8]) {
    let Some((&choices, submitted)) = data.split_first() else { return };
    let raw = Arc::new(relay::without_control_fields(submitted, TRACK_FIELD).into_owned());
    for name in
        [TRACK_FIELD, "X-Waxseal-Link", "X-Waxseal-Tag", "X-PM-TrackOpens", "X-MC-Track", "X-Mailgun-Track"]
    {
        assert_eq!(mime::field_bodies(&raw, name), Vec::<String>::new(), "{name} is still there");
    }
    let tracking = tracking(choices);
    let rewritten = relay::rewrite(&raw, &tracking);
    is_consistent(&rewritten, &tracking);
    if !rewritten.is_tracked() && !rewritten.history {
        assert!(rewritten.content == raw, "nothing was done, and something changed");
        return;
    }
    // A signature the client made is taken off with the first change.
    let before = mime::remove_fields(&raw, &["DKIM-Signature"]);
    lines_are_no_worse(&before, &rewritten.content);
    same_parts_to_us(&before, &rewritten.content);
    let is_cut = |left: &mime::LeftPart| left.obstacle == mime::Obstacle::BoundaryInLine;
    if !mime::locate(&before).left.iter().any(is_cut) {
        // Else mail-parser 0.11 cuts that part in two, and may take what follows it for the header of the second half.
        Comparison { before: &before, after: &rewritten.content, rewritten: &rewritten, tracking: &tracking }
            .check();
    }
    same_documents(&before, &rewritten.content);
}

/// A browser's view of each displayed part.
fn same_documents(before: &[u8], after: &[u8]) {
    let (was, is) = (mime::locate(before), mime::locate(after));
    for (old, new) in was.html.iter().zip(&is.html) {
        let text =
            |raw: &[u8], part: &mime::TextPart| reference::decode(&raw[part.body.clone()], part.encoding);
        let (Some(was), Some(is)) = (text(before, old), text(after, new)) else { continue };
        if let Some(reading) = super::reading(old.charset.as_deref(), &was, &Ours).filter(|_| was != is) {
            super::same_document(&reading, &was, &is);
        }
    }
}

/// What [`KEYS`] made.
struct Ours;

impl Whose for Ours {
    fn target(&self, url: &str) -> Option<String> {
        let rest = url
            .strip_prefix(BASE_URL)
            .or_else(|| url.strip_prefix(&BASE_URL.replacen("https", "http", 1)))?;
        let token = rest.strip_prefix(LINK_PATH)?.split(['#', '?']).next()?;
        Some(KEYS.open_link(token)?.target.as_str().to_owned())
    }

    fn is_pixel(&self, src: &str) -> bool {
        // `https:host/path` has no host to some.
        let has_host = src.contains("//") || src.contains('\\');
        let Some(url) = url::Url::parse(src).ok().filter(|_| has_host) else { return false };
        let proxied = url.as_str().split_once('#').and_then(|(_, url)| url::Url::parse(url).ok());
        [Some(url), proxied].into_iter().flatten().any(|url| {
            let token = url.path().strip_prefix(PIXEL_PATH).filter(|_| {
                url.domain() == Some("t.example.com") && matches!(url.scheme(), "http" | "https")
            });
            token.is_some_and(|token| KEYS.open_pixel(token).is_some())
        })
    }
}

/// Bits from the lowest: opens, links, position (two), text parts too, strip signatures, the rules that keep links.
fn tracking(choices: u8) -> Tracking {
    let bit = |bit: u8| choices >> bit & 1 == 1;
    let rules = LinkRules {
        keep: vec![],
        keep_if_text_is_url: bit(6),
        keep_one_time: bit(6),
        keep_app_links: bit(6),
        keep_list_unsubscribe: bit(6),
    };
    let position = [PixelPosition::Auto, PixelPosition::End, PixelPosition::Start, PixelPosition::Auto];
    Tracking {
        id: RelayId::new(Timestamp::from_unix_millis(1_795_508_461_123), [7; 10]),
        recipient: Recipient::Index(0),
        choice: Choice { opens: bit(0), links: bit(1) },
        keys: KEYS.clone(),
        base_url: BASE_URL.to_owned(),
        rewriting: Rewriting {
            rules: Arc::new(rules),
            position: position[usize::from(choices >> 2 & 3)],
            plain_text: bit(4),
            ..Rewriting::default()
        },
        on_dkim: if bit(5) { OnDkim::Strip } else { OnDkim::Keep },
    }
}

/// What it says agrees with what was chosen, and each link leads where it says.
fn is_consistent(rewritten: &Rewritten, tracking: &Tracking) {
    let Tracking { choice, .. } = tracking;
    assert!(choice.opens || !rewritten.pixel, "a pixel that nobody chose");
    for (at, link) in rewritten.links.iter().enumerate() {
        assert!(choice.links, "a link that nobody chose");
        assert_eq!(link.kept.is_none(), link.target.is_some(), "{link:?}");
        assert_eq!(usize::from(link.index), at.min(usize::from(u16::MAX)), "{link:?}");
        if link.target.is_some() {
            let token = link_token(rewritten, tracking, at).expect("what is tracked has its token");
            let opened = tracking.keys.open_link(&token).expect("our own token opens");
            assert_eq!(Some(opened.target.as_str()), link.target.as_deref());
            assert_eq!(
                (opened.message, opened.recipient, opened.link),
                (tracking.id, tracking.recipient, link.index)
            );
        }
    }
    let is_explained = rewritten.pixel || !choice.opens || !rewritten.reasons.is_empty();
    assert!(is_explained, "no pixel, and no reason");
}

fn link_token(rewritten: &Rewritten, tracking: &Tracking, at: usize) -> Option<String> {
    let link = &rewritten.links[at];
    tracking.keys.seal_link(tracking.id, tracking.recipient, link.index, link.target.as_deref()?).ok()
}

fn lines_are_no_worse(before: &[u8], after: &[u8]) {
    let was = longest_line(before, false);
    assert!(was > 998 || longest_line(after, false) <= 998, "a line newly over 998 octets");
    let bare = |text: &[u8]| {
        let crlf = text.windows(2).filter(|pair| pair == b"\r\n").count();
        let octets = |wanted: u8| text.iter().filter(|octet| **octet == wanted).count();
        octets(b'\r') + octets(b'\n') - 2 * crlf
    };
    assert!(bare(before) > 0 || bare(after) == 0, "a bare CR or LF is new");
    // A pixel may come to stand behind it, and SMTP puts one behind the pixel.
    let ends = after.ends_with(b"\r\n") || after.ends_with(b">") || after.ends_with(b"=3E");
    assert!(!before.ends_with(b"\r\n") || ends, "the last line end");
}

/// Locating again finds the same parts, but for their length.
fn same_parts_to_us(before: &[u8], after: &[u8]) {
    let (was, is) = (mime::locate(before), mime::locate(after));
    let shape = |parts: &[mime::TextPart]| -> Vec<mime::TextPart> {
        parts.iter().cloned().map(|part| mime::TextPart { body: 0..0, ..part }).collect()
    };
    assert_eq!((shape(&was.html), shape(&was.plain)), (shape(&is.html), shape(&is.plain)));
    assert_eq!((was.left, was.sealed), (is.left, is.sealed));
}

/// The message before and after, read with mail-parser.
struct Comparison<'a> {
    before: &'a [u8],
    after: &'a [u8],
    rewritten: &'a Rewritten,
    tracking: &'a Tracking,
}

/// A part without parts, by octets.
struct Leaf {
    body: Range<usize>,
    media_type: String,
    encoding: Option<TransferEncoding>,
}

impl Comparison<'_> {
    fn check(&self) {
        let parser = MessageParser::new();
        let was = parser.parse(self.before).expect("a message in which something was found parses");
        let is = parser.parse(self.after).expect("a message that parsed before parses");
        assert_eq!(tree(&was), tree(&is), "the tree of parts");
        let sealed = sealed(&was);
        let (was, is) = (leaves(&was), leaves(&is));
        let (mut at, mut now_at) = (0, 0);
        let (mut pixels, mut links) = (0, vec![]);
        for (old, new) in was.iter().zip(&is) {
            assert_eq!(
                self.before[at..old.body.start],
                self.after[now_at..new.body.start],
                "octets between parts"
            );
            (at, now_at) = (old.body.end, new.body.end);
            let (old_body, new_body) = (&self.before[old.body.clone()], &self.after[new.body.clone()]);
            if old_body != new_body {
                assert!(
                    !sealed.iter().any(|sealed| sealed.contains(&old.body.start)),
                    "a sealed part was changed"
                );
                self.is_ours_to_change(old);
                let encoding = old.encoding.expect("a part in an encoding of no name was changed");
                self.same_text(old_body, new_body, encoding, &mut pixels, &mut links);
            }
        }
        same_octets(&self.before[at..], &self.after[now_at..], "behind the parts");
        assert_eq!(pixels, usize::from(self.rewritten.pixel), "pixels");
        let tracked = self
            .rewritten
            .links
            .iter()
            .filter(|link| link.target.is_some())
            .map(|link| usize::from(link.index));
        assert_eq!(links, tracked.collect::<Vec<_>>(), "links");
    }

    fn is_ours_to_change(&self, leaf: &Leaf) {
        let plain =
            self.tracking.rewriting.plain_text && matches!(leaf.media_type.as_str(), "" | "text/plain");
        assert!(leaf.media_type == "text/html" || plain, "a part of type {:?} was changed", leaf.media_type);
    }

    /// Finds the pixel and the links in the new text; without them it is the old one, written as it was.
    fn same_text(
        &self,
        old: &[u8],
        new: &[u8],
        encoding: TransferEncoding,
        pixels: &mut usize,
        links: &mut Vec<usize>,
    ) {
        let text = |body| reference::decode(body, encoding).expect("a changed part decodes");
        let (was, is) = (text(old), text(new));
        let found = self.ours_in(&is);
        *pixels += found.iter().filter(|(_, link)| link.is_none()).count();
        links.extend(found.iter().filter_map(|(_, link)| *link));
        if self.rewritten.history || find(&was.to_ascii_lowercase(), b"data-waxseal").is_some() {
            // What else is taken out then is `tests/messages.rs`'s to say.
            return;
        }
        octets::stay(old, new, encoding, &self.undone(&was, &is, &found));
    }

    /// Where this message's links (with their index) and pixels stand.
    fn ours_in(&self, text: &[u8]) -> Vec<(Range<usize>, Option<usize>)> {
        let pixel_token = self.tracking.keys.seal_pixel(self.tracking.id, self.tracking.recipient);
        let pixel_url = format!("{BASE_URL}{PIXEL_PATH}{pixel_token}");
        let (mut at, mut ours) = (0, vec![]);
        while let Some(found) = find(&text[at..], BASE_URL.as_bytes()).map(|found| at + found) {
            let url = &text[found..];
            if url.starts_with(pixel_url.as_bytes()) {
                let start = text[..found].windows(4).rposition(|octets| octets == b"<img");
                let start = start.expect("the pixel is an image");
                let between: Vec<&str> =
                    std::str::from_utf8(&text[start..found]).expect("ASCII").split_whitespace().collect();
                assert_eq!(between, ["<img", "src=\""], "before the pixel");
                let length = url.iter().position(|octet| *octet == b'>').expect("the pixel's tag ends");
                at = found + length + 1;
                ours.push((start..at, None));
            } else if let Some((index, length)) = self.link_at(url) {
                at = found + length;
                ours.push((found..at, Some(index)));
            } else {
                at = found + 1;
            }
        }
        ours
    }

    /// What stood where ours stands now: nothing, or the address that the link leads to; and a blank before an `href` where now a
    /// line ends that would be too long. All else is the same.
    fn undone(&self, old: &[u8], new: &[u8], ours: &[(Range<usize>, Option<usize>)]) -> Vec<octets::Change> {
        let first = ours.first().map_or(new.len(), |(range, _)| range.start);
        let (mut at, mut changes) = same_but_for_line_ends(old, 0, new, 0..first)
            .unwrap_or_else(|| panic!("{:?} became {:?}", shown(old), shown(new)));
        for (number, (range, link)) in ours.iter().enumerate() {
            let behind = range.end..ours.get(number + 1).map_or(new.len(), |(next, _)| next.start);
            let start = at;
            // What follows an address begins with the quote, blank or bracket that ends it.
            let ends = if link.is_some() { start..old.len() + 1 } else { start..start + 1 };
            let (end, (next, line_ends)) = ends
                .filter_map(|end| Some((end, same_but_for_line_ends(old, end, new, behind.clone())?)))
                .find(|(_, (next, _))| number + 1 < ours.len() || *next == old.len())
                .unwrap_or_else(|| panic!("gone: {:?}", shown(&new[behind.clone()])));
            if let Some(link) = link {
                let address = &old[start..end];
                // Neither a reference nor an escape of ISO-2022-JP.
                if address.is_ascii() && !address.contains(&b'&') && !address.contains(&0x1b) {
                    assert_eq!(self.rewritten.links[*link].href.as_bytes(), address, "another address");
                }
            }
            changes.push((start..end, range.clone()));
            changes.extend(line_ends);
            at = next;
        }
        same_octets(&old[at..], b"", "at the end");
        changes
    }

    /// Which link of the message the URL at the beginning is, and how long it is.
    fn link_at(&self, text: &[u8]) -> Option<(usize, usize)> {
        let token = text.strip_prefix(format!("{BASE_URL}{LINK_PATH}").as_bytes())?;
        let length = token
            .iter()
            .take_while(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
            .count();
        let token = std::str::from_utf8(&token[..length]).ok()?;
        let opened = self.tracking.keys.open_link(token).filter(|link| link.message == self.tracking.id)?;
        Some((usize::from(opened.link), BASE_URL.len() + LINK_PATH.len() + length))
    }
}

/// Is a stretch of the new text what stands in the old one at `at`? Returns where in this it ends, and the blanks that became line ends.
fn same_but_for_line_ends(
    old: &[u8],
    at: usize,
    new: &[u8],
    stretch: Range<usize>,
) -> Option<(usize, Vec<octets::Change>)> {
    let (mut at, mut now_at, mut changes) = (at, stretch.start, vec![]);
    while now_at < stretch.end {
        let (was, is) = (&old[at..], &new[now_at..stretch.end]);
        if was.first() == is.first() {
            (at, now_at) = (at + 1, now_at + 1);
            continue;
        }
        let blanks = was.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        let line_end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| is.starts_with(end))?.len();
        let is_href = |text: &[u8]| text.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"href"));
        if blanks == 0 || !is_href(&was[blanks..]) || !is_href(&is[line_end..]) {
            return None;
        }
        changes.push((at..at + blanks, now_at..now_at + line_end));
        (at, now_at) = (at + blanks, now_at + line_end);
    }
    Some((at, changes))
}

fn shown(text: &[u8]) -> String {
    text[..text.len().min(80)].escape_ascii().to_string()
}

/// What mail-parser makes of each part.
fn tree(message: &Message<'_>) -> Vec<String> {
    let parts = message.parts.iter().map(|part| {
        let headers: Vec<&str> = part.headers.iter().map(|header| header.name.as_str()).collect();
        let children = match &part.body {
            PartType::Multipart(children) => format!("{children:?}"),
            PartType::Message(inner) => format!("{:?}", tree(inner)),
            PartType::Html(_) => "html".to_owned(),
            PartType::Text(_) => "text".to_owned(),
            PartType::Binary(_) | PartType::InlineBinary(_) => "binary".to_owned(),
        };
        format!("{} {headers:?} {children}", media_type(part))
    });
    let displayed = format!("{:?} {:?} {:?}", message.html_body, message.text_body, message.attachments);
    parts.chain([displayed]).collect()
}

fn media_type(part: &MessagePart<'_>) -> String {
    let written =
        |found: &ContentType<'_>| format!("{}/{}", found.ctype(), found.subtype().unwrap_or_default());
    part.content_type().map(written).unwrap_or_default().to_ascii_lowercase()
}

/// Where signed and encrypted parts stand, their parts in them.
fn sealed(message: &Message<'_>) -> Vec<Range<usize>> {
    const SEALS: [&str; 4] =
        ["multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"];
    let sealed = message.parts.iter().filter(|part| SEALS.contains(&media_type(part).as_str()));
    sealed.map(|part| part.offset_header as usize..part.offset_end as usize).collect()
}

/// The parts that hold no parts, in the order in which they stand; attached messages count as what is between.
fn leaves(message: &Message<'_>) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = vec![];
    for part in &message.parts {
        let body = part.offset_body as usize..part.offset_end as usize;
        let is_behind = leaves.last().is_none_or(|last| last.body.end <= body.start);
        if !is_behind || matches!(part.body, PartType::Multipart(_) | PartType::Message(_)) {
            continue;
        }
        let encoding = match part.content_transfer_encoding().unwrap_or("7bit").to_ascii_lowercase().as_str()
        {
            "7bit" | "8bit" | "binary" => Some(TransferEncoding::Binary),
            "quoted-printable" => Some(TransferEncoding::QuotedPrintable),
            "base64" => Some(TransferEncoding::Base64),
            _ => None,
        };
        leaves.push(Leaf { body, media_type: media_type(part), encoding });
    }
    leaves
}

fn same_octets(was: &[u8], is: &[u8], place: &str) {
    let same = was.iter().zip(is).take_while(|(was, is)| was == is).count();
    let shown = |text: &[u8]| text[same..text.len().min(same + 80)].escape_ascii().to_string();
    assert!(was == is, "octets {place}: at {same}: {:?} became {:?}", shown(was), shown(is));
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let Some(first) = wanted.first() else { return Some(0) };
    let mut places = text.iter().enumerate().filter(|(_, octet)| *octet == first).map(|(at, _)| at);
    places.find(|at| text[*at..].starts_with(wanted))
}
