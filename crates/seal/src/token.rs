use envelope::RelayId;

use crate::target::{MAX_TARGET_OCTETS, VerifiedTarget};

/// Whom a copy of a message was for. Never an address: tokens are seen by everybody on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// The recipient at this place in the envelope.
    Index(u16),
    /// One copy for several recipients: nobody can say which of them it was.
    Shared,
}

/// What a pixel's token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelToken {
    /// The message it was in.
    pub message: RelayId,
    /// Whose copy.
    pub recipient: Recipient,
}

/// What a link's token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkToken {
    /// The message it was in.
    pub message: RelayId,
    /// Whose copy.
    pub recipient: Recipient,
    /// Which link of the message, in document order.
    pub link: u16,
    /// Where it leads.
    pub target: VerifiedTarget,
}

/// What the token of a one-click unsubscribe says (RFC 8058).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeToken {
    /// The message it was in, and so who sent it.
    pub message: RelayId,
    /// Who unsubscribes. `Shared` opens too, yet nobody can act on it.
    pub recipient: Recipient,
}

/// What the token of a recipients' page says: the page that explains the host to one recipient of one
/// message, and takes a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalToken {
    /// The message it was in.
    pub message: RelayId,
    /// Who refuses.
    pub recipient: Recipient,
}

/// Version 1 in the high half; the kind, and whether the copy is shared, in the low one.
const PIXEL: u8 = 0x11;
const LINK: u8 = 0x12;
const UNSUBSCRIBE: u8 = 0x13;
const REFUSAL: u8 = 0x14;
const SHARED: u8 = 0x08;

pub(crate) const MAC_OCTETS: usize = 16;
pub(crate) const KEY_ID_OCTETS: usize = 4;
pub(crate) type KeyId = [u8; KEY_ID_OCTETS];

/// First octet, key id, message id, recipient.
const HEAD_OCTETS: usize = 1 + KEY_ID_OCTETS + 16 + 2;
const LINK_INDEX_OCTETS: usize = 2;

/// The longest token there is, in octets before base64. Longer texts are not even decoded.
pub(crate) const MAX_OCTETS: usize = HEAD_OCTETS + LINK_INDEX_OCTETS + MAX_TARGET_OCTETS + MAC_OCTETS;

/// A pixel token up to its MAC.
pub(crate) fn write_pixel(key: KeyId, message: RelayId, recipient: Recipient) -> Vec<u8> {
    head(PIXEL, key, message, recipient)
}

/// An unsubscribe token up to its MAC.
pub(crate) fn write_unsubscribe(key: KeyId, message: RelayId, recipient: Recipient) -> Vec<u8> {
    head(UNSUBSCRIBE, key, message, recipient)
}

/// A refusal token up to its MAC.
pub(crate) fn write_refusal(key: KeyId, message: RelayId, recipient: Recipient) -> Vec<u8> {
    head(REFUSAL, key, message, recipient)
}

/// A link token up to its MAC. The target was checked.
pub(crate) fn write_link(
    key: KeyId,
    message: RelayId,
    recipient: Recipient,
    link: u16,
    target: &str,
) -> Vec<u8> {
    let mut octets = head(LINK, key, message, recipient);
    octets.extend_from_slice(&link.to_be_bytes());
    octets.extend_from_slice(target.as_bytes());
    octets
}

fn head(kind: u8, key: KeyId, message: RelayId, recipient: Recipient) -> Vec<u8> {
    let (shared, index) = match recipient {
        Recipient::Index(index) => (0, index),
        Recipient::Shared => (SHARED, 0),
    };
    let mut octets = Vec::with_capacity(MAX_OCTETS / 4);
    octets.push(kind | shared);
    octets.extend_from_slice(&key);
    octets.extend_from_slice(message.as_bytes());
    octets.extend_from_slice(&index.to_be_bytes());
    octets
}

/// The key a token names, before anything about it is known to be true.
pub(crate) fn key_id(signed: &[u8]) -> Option<KeyId> {
    signed.get(1..)?.first_chunk().copied()
}

/// Reads octets whose MAC was right.
pub(crate) fn read_pixel(signed: &[u8]) -> Option<PixelToken> {
    let (message, recipient) = read_bare(PIXEL, signed)?;
    Some(PixelToken { message, recipient })
}

/// Reads octets whose MAC was right.
pub(crate) fn read_unsubscribe(signed: &[u8]) -> Option<UnsubscribeToken> {
    let (message, recipient) = read_bare(UNSUBSCRIBE, signed)?;
    Some(UnsubscribeToken { message, recipient })
}

/// Reads octets whose MAC was right.
pub(crate) fn read_refusal(signed: &[u8]) -> Option<RefusalToken> {
    let (message, recipient) = read_bare(REFUSAL, signed)?;
    Some(RefusalToken { message, recipient })
}

/// Reads octets whose MAC was right.
pub(crate) fn read_link(signed: &[u8]) -> Option<LinkToken> {
    let (message, recipient, rest) = read_head(LINK, signed)?;
    let (link, target) = rest.split_first_chunk()?;
    let target = VerifiedTarget::from_signed(target)?;
    Some(LinkToken { message, recipient, link: u16::from_be_bytes(*link), target })
}

/// A token that ends after the recipient.
fn read_bare(kind: u8, signed: &[u8]) -> Option<(RelayId, Recipient)> {
    let (message, recipient, rest) = read_head(kind, signed)?;
    rest.is_empty().then_some((message, recipient))
}

fn read_head(kind: u8, signed: &[u8]) -> Option<(RelayId, Recipient, &[u8])> {
    let (&first, rest) = signed.split_first()?;
    let (_key, rest) = rest.split_first_chunk::<KEY_ID_OCTETS>()?;
    let (message, rest) = rest.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let recipient = match (first, u16::from_be_bytes(*index)) {
        (octet, index) if octet == kind => Recipient::Index(index),
        (octet, 0) if octet == kind | SHARED => Recipient::Shared,
        _ => return None,
    };
    Some((RelayId::from_bytes(*message), recipient, rest))
}
