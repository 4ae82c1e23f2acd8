use std::collections::HashSet;
use std::future::pending;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use seal::{LinkToken, PixelToken, Recipient};
use store::{Revocation, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::event;

/// What is revoked, in memory: no redirect reads the store for it, and none waits when the store is away.
///
/// The store bounds how many there are ([`store::MOST_REVOCATIONS`]). Without a store nothing is revoked.
#[derive(Debug, Default)]
pub struct Revoked(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    revoked: Arc<HashSet<Revocation>>,
    edition: Option<i64>,
}

/// How often the store is asked whether anything changed.
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

impl Revoked {
    /// Is a link to lead nowhere?
    pub(crate) fn link(&self, token: &LinkToken) -> bool {
        self.any(token.message, token.recipient, Some(token.link))
    }

    /// Is a pixel not to be recorded?
    pub(crate) fn pixel(&self, token: &PixelToken) -> bool {
        self.any(token.message, token.recipient, None)
    }

    /// Every revocation that would have it in it.
    fn any(&self, message: envelope::RelayId, recipient: Recipient, link: Option<u16>) -> bool {
        let revoked = self.state().revoked.clone();
        if revoked.is_empty() {
            return false;
        }
        let has = |recipient, link| revoked.contains(&Revocation { message, recipient, link });
        let one = match recipient {
            Recipient::Index(index) => Some(index),
            Recipient::Shared => None,
        };
        has(None, None)
            || (one.is_some() && has(one, None))
            || (link.is_some() && (has(None, link) || (one.is_some() && has(one, link))))
    }

    /// Reads what is revoked, if it has changed since the last time.
    ///
    /// # Errors
    /// When the store does not answer; what was known stays.
    pub async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        let refresh = async {
            let edition = store.revocations_edition().await?;
            if self.state().edition == Some(edition) {
                return Ok(());
            }
            let revoked = store.revocations().await?.into_iter().map(|stored| stored.what).collect();
            let state = State { revoked: Arc::new(revoked), edition: Some(edition) };
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = state;
            Ok(())
        };
        timeout(PATIENCE, refresh).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Follows the store until `shutdown` is true. While the store is away, what was known stays in force.
    pub async fn follow(&self, store: Arc<dyn Store>, mut shutdown: watch::Receiver<bool>) {
        let mut is_away = false;
        loop {
            match self.refresh(&*store).await {
                Ok(()) => is_away = false,
                Err(error) if !std::mem::replace(&mut is_away, true) => event::revocations_unknown(&error),
                Err(_) => {}
            }
            let told = async {
                if shutdown.wait_for(|told| *told).await.is_err() {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                () = told => return,
                () = sleep(PAUSE) => {}
            }
        }
    }

    fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use envelope::{RelayId, Timestamp};
    use seal::Keys;
    use store::{Revocations, SqliteStore};

    use super::*;

    #[tokio::test]
    async fn what_is_revoked_is_what_was_said_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("waxseal.db")).unwrap();
        let message = RelayId::from_bytes([1; 16]);
        let keys = Keys::generate([7; 32]);
        let link = |message, recipient, link| {
            let token = keys.seal_link(message, recipient, link, "https://example.com/").unwrap();
            keys.open_link(&token).unwrap()
        };
        let (one, other, shared) = (Recipient::Index(0), Recipient::Index(1), Recipient::Shared);
        for (recipient, number, expected) in [
            // Of: one's link 3, the other's link 3, the shared copy's link 3, one's link 4, one's pixel, the other's pixel.
            (None, None, [true, true, true, true, true, true]),
            (None, Some(3), [true, true, true, false, false, false]),
            (Some(0), None, [true, false, false, true, true, false]),
            (Some(0), Some(3), [true, false, false, false, false, false]),
        ] {
            let (what, revoked) = (Revocation { message, recipient, link: number }, Revoked::default());
            let now = || {
                [
                    revoked.link(&link(message, one, 3)),
                    revoked.link(&link(message, other, 3)),
                    revoked.link(&link(message, shared, 3)),
                    revoked.link(&link(message, one, 4)),
                    revoked.pixel(&PixelToken { message, recipient: one }),
                    revoked.pixel(&PixelToken { message, recipient: other }),
                ]
            };
            revoked.refresh(&store).await.unwrap();
            assert_eq!(now(), [false; 6]);
            store.revoke(what, Timestamp::from_unix_millis(0)).await.unwrap();
            assert_eq!(now(), [false; 6], "no read before it is time to");
            revoked.refresh(&store).await.unwrap();
            assert_eq!(now(), expected, "{recipient:?} {number:?}");
            assert!(!revoked.link(&link(RelayId::from_bytes([2; 16]), one, 3)), "another message");
            store.unrevoke(what).await.unwrap();
            revoked.refresh(&store).await.unwrap();
            assert_eq!(now(), [false; 6]);
            revoked.refresh(&store).await.unwrap();
        }
    }

    #[tokio::test]
    async fn while_the_store_is_away_what_was_known_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("waxseal.db")).unwrap();
        let message = RelayId::from_bytes([1; 16]);
        let revoked = Revoked::default();
        let what = Revocation { message, recipient: None, link: None };
        store.revoke(what, Timestamp::from_unix_millis(0)).await.unwrap();
        revoked.refresh(&store).await.unwrap();
        store.clone().close().await;
        assert!(revoked.refresh(&store).await.is_err());
        assert!(revoked.pixel(&PixelToken { message, recipient: Recipient::Shared }));
    }
}
