use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use envelope::{Choice, Reason, RelayId};
use mime::{Decoded, LeftPart, Located, Obstacle, Sealed, SpliceError, TextPart, TransferEncoding};
use rewrite::{LinkDecision, Survey, TextFormat, Wishes};
use seal::{Keys, LINK_PATH, MintError, PIXEL_PATH, Recipient};
use store::{LinkRecord, PartNote};

use crate::history::OwnHistory;
use crate::rewritten::Rewritten;
use crate::settings::{OnDkim, Rewriting};

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
    /// What the operator decided.
    pub rewriting: Rewriting,
    /// What happens to a message the client has DKIM-signed.
    pub on_dkim: OnDkim,
}

/// After so many links that would have made a line too long, the rest of the part's are not tried.
const MAX_EDITS_LEFT_OUT: usize = 64;

/// Rewrites a message: a pixel in its last displayed HTML part, tracked links in all of them.
///
/// `raw` is the content with CRLF line ends, our control fields already taken out. Octets outside
/// the changed attribute values, the pixel, and our own earlier pixels and links in quoted text come
/// out as they went in; each changed part was decoded again and compared (`mime::splice`).
///
/// # Errors
/// None: what cannot be changed without doubt stays, with its reason.
pub fn rewrite(raw: &Arc<Vec<u8>>, tracking: &Tracking) -> Rewritten {
    rewrite_unless(raw, tracking, &|| false)
}

/// [`rewrite()`], which ends soon after `given_up` says that nobody waits for it any more. It is asked between parts, before each
/// megabyte of HTML, and for each link. The message then stays as it came, with [`Reason::TooSlow`].
pub fn rewrite_unless(raw: &Arc<Vec<u8>>, tracking: &Tracking, given_up: &dyn Fn() -> bool) -> Rewritten {
    let source = match (mime::remove_fields(raw, &["DKIM-Signature"]), tracking.on_dkim) {
        (std::borrow::Cow::Borrowed(_), _) => raw.clone(),
        (_, OnDkim::Keep) => return Rewritten::untouched(raw.clone(), Some(Reason::DkimSigned)),
        (std::borrow::Cow::Owned(stripped), OnDkim::Strip) => Arc::new(stripped),
    };
    let located = mime::locate(&source);
    if let Some(sealed) = located.sealed {
        return Rewritten::untouched(raw.clone(), Some(reason_of_seal(sealed)));
    }
    let parts = Parts::follow(&source, &located, tracking, given_up);
    let Some(mut rewritten) = parts.splice(&source, tracking, given_up) else {
        return Rewritten::untouched(raw.clone(), Some(Reason::TooSlow));
    };
    rewritten.parts.splice(0..0, notes_of(&located));
    if let (false, Some(reason)) = (tracking.choice.is_none(), why_nothing_to_rewrite(&located)) {
        rewritten.because(reason);
    }
    if !rewritten.is_tracked() && !rewritten.history {
        // With nothing done to the body, a signature over it stays good.
        rewritten.content = raw.clone();
    }
    rewritten
}

/// The displayed parts that could be followed, in document order.
struct Parts<'a> {
    followed: Vec<Followed<'a>>,
    notes: Vec<PartNote>,
}

/// One displayed part that could be followed.
struct Followed<'a> {
    part: &'a TextPart,
    decoded: Decoded,
    survey: Survey,
}

impl<'a> Parts<'a> {
    fn follow(raw: &[u8], located: &'a Located, tracking: &Tracking, given_up: &dyn Fn() -> bool) -> Self {
        let base_urls = std::iter::once(&tracking.base_url).chain(tracking.rewriting.other_base_urls.iter());
        let base_urls: Vec<String> =
            base_urls.flat_map(|base| [base.clone(), in_other_scheme(base)]).collect();
        let history = OwnHistory { keys: &tracking.keys, base_urls: &base_urls };
        // Long ones are wrapped into encoded words by programs that know no better.
        let list_unsubscribe = mime::field_bodies(raw, "List-Unsubscribe");
        let list_unsubscribe: Vec<String> =
            list_unsubscribe.iter().map(|body| mime::decode_words(body)).collect();
        let wishes = Wishes {
            opens: tracking.choice.opens,
            links: tracking.choice.links,
            history: &history,
            rules: &tracking.rewriting.rules,
            list_unsubscribe: &list_unsubscribe,
            position: tracking.rewriting.position,
            given_up,
        };
        let mut parts = Self { followed: vec![], notes: vec![] };
        let html = located.html.iter().map(|part| (part, true));
        let plain = located.plain.iter().map(|part| (part, false));
        let plain = plain.filter(|_| tracking.rewriting.plain_text && tracking.choice.links);
        let mut wanted: Vec<(&TextPart, bool)> = html.chain(plain).collect();
        wanted.sort_by_key(|(part, _)| part.body.start);
        for (part, is_html) in wanted {
            match follow(raw, part, is_html, &wishes) {
                Ok(found) => parts.followed.push(found),
                Err(reason) => parts.notes.push(PartNote { path: part.path.clone(), reason }),
            }
        }
        parts
    }

    /// The message with all that was decided put in; none if it was given up.
    fn splice(
        self,
        raw: &Arc<Vec<u8>>,
        tracking: &Tracking,
        given_up: &dyn Fn() -> bool,
    ) -> Option<Rewritten> {
        let Self { followed, notes } = self;
        let mut rewritten = Rewritten::untouched(raw.clone(), None);
        rewritten.parts = notes;
        let takes_pixel = |found: &Followed<'_>| found.survey.visible && found.survey.pixel_at.is_some();
        let pixel_part = followed.iter().rposition(takes_pixel).filter(|_| tracking.choice.opens);
        if tracking.choice.opens && pixel_part.is_none() && !followed.is_empty() {
            let anything_visible = followed.iter().any(|found| found.survey.visible);
            rewritten.because(if anything_visible { Reason::HtmlNotFollowed } else { Reason::EmptyHtml });
        }

        // Allocated once, and no larger than needed: a message may be as large as all the rest.
        let growth: usize = followed.iter().map(|found| growth(found, tracking)).sum();
        let mut content = Vec::with_capacity(raw.len() + growth);
        let (mut written, mut is_changed) = (0, false);
        for (number, found) in followed.iter().enumerate() {
            let pixel_url = (pixel_part == Some(number)).then(|| tracking.pixel_url());
            let first = rewritten.links.len();
            rewritten.links.extend(records(&found.survey, first, tracking.choice.links));
            let links = &mut rewritten.links[first..];
            let Range { start, end } = found.part.body.clone();
            content.extend_from_slice(&raw[written..start]);
            written = start;
            match splice_one(&mut content, raw, found, tracking, pixel_url, links, given_up) {
                Ok(pixel) => {
                    (written, is_changed) = (end, true);
                    rewritten.pixel |= pixel;
                    rewritten.history |= found.survey.changes_history;
                    if pixel_part == Some(number) && !pixel {
                        rewritten.because(Reason::LineTooLong);
                    }
                }
                Err(reason) => {
                    for link in links {
                        link.kept.get_or_insert(reason);
                        link.target = None;
                    }
                    if pixel_part == Some(number) {
                        rewritten.because(reason);
                    }
                    rewritten.parts.push(PartNote { path: found.part.path.clone(), reason });
                }
            }
        }
        if given_up() {
            return None;
        }
        if is_changed {
            content.extend_from_slice(&raw[written..]);
            rewritten.content = Arc::new(content);
        }
        if let (true, [note, ..]) = (followed.is_empty(), rewritten.parts.as_slice()) {
            let reason = note.reason;
            rewritten.because(reason);
        }
        Some(rewritten)
    }
}

fn follow<'a>(
    raw: &[u8],
    part: &'a TextPart,
    is_html: bool,
    wishes: &Wishes<'_>,
) -> Result<Followed<'a>, Reason> {
    let decoded = mime::decode(&raw[part.body.clone()], part.encoding).map_err(|_| Reason::Undecodable)?;
    let survey = if is_html {
        rewrite::survey(&decoded.octets, part.charset.as_deref(), wishes)?
    } else {
        rewrite::survey_text(&decoded.octets, part.charset.as_deref(), format_of(part), wishes)?
    };
    Ok(Followed { part, decoded, survey })
}

fn format_of(part: &TextPart) -> TextFormat {
    match (part.format_flowed, part.delsp) {
        (false, _) => TextFormat::Fixed,
        (true, false) => TextFormat::Flowed,
        (true, true) => TextFormat::FlowedDelSp,
    }
}

/// A record for each link of the part, its index counted over the whole message.
fn records(survey: &Survey, first: usize, wanted: bool) -> Vec<LinkRecord> {
    let record = |(at, link): (usize, &rewrite::Link)| {
        // Beyond 65,535 links the index has no room: those stay as they are.
        let index = u16::try_from(first + at).ok();
        let (target, kept) = match (&link.decision, index) {
            (LinkDecision::Keep(reason), _) => (None, Some(*reason)),
            (LinkDecision::Track { .. }, _) if !wanted => (None, Some(Reason::LinksNotChosen)),
            (LinkDecision::Track { .. }, None) => (None, Some(Reason::TooLarge)),
            (LinkDecision::Track { target }, Some(_)) => (Some(target.clone()), None),
        };
        LinkRecord { index: index.unwrap_or(u16::MAX), href: link.href.clone(), target, kept }
    };
    survey.links.iter().enumerate().map(record).collect()
}

/// At most how many octets a part grows by, unless most of its links are quoted twice over: then the vector grows, which costs a
/// copy.
fn growth(found: &Followed<'_>, tracking: &Tracking) -> usize {
    const PIXEL_OCTETS: usize = 800;
    // A token is its own 41 octets and the destination, a third longer in base64.
    let link = |target: &str| tracking.base_url.len() + 64 + target.len() * 4 / 3;
    let links = found.survey.links.iter().filter_map(|found| match &found.decision {
        LinkDecision::Track { target } => Some(link(target)),
        LinkDecision::Keep(_) => None,
    });
    let decoded = PIXEL_OCTETS + links.sum::<usize>();
    match found.part.encoding {
        TransferEncoding::Base64 => decoded * 3 / 2,
        // Soft breaks.
        _ => decoded + decoded / 16,
    }
}

/// Writes a part with its edits in it behind `content`, in its own content-transfer-encoding; says whether a pixel is among
/// them. Where a line would grow longer than the 998 octets of RFC 5322 §2.1.1 it is ended inside a tag; what makes it too long all the
/// same is left out, one by one.
fn splice_one(
    content: &mut Vec<u8>,
    raw: &[u8],
    found: &Followed<'_>,
    tracking: &Tracking,
    mut pixel_url: Option<String>,
    links: &mut [LinkRecord],
    given_up: &dyn Fn() -> bool,
) -> Result<bool, Reason> {
    let source = &raw[found.part.body.clone()];
    let mut urls = Vec::with_capacity(links.len());
    for link in links.iter_mut() {
        if given_up() {
            return Err(Reason::TooSlow);
        }
        urls.push(tracking.url_for(link));
    }
    let (mut left_out, mut short_lines) = (HashSet::new(), false);
    loop {
        if given_up() {
            return Err(Reason::TooSlow);
        }
        let mut tracked_url = |at: usize| urls.get(at).filter(|_| !left_out.contains(&at)).cloned().flatten();
        let edits = if short_lines {
            let html = &found.decoded.octets;
            found.survey.edits_in_short_lines(html, &mut tracked_url, pixel_url.as_deref())
        } else {
            found.survey.edits(&mut tracked_url, pixel_url.as_deref())
        };
        let in_encoding: Vec<mime::Edit<'_>> = edits
            .iter()
            .map(|edit| mime::Edit { range: edit.range.clone(), replacement: &edit.replacement })
            .collect();
        let too_long = match mime::splice_into(content, source, &found.decoded, &in_encoding) {
            Ok(()) => return Ok(pixel_url.is_some()),
            Err(SpliceError::LineTooLong { .. }) if !short_lines => {
                short_lines = true;
                continue;
            }
            Err(SpliceError::LineTooLong { edit }) => edits.get(edit).map(|edit| edit.link),
            Err(_) => return Err(Reason::SelfCheckFailed),
        };
        match too_long {
            Some(Some(link)) if left_out.len() < MAX_EDITS_LEFT_OUT && left_out.insert(link) => {
                if let Some(record) = links.get_mut(link) {
                    record.kept = Some(Reason::LineTooLong);
                    record.target = None;
                }
            }
            // So many, that it is the part's way: no more of them is tried, and the pixel is.
            Some(Some(_)) if left_out.len() < links.len() => {
                for record in links.iter_mut().filter(|record| record.target.is_some()) {
                    record.kept = Some(Reason::LineTooLong);
                    record.target = None;
                }
                left_out.extend(0..links.len());
            }
            Some(None) if pixel_url.is_some() => pixel_url = None,
            _ => return Err(Reason::LineTooLong),
        }
    }
}

impl Tracking {
    fn pixel_url(&self) -> String {
        format!("{}{PIXEL_PATH}{}", self.base_url, self.keys.seal_pixel(self.id, self.recipient))
    }

    /// The tracked URL of a link that is to have one; says on the record why it gets none.
    fn url_for(&self, link: &mut LinkRecord) -> Option<String> {
        let target = link.target.as_deref()?;
        match self.keys.seal_link(self.id, self.recipient, link.index, target) {
            Ok(token) => Some(format!("{}{LINK_PATH}{token}", self.base_url)),
            Err(error) => {
                let too_long = matches!(error, MintError::TooLong { .. });
                link.kept = Some(if too_long { Reason::TooLong } else { Reason::UnparsableUrl });
                link.target = None;
                None
            }
        }
    }
}

/// Our earlier mail, in quotes of a program that made `https` of `http`, or the other way round.
fn in_other_scheme(base_url: &str) -> String {
    match base_url.strip_prefix("https:") {
        Some(rest) => format!("http:{rest}"),
        None => base_url.replacen("http:", "https:", 1),
    }
}

fn why_nothing_to_rewrite(located: &Located) -> Option<Reason> {
    if !located.html.is_empty() {
        return None;
    }
    let is_html = |part: &&LeftPart| part.media_type.eq_ignore_ascii_case("text/html");
    let left = located.left.iter().filter(|part| part.obstacle != Obstacle::Attachment);
    let reason = |part: &LeftPart| reason_of_obstacle(part.obstacle);
    Some(match (left.clone().find(is_html), left.clone().next()) {
        (Some(html), _) => reason(html),
        _ if !located.plain.is_empty() => Reason::PlainTextOnly,
        (None, Some(first)) => reason(first),
        (None, None) => Reason::NoHtml,
    })
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
        Obstacle::TooDeep => Reason::NestedTooDeep,
        Obstacle::Amp => Reason::Amp,
        Obstacle::Calendar => Reason::Calendar,
    }
}
