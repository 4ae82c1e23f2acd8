use std::ops::Range;

use crate::sealed::holds_armour;
use crate::skeleton::Displayed;
use crate::walk::{Kind, Leaf, Walk};
use crate::{Sealed, TransferEncoding};

/// What a message shows, and what of it may be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// The displayed `text/html` parts, in document order.
    pub html: Vec<TextPart>,
    /// The displayed `text/plain` parts, in document order.
    pub plain: Vec<TextPart>,
    /// Parts that are left as they are although they hold HTML or displayed text, or look as if they did.
    pub left: Vec<LeftPart>,
    /// The message is signed or encrypted, so nothing of it may be changed, and the lists are empty.
    pub sealed: Option<Sealed>,
}

/// A displayed text part that may be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPart {
    /// The part's number as IMAP counts (RFC 9051 §6.4.5.1): "1.2"; "1" for a message of a single part.
    pub path: String,
    /// Where its body stands in the message, still encoded: from behind its header to before the line end of the
    /// delimiter, which stands right there, or to the end of a message of a single part.
    pub body: Range<usize>,
    /// How the body is encoded.
    pub encoding: TransferEncoding,
    /// The charset parameter as it is written.
    pub charset: Option<String>,
    /// `format=flowed` (RFC 3676).
    pub format_flowed: bool,
    /// `delsp=yes` (RFC 3676).
    pub delsp: bool,
}

/// A part that is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftPart {
    /// The part's number as IMAP counts.
    pub path: String,
    /// The media type in lower case, without parameters.
    pub media_type: String,
    /// Why it is left.
    pub obstacle: Obstacle,
}

/// Why a part is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// It is not displayed: an attachment, a named part, a resource of another part, a part of a report.
    Attachment,
    /// It is a message of its own.
    AttachedMessage,
    /// Its content-transfer-encoding is none of the five.
    UnknownTransferEncoding,
    /// It has more than one Content-Transfer-Encoding field.
    SeveralTransferEncodings,
    /// It does not decode. [`locate`] does not decode: this is for those who note what [`decode`](crate::decode) refused.
    Undecodable,
    /// A delimiter of one of its multiparts stands within it, but not on a line of its own.
    BoundaryInLine,
    /// Its header is read in more than one way, or its end is not proven by a delimiter, or it lies in something we do not
    /// know.
    Malformed,
    /// It lies in more multiparts than real mail has.
    TooDeep,
    /// AMP for email.
    Amp,
    /// A calendar entry.
    Calendar,
}

/// Finds the displayed text parts of a message, as it came over the wire.
///
/// One pass over the octets; bodies of attachments are neither decoded nor copied. Line ends are CRLF or LF.
///
/// # Errors
/// None: what is doubtful about a part stands in [`Located::left`].
///
/// Source: RFC 2046 §5.1, RFC 2183 §2, RFC 2387.
pub fn locate(raw: &[u8]) -> Located {
    let walk = Walk::over(raw);
    if let Some(sealed) = walk.sealed {
        return Located { sealed: Some(sealed), ..Located::default() };
    }
    let displayed = walk.skeleton.displayed();
    let mut located = Located::default();
    for leaf in walk.leaves {
        let obstacle = obstacle(&leaf, &displayed);
        let hidden = matches!(obstacle, Some(Obstacle::Attachment | Obstacle::AttachedMessage));
        let html = leaf.kind == Kind::Html;
        if leaf.kind.is_text() && !hidden && holds_armour(&raw[leaf.body.clone()], leaf.encoding.ok(), html) {
            return Located { sealed: Some(Sealed::PgpInline), ..Located::default() };
        }
        match (obstacle, leaf.encoding) {
            (None, Ok(encoding)) => {
                let parts = if html { &mut located.html } else { &mut located.plain };
                parts.push(text_part(leaf, encoding));
            }
            // A text file was never going to be changed: there is nothing to explain.
            (Some(Obstacle::Attachment), _) if leaf.kind == Kind::Plain => {}
            (obstacle, encoding) => {
                let obstacle = obstacle.or(encoding.err()).unwrap_or(Obstacle::Malformed);
                located.left.push(LeftPart { path: leaf.path, media_type: leaf.media_type, obstacle });
            }
        }
    }
    located
}

/// What stands in the way of changing this part. An encoding we do not know is not counted here.
fn obstacle(leaf: &Leaf, displayed: &Displayed) -> Option<Obstacle> {
    let seen = match leaf.kind {
        Kind::Html => displayed.html.contains(&leaf.in_skeleton),
        Kind::Plain => displayed.plain.contains(&leaf.in_skeleton),
        Kind::Other => false,
    };
    leaf.obstacle.or(match seen {
        true => None,
        false if displayed.known.contains(&leaf.in_skeleton) => Some(Obstacle::Attachment),
        // The two readers do not even agree that this is a part.
        false => Some(Obstacle::Malformed),
    })
}

fn text_part(leaf: Leaf, encoding: TransferEncoding) -> TextPart {
    TextPart {
        path: leaf.path,
        body: leaf.body,
        encoding,
        charset: leaf.charset,
        format_flowed: leaf.format_flowed,
        delsp: leaf.delsp,
    }
}
