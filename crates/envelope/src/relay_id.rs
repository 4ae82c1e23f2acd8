use std::fmt;
use std::str::FromStr;

use crate::Timestamp;

/// Our own id of a message or an event: a UUID version 7 (RFC 9562 §5.7).
///
/// It sorts by time of making and is made by us, not by the store, so that writing the
/// same thing twice is the same thing once. Message-ID is the header field, never this.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayId([u8; 16]);

/// A text is not a relay id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form 0199d1a3-7c51-7e0e-9f2a-4c1d6b7e8f90")]
pub struct RelayIdError;

impl RelayId {
    /// From the moment of making and ten random octets, of which 74 bits are used.
    pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
        let mut octets = [0; 16];
        let millis = u64::try_from(at.unix_millis()).unwrap_or(0);
        octets[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        octets[6..].copy_from_slice(&random);
        octets[6] = 0x70 | (octets[6] & 0x0f);
        octets[8] = 0x80 | (octets[8] & 0x3f);
        Self(octets)
    }

    /// From the sixteen octets of [`RelayId::as_bytes`].
    pub const fn from_bytes(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The sixteen octets.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The last eight digits: enough to quote to a postmaster, and the random end of the id.
    pub fn short(&self) -> String {
        self.to_string().split_off(28)
    }
}

impl fmt::Display for RelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, octet) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RelayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RelayId {
    type Err = RelayIdError;

    fn from_str(text: &str) -> Result<Self, RelayIdError> {
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
        if digits.len() != 32 {
            return Err(RelayIdError);
        }
        let mut octets = [0; 16];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| RelayIdError)?;
            *octet = u8::from_str_radix(pair, 16).map_err(|_| RelayIdError)?;
        }
        let id = Self(octets);
        if id.to_string() == text { Ok(id) } else { Err(RelayIdError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_uuid_of_version_7_that_sorts_by_time() {
        let early = RelayId::new(Timestamp::from_unix_millis(1_795_508_461_123), [0xff; 10]);
        let late = RelayId::new(Timestamp::from_unix_millis(1_795_508_461_124), [0; 10]);
        assert!(early < late);
        assert_eq!(early.to_string(), "01a20ca4-de43-7fff-bfff-ffffffffffff");
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(early.short(), "ffffffff");
        for wrong in ["", "01a20ca4de437fffbfffffffffffffff", "01A20CA4-DE43-7FFF-BFFF-FFFFFFFFFFFF"] {
            assert_eq!(wrong.parse::<RelayId>(), Err(RelayIdError));
        }
    }
}
