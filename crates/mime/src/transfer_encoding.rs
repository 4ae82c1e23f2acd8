use crate::position_map::PositionMap;
use crate::receiver::{Kept, Receiver};
use crate::{base64_body, quoted_printable};

/// A content-transfer-encoding (RFC 2045 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransferEncoding {
    /// `7bit`, also when there is no field.
    SevenBit,
    /// `8bit`.
    EightBit,
    /// `binary`.
    Binary,
    /// `quoted-printable` (RFC 2045 §6.7).
    QuotedPrintable,
    /// `base64` (RFC 2045 §6.8).
    Base64,
}

impl TransferEncoding {
    /// Reads a field body, trimmed. Only exactly the five names: `quoted-printable (x)` or `base64;` are read as one thing
    /// by this program and as another by that.
    pub(crate) fn from_field(body: &str) -> Option<Self> {
        [
            ("7bit", Self::SevenBit),
            ("8bit", Self::EightBit),
            ("binary", Self::Binary),
            ("quoted-printable", Self::QuotedPrintable),
            ("base64", Self::Base64),
        ]
        .into_iter()
        .find(|(name, _)| body.eq_ignore_ascii_case(name))
        .map(|(_, encoding)| encoding)
    }
}

/// Why a body was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An octet outside the alphabet, padding in the middle, or a last group that is not whole.
    #[error("the body is not base64")]
    NotBase64,
    /// An equals sign that is neither an octet nor a soft break, and that programs read differently.
    #[error("the body is not quoted-printable: see the equals sign at octet {at}")]
    NotQuotedPrintable {
        /// Where it stands in the encoded body.
        at: usize,
    },
    /// Positions are kept in 32 bits.
    #[error("the body has more than 4 GiB")]
    TooLarge,
}

/// A body without its content-transfer-encoding, still in its charset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The decoded octets. Line ends are those of the encoded text.
    pub octets: Vec<u8>,
    pub(crate) encoding: TransferEncoding,
    /// Of the encoded body, to notice when another one is spliced.
    pub(crate) encoded_octets: usize,
    pub(crate) map: PositionMap,
}

/// Undoes a content-transfer-encoding, keeping what [`splice`](crate::splice()) needs to write in it again.
///
/// The map of positions takes about a sixteenth of the octets, for `7bit`, `8bit` and `binary` nothing.
///
/// Source: RFC 2045 §6.7 and §6.8. Deviations, all as mail programs do: lower-case hex digits are
/// read; an equals sign that begins neither an octet nor a soft break stands for itself; white space in base64 is passed over.
pub fn decode(encoded: &[u8], encoding: TransferEncoding) -> Result<Decoded, DecodeError> {
    if u32::try_from(encoded.len()).is_err() {
        return Err(DecodeError::TooLarge);
    }
    let mut kept = Kept::with_capacity(match encoding {
        TransferEncoding::SevenBit | TransferEncoding::EightBit | TransferEncoding::Binary => encoded.len(),
        TransferEncoding::QuotedPrintable => quoted_printable::decoded_octets(encoded),
        TransferEncoding::Base64 => encoded.len() / 4 * 3,
    });
    decode_to(&mut kept, encoded, encoding)?;
    let Kept { octets, map } = kept;
    Ok(Decoded { octets, encoding, encoded_octets: encoded.len(), map })
}

/// Undoes a content-transfer-encoding. What is refused may have been received in part.
pub(crate) fn decode_to(
    out: &mut impl Receiver,
    encoded: &[u8],
    encoding: TransferEncoding,
) -> Result<(), DecodeError> {
    match encoding {
        TransferEncoding::SevenBit | TransferEncoding::EightBit | TransferEncoding::Binary => {
            out.take(encoded);
            Ok(())
        }
        TransferEncoding::QuotedPrintable => quoted_printable::decode_to(out, encoded),
        TransferEncoding::Base64 => base64_body::decode_to(out, encoded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_five_names_are_encodings() {
        for (body, encoding) in [
            ("7bit", Some(TransferEncoding::SevenBit)),
            ("8BIT", Some(TransferEncoding::EightBit)),
            ("Binary", Some(TransferEncoding::Binary)),
            ("Quoted-Printable", Some(TransferEncoding::QuotedPrintable)),
            ("BASE64", Some(TransferEncoding::Base64)),
            ("quoted-printable (x)", None),
            ("base64;", None),
            ("x-uuencode", None),
            ("8-bit", None),
            ("", None),
        ] {
            assert_eq!(TransferEncoding::from_field(body), encoding, "{body}");
        }
    }

    #[test]
    fn unencoded_bodies_are_their_own_octets() {
        for encoding in [TransferEncoding::SevenBit, TransferEncoding::EightBit, TransferEncoding::Binary] {
            assert_eq!(decode(b"a=41\xff \r\n", encoding).unwrap().octets, b"a=41\xff \r\n");
        }
    }
}
