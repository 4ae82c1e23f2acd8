//! Octets to parts and back: locate the displayed HTML and text parts, decode and splice in the encoded domain.
//!
//! ```text
//! raw ─► locate ─► TextPart.body ─► decode ─► octets ─► (edits) ─► splice ─► TextPart.body with the edits
//! ```
//!
//! Everything here is total: odd mail is still mail. What cannot be changed without doubt is left, with
//! the [`Obstacle`] that stands in the way, and what is changed is decoded again and compared before it is handed out.
//!
//! **Two readers.** mail-parser says which parts are displayed, our own walk over the octets says where
//! they stand, and a part may be changed only when both find it. mail-parser is not given the message but its
//! skeleton: the same tree of parts, their types and dispositions, without preambles and with empty bodies.
//! This has three reasons. Parsing the message would decode every attachment, which locating is not to pay for; our walk
//! goes once over the octets and holds a few hundred of them for each part. mail-parser 0.11 cuts a part at a boundary in mid-line
//! and does not say where a delimiter stood, while a splice needs the proof that its line is right behind
//! the part. And two readers that were written apart agree by mistake less often than one errs.
//!
//! **Own codecs.** Quoted-printable and base64 are decoded here because the place of each octet is needed and because
//! a soft break before a delimiter must not cost text.

mod line;

// The header.
mod encoded_word;
mod header;
mod media_type;
mod parameter_section;
mod part_header;

// The parts.
mod delimiter;
mod locate;
mod sealed;
mod skeleton;
mod walk;

// A part's octets.
mod base64_body;
mod position_map;
mod quoted_printable;
mod receiver;
mod seven_bit;
mod splice;
mod transfer_encoding;
mod unencoded;

pub use encoded_word::decode_words;
pub use header::{HeaderField, field_bodies, header_end, header_fields, remove_fields};
pub use locate::{LeftPart, Located, Obstacle, TextPart, locate};
pub use sealed::Sealed;
pub use seven_bit::{NotConvertible, to_seven_bit};
pub use splice::{Edit, SpliceError, splice, splice_into};
pub use transfer_encoding::{DecodeError, Decoded, TransferEncoding, decode};
