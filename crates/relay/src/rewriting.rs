use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use envelope::{Choice, Reason, RelayId};
use mime::{Decoded, Located, Obstacle, Sealed, TextPart};
use rewrite::{LinkDecision, Survey, Wishes};
use seal::{Keys, LINK_PATH, MintError, PIXEL_PATH, Recipient};
use store::{LinkRecord, PartNote};

/// What to put into one message: whose it is, what was chosen, and what tokens are made of.
#[derive(Clone, Debug)]
pub struct Tracking {
    /// The message.
    pub id: RelayId,
    /// One recipient, or one copy shared by several.
    pub recipient: Recipient,
    /// What the sender chose.
    pub choice: Choice,
    /// The keys that sign.
    pub keys: Arc<Keys>,
    /// Where tokens point, without a slash at the end.
    pub base_url: String,
}

/// A message that may have been rewritten, and what was and was not done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The octets to hand on; those that came in where nothing was done.
    pub content: Vec<u8>,
    /// A pixel was added.
    pub pixel: bool,
    /// Every link of the displayed HTML parts in document order.
    pub links: Vec<LinkRecord>,
    /// Why something was not done, for the whole message.
    pub reasons: Vec<Reason>,
    /// Why something was not done, part by part.
    pub parts: Vec<PartNote>,
}

impl Rewritten {
    /// The message as it came, and why.
    pub fn untouched(content: Vec<u8>, reason: Option<Reason>) -> Self {
        Self { content, pixel: false, links: vec![], reasons: reason.into_iter().collect(), parts: vec![] }
    }

    /// How many links lead through us.
    pub fn links_tracked(&self) -> usize {
        self.links.iter().filter(|link| link.kept.is_none()).count()
    }

    /// Did anything change?
    pub fn is_tracked(&self) -> bool {
        self.pixel || self.links_tracked() > 0
    }
}

/// Rewrites a message: a pixel in its last displayed HTML part, tracked links in all of them.
///
/// `raw` is the content with CRLF line ends, our control fields already taken out. Octets outside
/// the changed attribute values and the pixel come out as they went in; each changed part was
/// decoded again and compared (`mime::splice`).
///
/// # Errors
/// None: what cannot be changed without doubt stays, with its reason.
pub fn rewrite(raw: &[u8], tracking: &Tracking) -> Rewritten {
    if mime::header_fields(raw).iter().any(|field| raw[field.name.clone()].eq_ignore_ascii_case(b"DKIM-Signature"))
    {
        return Rewritten::untouched(raw.to_vec(), Some(Reason::DkimSigned));
    }
    let located = mime::locate(raw);
    if let Some(sealed) = located.sealed {
        return Rewritten::untouched(raw.to_vec(), Some(reason_of_seal(sealed)));
    }
    if located.html.is_empty() {
        let mut rewritten = Rewritten::untouched(raw.to_vec(), Some(why_no_html(&located)));
        rewritten.parts = notes_of(&located);
        return rewritten;
    }
    let rewritten = splice_parts(raw, &located, tracking);
    if mime::locate(&rewritten.content).html.len() != located.html.len() {
        // The part tree changed: nothing we may do to a message does that.
        return Rewritten::untouched(raw.to_vec(), Some(Reason::SelfCheckFailed));
    }
    rewritten
}

/// One displayed HTML part that could be followed.
struct Followed<'a> {
    part: &'a TextPart,
    decoded: Decoded,
    survey: Survey,
}

fn splice_parts(raw: &[u8], located: &Located, tracking: &Tracking) -> Rewritten {
    let mut parts = notes_of(located);
    let mut reasons = BTreeSet::new();
    let mut followed = Vec::new();
    for part in &located.html {
        match follow(raw, part, tracking) {
            Ok(found) => followed.push(found),
            Err(reason) => parts.push(PartNote { path: part.path.clone(), reason }),
        }
    }
    let pixel_part = followed.iter().rposition(|found| found.survey.visible && found.survey.pixel_at.is_some());
    if tracking.choice.opens && pixel_part.is_none() && !followed.is_empty() {
        let anything_visible = followed.iter().any(|found| found.survey.visible);
        reasons.insert(if anything_visible { Reason::HtmlNotFollowed } else { Reason::EmptyHtml });
    }

    let mut content = Vec::with_capacity(raw.len() + raw.len() / 4);
    let (mut written, mut pixel, mut links) = (0, false, Vec::new());
    for (number, found) in followed.iter().enumerate() {
        let pixel_url = (tracking.choice.opens && pixel_part == Some(number)).then(|| tracking.pixel_url());
        let first = links.len();
        links.extend(records(&found.survey, first));
        match splice_one(raw, found, tracking, pixel_url.as_deref(), &mut links[first..]) {
            Ok(encoded) => {
                let Range { start, end } = found.part.body.clone();
                content.extend_from_slice(&raw[written..start]);
                content.extend_from_slice(&encoded);
                written = end;
                pixel |= pixel_url.is_some();
            }
            Err(reason) => {
                parts.push(PartNote { path: found.part.path.clone(), reason });
                for link in &mut links[first..] {
                    link.kept.get_or_insert(reason);
                    link.target = None;
                }
            }
        }
    }
    content.extend_from_slice(&raw[written..]);
    if let (true, [note, ..]) = (followed.is_empty(), parts.as_slice()) {
        reasons.insert(note.reason);
    }
    Rewritten { content, pixel, links, reasons: reasons.into_iter().collect(), parts }
}

fn follow<'a>(raw: &[u8], part: &'a TextPart, tracking: &Tracking) -> Result<Followed<'a>, Reason> {
    let decoded = mime::decode(&raw[part.body.clone()], part.encoding).map_err(|_| Reason::Undecodable)?;
    let own_base_urls = [tracking.base_url.clone()];
    let wishes = Wishes {
        opens: tracking.choice.opens,
        links: tracking.choice.links,
        own_base_urls: &own_base_urls,
    };
    let survey = rewrite::survey(&decoded.octets, part.charset.as_deref(), &wishes)?;
    Ok(Followed { part, decoded, survey })
}

/// A record for each link of the part, its index counted over the whole message.
fn records(survey: &Survey, first: usize) -> Vec<LinkRecord> {
    let record = |(at, link): (usize, &rewrite::Link)| {
        // Beyond 65,535 links the index has no room: those stay as they are.
        let index = u16::try_from(first + at).ok();
        let (target, kept) = match (&link.decision, index) {
            (LinkDecision::Track { target }, Some(_)) => (Some(target.clone()), None),
            (LinkDecision::Track { .. }, None) => (None, Some(Reason::TooLarge)),
            (LinkDecision::Keep(reason), _) => (None, Some(*reason)),
        };
        LinkRecord { index: index.unwrap_or(u16::MAX), href: link.href.clone(), target, kept }
    };
    survey.links.iter().enumerate().map(record).collect()
}

fn splice_one(
    raw: &[u8],
    found: &Followed<'_>,
    tracking: &Tracking,
    pixel_url: Option<&str>,
    links: &mut [LinkRecord],
) -> Result<Vec<u8>, Reason> {
    let mut tracked_url = |at: usize| -> Option<String> {
        let link = links.get_mut(at)?;
        let target = link.target.as_deref()?;
        match tracking.link_url(link.index, target) {
            Ok(url) => Some(url),
            Err(error) => {
                link.kept = Some(match error {
                    MintError::TooLong { .. } => Reason::TooLong,
                    _ => Reason::UnparsableUrl,
                });
                link.target = None;
                None
            }
        }
    };
    let edits = found.survey.edits(&mut tracked_url, pixel_url);
    let edits: Vec<mime::Edit<'_>> = edits
        .iter()
        .map(|edit| mime::Edit { range: edit.range.clone(), replacement: &edit.replacement })
        .collect();
    mime::splice(&raw[found.part.body.clone()], &found.decoded, &edits).map_err(|error| match error {
        mime::SpliceError::LineTooLong => Reason::LineTooLong,
        _ => Reason::SelfCheckFailed,
    })
}

impl Tracking {
    fn pixel_url(&self) -> String {
        format!("{}{PIXEL_PATH}{}", self.base_url, self.keys.seal_pixel(self.id, self.recipient))
    }

    fn link_url(&self, index: u16, target: &str) -> Result<String, MintError> {
        let token = self.keys.seal_link(self.id, self.recipient, index, target)?;
        Ok(format!("{}{LINK_PATH}{token}", self.base_url))
    }
}

fn why_no_html(located: &Located) -> Reason {
    match located.left.iter().find(|part| part.media_type == "text/html") {
        Some(part) if part.obstacle != Obstacle::Attachment => reason_of_obstacle(part.obstacle),
        _ if !located.plain.is_empty() => Reason::PlainTextOnly,
        _ => Reason::NoHtml,
    }
}

fn notes_of(located: &Located) -> Vec<PartNote> {
    located
        .left
        .iter()
        .map(|part| PartNote { path: part.path.clone(), reason: reason_of_obstacle(part.obstacle) })
        .collect()
}

fn reason_of_seal(sealed: Sealed) -> Reason {
    match sealed {
        Sealed::Signed => Reason::Signed,
        Sealed::Encrypted => Reason::Encrypted,
        Sealed::Smime => Reason::Smime,
        Sealed::PgpInline => Reason::PgpInline,
    }
}

fn reason_of_obstacle(obstacle: Obstacle) -> Reason {
    match obstacle {
        Obstacle::Attachment => Reason::Attachment,
        Obstacle::AttachedMessage => Reason::AttachedMessage,
        Obstacle::UnknownTransferEncoding => Reason::UnknownTransferEncoding,
        Obstacle::SeveralTransferEncodings => Reason::SeveralTransferEncodings,
        Obstacle::Undecodable => Reason::Undecodable,
        Obstacle::BoundaryInLine => Reason::BoundaryInLine,
        Obstacle::Malformed => Reason::MalformedMime,
        Obstacle::Amp => Reason::Amp,
        Obstacle::Calendar => Reason::Calendar,
    }
}
