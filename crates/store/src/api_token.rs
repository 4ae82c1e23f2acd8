use std::fmt;

use async_trait::async_trait;
use envelope::Timestamp;
use serde::Serialize;

use crate::{StoreError, text};

/// As many API tokens a sender may have.
pub const MOST_API_TOKENS: u32 = 100;

/// What is kept of a token for the API. The token itself is shown once, when it is made.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ApiToken {
    /// The part of it that is no secret, and names it.
    pub name: String,
    /// Whose it is: a sender's login.
    pub owner: String,
    /// What the owner calls it.
    pub label: String,
    /// What may be done with it: codes, joined by blanks.
    pub scopes: String,
    /// Random octets of this token's own, which key its hash.
    #[serde(skip)]
    pub key: [u8; 32],
    /// HMAC-SHA256 of the secret part under the key.
    #[serde(skip)]
    pub hash: [u8; 32],
    /// When it was made.
    #[serde(serialize_with = "text::display")]
    pub made_at: Timestamp,
    /// From when on it is right no longer.
    #[serde(serialize_with = "text::optional")]
    pub ends_at: Option<Timestamp>,
}

/// Tokens for the API.
#[async_trait]
pub trait ApiTokens: Send + Sync {
    /// Writes a token over the one that had the same name.
    async fn save_api_token(&self, token: ApiToken) -> Result<(), StoreError>;

    /// The token of this name.
    async fn api_token(&self, name: &str) -> Result<Option<ApiToken>, StoreError>;

    /// The tokens of this owner, or of all, oldest first. ASCII case does not count.
    async fn api_tokens(&self, owner: Option<&str>) -> Result<Vec<ApiToken>, StoreError>;

    /// It is right no longer. One that is not there changes nothing.
    async fn remove_api_token(&self, name: &str) -> Result<(), StoreError>;
}

/// Neither key nor hash is anybody's business.
impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken")
            .field("name", &self.name)
            .field("owner", &self.owner)
            .field("label", &self.label)
            .field("scopes", &self.scopes)
            .field("made_at", &self.made_at)
            .field("ends_at", &self.ends_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod conformance {
    use std::sync::Arc;

    use super::*;
    use crate::Store;
    use crate::samples::moment;

    pub(crate) async fn holds(fresh: impl AsyncFn() -> Arc<dyn Store>) {
        tokens_are_kept_by_their_names(&*fresh().await).await;
    }

    fn token(name: &str, owner: &str, at: u32) -> ApiToken {
        ApiToken {
            name: name.to_owned(),
            owner: owner.to_owned(),
            label: "crm ü".to_owned(),
            scopes: "read feedback".to_owned(),
            key: [1; 32],
            hash: [77; 32],
            made_at: moment(at),
            ends_at: Some(moment(at + 9)),
        }
    }

    async fn tokens_are_kept_by_their_names(store: &dyn Store) {
        assert_eq!(store.api_token("a").await.unwrap(), None);
        let (ana, bo) = (token("a", "ana@example.com", 1), token("b", "Bo@example.com", 2));
        let later = ApiToken { ends_at: None, ..token("c", "ANA@example.com", 3) };
        for token in [&later, &bo, &ana, &ana] {
            store.save_api_token(token.clone()).await.unwrap();
        }
        assert_eq!(store.api_token("c").await.unwrap(), Some(later.clone()));
        assert_eq!(store.api_token("A").await.unwrap(), None, "a name is what it is");
        assert_eq!(store.api_tokens(Some("ana@EXAMPLE.com")).await.unwrap(), [ana.clone(), later.clone()]);
        assert_eq!(store.api_tokens(None).await.unwrap(), [ana.clone(), bo, later]);
        for _ in 0..2 {
            store.remove_api_token("a").await.unwrap();
            assert_eq!(store.api_token("a").await.unwrap(), None);
        }
        assert!(!format!("{ana:?}").contains("77"));
    }
}
