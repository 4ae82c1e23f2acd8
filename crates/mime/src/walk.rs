use std::ops::Range;

use crate::delimiter::{
    declares_boundary, delimiter_at, has_empty_line, holds_closing_delimiter, holds_delimiter, next_delimiter,
};
use crate::media_type::Parameterized;
use crate::part_header::PartHeader;
use crate::sealed::seal_of;
use crate::skeleton::Skeleton;
use crate::{Obstacle, Sealed, TransferEncoding};

/// Real mail has a handful of levels.
const MAX_DEPTH: usize = 32;
/// Real mail has some tens of parts; each takes memory here.
const MAX_PARTS: usize = 1_000;

/// One walk over a message, from delimiter to delimiter.
pub(crate) struct Walk<'a> {
    raw: &'a [u8],
    /// The multiparts that are open, the outermost first.
    open: Vec<Multipart>,
    parts: usize,
    /// Parts that are no multiparts, of whatever type.
    leaf_parts: usize,
    /// Something about the whole tree is read in more than one way.
    in_doubt: bool,
    /// Those that matter, in document order.
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) skeleton: Skeleton,
    pub(crate) sealed: Option<Sealed>,
}

/// A part that holds no parts.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) path: String,
    pub(crate) media_type: String,
    pub(crate) kind: Kind,
    pub(crate) body: Range<usize>,
    pub(crate) encoding: Result<TransferEncoding, Obstacle>,
    pub(crate) charset: Option<String>,
    pub(crate) format_flowed: bool,
    pub(crate) delsp: bool,
    /// Why it may not be changed, as far as the walk can tell.
    pub(crate) obstacle: Option<Obstacle>,
    /// Where its body would stand in the skeleton.
    pub(crate) in_skeleton: usize,
}

impl Leaf {
    /// A multipart in which no delimiter was found.
    fn without_parts(multipart: Multipart) -> Self {
        let path = multipart.path.strip_suffix('.').unwrap_or("1").to_owned();
        Self {
            path,
            media_type: multipart.media_type,
            kind: Kind::Other,
            body: 0..0,
            encoding: Ok(TransferEncoding::SevenBit),
            charset: None,
            format_flowed: false,
            delsp: false,
            obstacle: multipart.obstacle.or(Some(Obstacle::Malformed)),
            in_skeleton: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Html,
    Plain,
    Other,
}

impl Kind {
    pub(crate) fn is_text(self) -> bool {
        self != Self::Other
    }
}

/// A multipart that is open.
struct Multipart {
    media_type: String,
    boundary: Vec<u8>,
    /// Its number and a dot; nothing for the message itself.
    path: String,
    shows: Shows,
    children: usize,
    /// What stands in the way of all its parts.
    obstacle: Option<Obstacle>,
    /// The `start` parameter of multipart/related.
    start: Option<String>,
}

/// What of its parts a multipart shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    All,
    /// The last that can be shown (RFC 2046 §5.1.4). Programs differ in what they can, so every one counts.
    Alternatives,
    /// The first; the others are its resources (RFC 2387).
    Root,
    /// Messages, unless they say otherwise (RFC 2046 §5.1.5).
    Digest,
}

impl<'a> Walk<'a> {
    pub(crate) fn over(raw: &'a [u8]) -> Self {
        let mut walk = Self {
            raw,
            open: Vec::new(),
            parts: 0,
            leaf_parts: 0,
            in_doubt: false,
            leaves: Vec::new(),
            skeleton: Skeleton::default(),
            sealed: None,
        };
        let mut next = Some(0);
        while let Some(at) = next {
            let (leaf, header_end) = walk.part(at);
            next = walk.next_part(leaf, header_end);
        }
        if walk.in_doubt {
            for leaf in &mut walk.leaves {
                leaf.obstacle.get_or_insert(Obstacle::Malformed);
            }
        }
        walk
    }

    /// Reads the header of the part that begins at `at`: a multipart is opened, another part returned. Says where the
    /// header ends.
    fn part(&mut self, at: usize) -> (Option<Leaf>, usize) {
        let raw = self.raw;
        let header = PartHeader::read(raw, at, |at| delimiter_at(raw, at, boundaries(&self.open)).is_some());
        self.parts += 1;
        let path = self.count_child(&header);
        let parent = self.open.last();
        let default = if parent.is_some_and(|parent| parent.shows == Shows::Digest) {
            "message/rfc822"
        } else {
            "text/plain"
        };
        let media_type = match header.content_type.as_ref().map(|field| field.value.as_str()) {
            None | Some("") => default,
            Some(media_type) => media_type,
        };
        let media_type = media_type.to_owned();
        self.sealed = self.sealed.or_else(|| seal_of(&media_type, &header));
        let obstacle =
            parent.and_then(|parent| parent.obstacle).or_else(|| self.obstacle_of(&header, &media_type));
        let end = header.end;
        if let Some(subtype) = media_type.strip_prefix("multipart/") {
            match self.open_multipart(subtype, &path, &header, obstacle) {
                Ok(()) => return (None, end),
                Err(obstacle) => return (Some(self.leaf(path, media_type, Some(obstacle), &header)), end),
            }
        }
        // With a boundary it is one to some programs. And where the header has no end, the delimiter is a line of it to some.
        self.in_doubt |= media_type == "multipart" || header.maybe_multipart || header.body.is_none();
        self.leaf_parts += 1;
        (Some(self.leaf(path, media_type, obstacle, &header)), end)
    }

    /// Counts a child of the innermost open multipart. Returns its number.
    fn count_child(&mut self, header: &PartHeader) -> String {
        let Some(parent) = self.open.last_mut() else { return "1".to_owned() };
        parent.children += 1;
        // Its root may be any part; we follow it only where it is the first, as it always is.
        if parent.children == 1 && parent.start.is_some() && parent.start != header.content_id {
            parent.obstacle.get_or_insert(Obstacle::Malformed);
        }
        format!("{}{}", parent.path, parent.children)
    }

    /// What the part's own header has against changing it.
    fn obstacle_of(&self, header: &PartHeader, media_type: &str) -> Option<Obstacle> {
        match media_type {
            "message/rfc822" | "message/global" => return Some(Obstacle::AttachedMessage),
            "text/x-amp-html" => return Some(Obstacle::Amp),
            "text/calendar" => return Some(Obstacle::Calendar),
            _ => {}
        }
        let parent = self.open.last();
        let shows = parent.map_or(Shows::All, |parent| parent.shows);
        let is_resource = shows == Shows::Root && parent.is_some_and(|parent| parent.children > 1);
        // A name is common on the body of odd mailers, and elsewhere says that this is a file.
        let is_file = header.is_named() && self.leaf_parts > 0 && shows != Shows::Alternatives;
        // RFC 2183 §2.8: what is not known is an attachment.
        let is_attachment = header.disposition.as_ref().is_some_and(|field| field.value != "inline");
        if is_attachment || is_file || is_resource {
            return Some(Obstacle::Attachment);
        }
        let sound = |field: &Option<Parameterized>| field.as_ref().is_none_or(|field| field.sound);
        let sound = header.sound && sound(&header.content_type) && sound(&header.disposition);
        // "html", or "text / html": some take it for HTML (RFC 2045 §5.2 says plain text).
        let is_type = media_type.contains('/');
        (!sound || !is_type || header.body.is_none()).then_some(Obstacle::Malformed)
    }

    /// Opens a multipart, or says why its parts cannot be told apart.
    fn open_multipart(
        &mut self,
        subtype: &str,
        path: &str,
        header: &PartHeader,
        obstacle: Option<Obstacle>,
    ) -> Result<(), Obstacle> {
        let content_type = header.content_type.as_ref().ok_or(Obstacle::Malformed)?;
        let boundary = content_type.parameter("boundary").unwrap_or_default();
        let usable =
            !boundary.is_empty() && !boundary.iter().any(u8::is_ascii_control) && !boundary.ends_with(b" ");
        if !usable || header.body.is_none() {
            return Err(obstacle.unwrap_or(Obstacle::Malformed));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(obstacle.unwrap_or(Obstacle::TooDeep));
        }
        if boundaries(&self.open).any(|open| open == boundary) {
            // Whose delimiters are they?
            self.in_doubt = true;
            return Err(obstacle.unwrap_or(Obstacle::Malformed));
        }
        let (shows, unknown) = match subtype {
            "alternative" => (Shows::Alternatives, None),
            "related" => (Shows::Root, None),
            // Its parts are messages, whatever they say: to some programs also those that say they are text.
            "digest" => (Shows::Digest, Some(Obstacle::AttachedMessage)),
            // Delivery and read reports are for programs to read, and the others are no text at all.
            "report" | "form-data" | "byteranges" | "appledouble" => (Shows::All, Some(Obstacle::Attachment)),
            // RFC 2046 §5.1.3: what is not known is shown as mixed.
            _ => (Shows::All, None),
        };
        // RFC 2045 §6.4: the parts of a multipart are encoded, not the multipart.
        let encoded = match header.transfer_encoding() {
            Ok(TransferEncoding::QuotedPrintable | TransferEncoding::Base64) => Some(Obstacle::Malformed),
            Ok(_) => None,
            Err(obstacle) => Some(obstacle),
        };
        self.skeleton.part(header.shaping_fields.iter().map(|lines| &self.raw[lines.clone()]));
        self.open.push(Multipart {
            media_type: content_type.value.clone(),
            boundary: boundary.to_owned(),
            path: if self.open.is_empty() { String::new() } else { format!("{path}.") },
            shows,
            children: 0,
            obstacle: obstacle.or(unknown).or(encoded),
            start: content_type.text("start"),
        });
        Ok(())
    }

    fn leaf(
        &mut self,
        path: String,
        media_type: String,
        obstacle: Option<Obstacle>,
        header: &PartHeader,
    ) -> Leaf {
        let kind = match media_type.as_str() {
            "text/html" => Kind::Html,
            "text/plain" => Kind::Plain,
            _ => Kind::Other,
        };
        let in_skeleton = if kind.is_text() {
            self.skeleton.part(header.shaping_fields.iter().map(|lines| &self.raw[lines.clone()]))
        } else {
            self.skeleton.part([b"Content-Type: application/octet-stream".as_slice()])
        };
        let parameter = |name| header.content_type.as_ref().and_then(|field| field.text(name));
        let says = |name, value: &str| parameter(name).is_some_and(|text| text.eq_ignore_ascii_case(value));
        let body = header.body.unwrap_or(header.end);
        Leaf {
            path,
            media_type,
            kind,
            body: body..body,
            encoding: header.transfer_encoding(),
            charset: parameter("charset"),
            format_flowed: says("format", "flowed"),
            delsp: says("delsp", "yes"),
            obstacle,
            in_skeleton,
        }
    }

    /// Goes on to where the next part begins, and ends `leaf` at the first delimiter met.
    fn next_part(&mut self, mut leaf: Option<Leaf>, from: usize) -> Option<usize> {
        let mut at = from;
        while !self.open.is_empty() {
            let Some(delimiter) = next_delimiter(self.raw, at, &boundaries(&self.open)) else { break };
            // What looks like one in a preamble, or goes on (RFC 2046 §5.1.1), begins a part to some programs. In the text of a part it
            // makes that one doubtful, no more.
            let between = at.min(delimiter.line.start)..delimiter.line.start;
            self.in_doubt |= leaf.is_none() && holds_delimiter(&self.raw[between], boundaries(&self.open));
            if let Some(leaf) = leaf.take() {
                // A part that ends at the delimiter of an outer multipart has no proven end: its own is missing.
                let proven = delimiter.multipart + 1 == self.open.len();
                self.end(leaf, before_line_end(self.raw, delimiter.line.start), proven);
            }
            self.close_down_to(delimiter.multipart + 1);
            if let Some(multipart) = self.open.last() {
                self.skeleton.delimiter(&multipart.boundary, delimiter.closes);
            }
            at = delimiter.line.end;
            if delimiter.closes {
                self.close_down_to(delimiter.multipart);
            } else if self.parts < MAX_PARTS {
                return Some(at);
            } else {
                self.in_doubt = true;
                return None;
            }
        }
        if let Some(leaf) = leaf {
            self.end(leaf, self.raw.len(), self.open.is_empty());
        }
        self.close_down_to(0);
        None
    }

    /// Closes multiparts, the innermost first, until so many are open.
    fn close_down_to(&mut self, open: usize) {
        while self.open.len() > open {
            // Without children: whatever it holds, nobody finds it as parts.
            self.leaves
                .extend(self.open.pop().filter(|popped| popped.children == 0).map(Leaf::without_parts));
        }
    }

    /// Ends a part where a delimiter's line end begins, and keeps it if it matters.
    fn end(&mut self, mut leaf: Leaf, end: usize, proven: bool) {
        let matters = leaf.kind.is_text()
            || !leaf.media_type.contains('/')
            || leaf.media_type.starts_with("multipart/")
            || matches!(leaf.obstacle, Some(Obstacle::AttachedMessage | Obstacle::Amp | Obstacle::Calendar));
        if !matters {
            return;
        }
        // An empty part may share its empty line with the delimiter.
        leaf.body.end = end.max(leaf.body.start);
        if leaf.kind.is_text() {
            let body = &self.raw[leaf.body.clone()];
            let in_line = holds_delimiter(body, boundaries(&self.open));
            if leaf.obstacle.is_none() && !proven {
                leaf.obstacle = Some(Obstacle::Malformed);
            } else if leaf.obstacle.is_none() && in_line {
                leaf.obstacle = Some(Obstacle::BoundaryInLine);
            }
            // What follows is behind the multipart to programs that take it for the end.
            self.in_doubt |= in_line && holds_closing_delimiter(body, boundaries(&self.open));
        }
        if leaf.obstacle == Some(Obstacle::AttachedMessage) {
            let message = &self.raw[leaf.body.clone()];
            let encoded =
                matches!(leaf.encoding, Ok(TransferEncoding::Base64 | TransferEncoding::QuotedPrintable));
            // Whose delimiters are they, those of the attached message or those around it? And where its header has no end,
            // are they lines of that?
            self.in_doubt |=
                declares_boundary(message, boundaries(&self.open)) || !encoded && !has_empty_line(message);
        }
        self.leaves.push(leaf);
    }
}

fn boundaries(open: &[Multipart]) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator + Clone {
    open.iter().map(|multipart| multipart.boundary.as_slice())
}

/// Where the line end before the line that begins at `line_start` begins.
fn before_line_end(raw: &[u8], line_start: usize) -> usize {
    match &raw[..line_start] {
        [.., b'\r', b'\n'] => line_start - 2,
        [.., b'\n'] => line_start - 1,
        _ => line_start,
    }
}
