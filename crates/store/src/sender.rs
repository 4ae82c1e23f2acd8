use std::fmt;

use serde::Serialize;

/// Somebody who may log in here.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct SenderRecord {
    /// The login, and the first of the sender's own addresses.
    pub address: String,
    /// Further addresses of the sender's own.
    pub aliases: Vec<String>,
    /// An argon2id PHC string; without one this sender cannot log in.
    #[serde(skip)]
    pub password_hash: Option<String>,
    /// Kept, but not let in.
    pub disabled: bool,
}

/// A hash can be guessed at: neither logs nor `--json` show it.
impl fmt::Debug for SenderRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderRecord")
            .field("address", &self.address)
            .field("aliases", &self.aliases)
            .field("has_password", &self.password_hash.is_some())
            .field("disabled", &self.disabled)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hash_is_shown() {
        let sender = SenderRecord {
            address: "ana@example.com".to_owned(),
            password_hash: Some("$argon2id$hidden".to_owned()),
            ..SenderRecord::default()
        };
        assert!(!format!("{sender:?}").contains("argon2id"));
        let json = serde_json::to_value(&sender).unwrap();
        let expected = serde_json::json!({ "address": "ana@example.com", "aliases": [], "disabled": false });
        assert_eq!(json, expected);
    }
}
