use async_trait::async_trait;
use envelope::{RelayId, Timestamp};
use serde::Serialize;

use crate::{StoreError, text};

/// As many revocations are kept: a tracking endpoint holds all of them in memory, some 40 octets each.
pub const MOST_REVOCATIONS: u32 = 100_000;

/// Links and pixels that are to lead nowhere any more: those of a message, or fewer of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Revocation {
    /// Of this message.
    #[serde(serialize_with = "text::display")]
    pub message: RelayId,
    /// Only in this recipient's copy.
    pub recipient: Option<u16>,
    /// Only this link; with `None` every link, and the pixel.
    pub link: Option<u16>,
}

/// A revocation that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StoredRevocation {
    /// What.
    #[serde(flatten)]
    pub what: Revocation,
    /// Since when.
    #[serde(serialize_with = "text::display")]
    pub at: Timestamp,
}

/// Links that are to lead nowhere any more, although they were signed.
///
/// Whoever redirects holds all of them in memory and asks [`Revocations::revocations_edition`] from time to time: no
/// redirect waits for the store.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Revokes. What is revoked already stays as it is. The message need not be known.
    ///
    /// # Errors
    /// [`StoreError::TooManyRevocations`] when there are [`MOST_REVOCATIONS`].
    async fn revoke(&self, what: Revocation, at: Timestamp) -> Result<(), StoreError>;

    /// Takes back exactly this revocation. One that is not there changes nothing.
    async fn unrevoke(&self, what: Revocation) -> Result<(), StoreError>;

    /// Every revocation, newest first.
    async fn revocations(&self) -> Result<Vec<StoredRevocation>, StoreError>;

    /// A number that is another one after each change, of whatever process.
    async fn revocations_edition(&self) -> Result<i64, StoreError>;
}

#[cfg(test)]
pub(crate) mod conformance {
    use std::sync::Arc;

    use super::*;
    use crate::Store;
    use crate::samples::{id, moment};

    pub(crate) async fn holds(fresh: impl AsyncFn() -> Arc<dyn Store>) {
        a_revocation_is_kept_until_it_is_taken_back(&*fresh().await).await;
        the_edition_changes_with_each_change(&*fresh().await).await;
    }

    fn of(message: u32, recipient: Option<u16>, link: Option<u16>) -> Revocation {
        Revocation { message: id(message), recipient, link }
    }

    async fn a_revocation_is_kept_until_it_is_taken_back(store: &dyn Store) {
        assert_eq!(store.revocations().await.unwrap(), []);
        let all = [
            of(1, None, None),
            of(1, None, Some(0)),
            of(1, Some(0), None),
            of(1, Some(u16::MAX), Some(u16::MAX)),
            // Nobody knows it; it may have been deleted.
            of(9, None, None),
        ];
        for (n, what) in (0_u32..5).zip(all) {
            store.revoke(what, moment(n)).await.unwrap();
        }
        // The first time stays.
        store.revoke(all[0], moment(99)).await.unwrap();
        let newest_first: Vec<_> =
            (0_u32..5).zip(all).map(|(n, what)| StoredRevocation { what, at: moment(n) }).collect();
        let newest_first: Vec<_> = newest_first.into_iter().rev().collect();
        assert_eq!(store.revocations().await.unwrap(), newest_first);
        for _ in 0..2 {
            store.unrevoke(all[0]).await.unwrap();
            let left = store.revocations().await.unwrap();
            assert_eq!(left, newest_first[..4], "narrower ones are others");
        }
        store.revoke(all[0], moment(99)).await.unwrap();
        assert_eq!(store.revocations().await.unwrap()[0], StoredRevocation { what: all[0], at: moment(99) });
    }

    async fn the_edition_changes_with_each_change(store: &dyn Store) {
        let mut editions = vec![store.revocations_edition().await.unwrap()];
        let what = of(1, None, None);
        store.revoke(what, moment(1)).await.unwrap();
        editions.push(store.revocations_edition().await.unwrap());
        store.revoke(what, moment(2)).await.unwrap();
        assert_eq!(store.revocations_edition().await.unwrap(), editions[1], "nothing new");
        store.unrevoke(what).await.unwrap();
        editions.push(store.revocations_edition().await.unwrap());
        store.unrevoke(what).await.unwrap();
        assert_eq!(store.revocations_edition().await.unwrap(), editions[2], "nothing new");
        store.revoke(what, moment(3)).await.unwrap();
        editions.push(store.revocations_edition().await.unwrap());
        editions.dedup();
        assert_eq!(editions.len(), 4, "{editions:?}");
    }

    #[test]
    fn as_json() {
        let stored = StoredRevocation { what: of(1, Some(2), None), at: moment(1) };
        let expected = serde_json::json!({
            "message": id(1).to_string(), "recipient": 2, "link": null, "at": moment(1).to_string(),
        });
        assert_eq!(serde_json::to_value(stored).unwrap(), expected);
    }
}
