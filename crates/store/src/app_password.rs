use std::fmt;

use envelope::Timestamp;
use serde::Serialize;

/// A password that was made for one program of a sender's.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct AppPassword {
    /// The sender's login: an address of the store's or of the configuration file's.
    pub sender: String,
    /// What the sender calls it; one of a kind for each sender. ASCII case does not count.
    pub label: String,
    /// Random octets of this password's own, which key its hash.
    #[serde(skip)]
    pub key: [u8; 32],
    /// HMAC-SHA256 of the password under the key.
    #[serde(skip)]
    pub hash: [u8; 32],
    /// When it was made.
    #[serde(serialize_with = "in_words")]
    pub made_at: Timestamp,
}

fn in_words<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// Neither key nor hash is anybody's business.
impl fmt::Debug for AppPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppPassword")
            .field("sender", &self.sender)
            .field("label", &self.label)
            .field("made_at", &self.made_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_key_nor_hash_is_shown() {
        let password = AppPassword {
            sender: "ana@example.com".to_owned(),
            label: "phone".to_owned(),
            key: [77; 32],
            hash: [78; 32],
            made_at: Timestamp::from_unix_millis(0),
        };
        assert!(!format!("{password:?}").contains("77") && !format!("{password:?}").contains("78"));
        let json = serde_json::to_value(&password).unwrap();
        let made_at = "1970-01-01T00:00:00.000Z";
        let expected =
            serde_json::json!({ "sender": "ana@example.com", "label": "phone", "made_at": made_at });
        assert_eq!(json, expected);
    }
}
