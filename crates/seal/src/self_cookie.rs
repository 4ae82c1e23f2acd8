use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::Keys;

/// The cookie's name on the tracking host.
pub const SELF_COOKIE: &str = "waxseal_self";

/// Makes and opens the cookie by which the tracking host knows a sender who is signed in at the console, so that
/// their own clicks are not taken for a recipient's.
///
/// For senders only, never for recipients. It says an address and until when, signed; it opens nothing else.
#[derive(Clone)]
pub struct SelfCookie {
    /// The first one signs, all open.
    secrets: Vec<[u8; 32]>,
}

/// Of HMAC-SHA256.
const MAC_OCTETS: usize = 32;
/// RFC 5321 §4.5.3.1.3, without the angle brackets.
const MAX_ADDRESS_OCTETS: usize = 254;
/// Longer is none of ours.
const MAX_VALUE_OCTETS: usize = 512;

impl SelfCookie {
    /// With secrets of its own that only `keys` lead to.
    pub fn new(keys: &Keys) -> Self {
        Self { secrets: keys.derive("self cookie") }
    }

    /// The cookie's value for a sender, good until `until`: milliseconds since 1970. `None` if that is no address.
    ///
    /// Set it with `Secure; HttpOnly; SameSite=Lax` and no `Domain`.
    pub fn mint(&self, address: &str, until: i64) -> Option<String> {
        let secret = self.secrets.first()?;
        if address.is_empty() || address.len() > MAX_ADDRESS_OCTETS {
            return None;
        }
        let mut value = until.to_be_bytes().to_vec();
        value.extend_from_slice(address.to_ascii_lowercase().as_bytes());
        let mac = mac(secret, &value);
        value.extend_from_slice(&mac);
        Some(URL_SAFE_NO_PAD.encode(value))
    }

    /// Whose cookie it is, in lower case; `None` for one that is none of ours or over.
    pub fn open(&self, value: &str, now: i64) -> Option<String> {
        if value.len() > MAX_VALUE_OCTETS {
            return None;
        }
        let octets = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (signed, given) = octets.split_last_chunk::<MAC_OCTETS>()?;
        let ours = self.secrets.iter().any(|secret| bool::from(mac(secret, signed).ct_eq(given)));
        let (until, address) = signed.split_first_chunk::<8>()?;
        let good = ours && now < i64::from_be_bytes(*until);
        good.then(|| String::from_utf8(address.to_vec()).ok())?
    }
}

fn mac(secret: &[u8; 32], octets: &[u8]) -> [u8; MAC_OCTETS] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(octets);
    mac.finalize().into_bytes().into()
}

impl std::fmt::Debug for SelfCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SelfCookie")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_until_when_and_nothing_else() {
        let cookie = SelfCookie::new(&Keys::generate([7; 32]));
        let value = cookie.mint("Ana@example.com", 1_000).unwrap();
        assert_eq!(cookie.open(&value, 999).as_deref(), Some("ana@example.com"));
        assert_eq!(cookie.open(&value, 1_000), None, "over");
        let other = SelfCookie::new(&Keys::generate([8; 32]));
        assert_eq!(other.open(&value, 0), None, "another installation's");
        assert_eq!(cookie.mint("", 1), None);
        assert_eq!(cookie.mint(&"a".repeat(255), 1), None);
        for wrong in ["", "x", &value[1..], &value[..value.len() - 1], &format!("{value}="), &"A".repeat(600)]
        {
            assert_eq!(cookie.open(wrong, 0), None, "{wrong}");
        }
        let octets = URL_SAFE_NO_PAD.decode(&value).unwrap();
        for bit in 0..octets.len() * 8 {
            let mut changed = octets.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(cookie.open(&URL_SAFE_NO_PAD.encode(changed), 0), None, "bit {bit}");
        }
    }
}
