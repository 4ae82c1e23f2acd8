use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envelope::Timestamp;
use store::Store;
use tokio::time::timeout;

use crate::event;

/// Notes where senders submit from, so that their own opens and clicks are known. Nobody waits for it.
#[derive(Default)]
pub(crate) struct SenderAddresses {
    noted: Mutex<HashMap<(String, IpAddr), Timestamp>>,
}

/// They are known for a day; once an hour is often enough to say so again.
const AGAIN: Duration = Duration::from_hours(1);
const MOST: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(10);

impl SenderAddresses {
    /// `sender` has just submitted a message from `client`.
    pub(crate) fn note(&self, store: &Arc<dyn Store>, sender: &str, client: IpAddr, now: Timestamp) {
        let client = client.to_canonical();
        // A program on this computer, or a proxy before us: everybody comes from there.
        if client.is_loopback() || !self.is_news(sender, client, now) {
            return;
        }
        let (store, sender) = (store.clone(), sender.to_owned());
        tokio::spawn(async move {
            let noted = timeout(PATIENCE, store.record_submission(&sender, client, now)).await;
            if !matches!(noted, Ok(Ok(()))) {
                event::address_not_noted(&noted);
            }
        });
    }

    fn is_news(&self, sender: &str, client: IpAddr, now: Timestamp) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (sender.to_ascii_lowercase(), client);
        // A clock that was set back makes it news again.
        if noted.get(&key).is_some_and(|at| *at <= now && now < at.plus(AGAIN)) {
            return false;
        }
        if noted.len() >= MOST {
            noted.clear();
        }
        noted.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_no_news_for_an_hour() {
        let addresses = SenderAddresses::default();
        let (here, there): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let at = Timestamp::from_unix_millis;
        for (sender, client, now, expected) in [
            ("ana@example.com", here, 10_000, true),
            ("Ana@example.com", here, 10_001, false),
            ("ana@example.com", there, 10_001, true),
            ("bo@example.com", here, 10_001, true),
            ("ana@example.com", here, 3_609_999, false),
            ("ana@example.com", here, 3_610_000, true),
            ("ana@example.com", here, 5_000, true),
        ] {
            assert_eq!(addresses.is_news(sender, client, at(now)), expected, "{sender} {client} {now}");
        }
    }

    #[tokio::test]
    async fn they_are_in_the_store_but_not_this_computers() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(store::SqliteStore::open(&folder.path().join("waxseal.db")).unwrap());
        let (addresses, now) = (SenderAddresses::default(), Timestamp::from_unix_millis(10_000));
        for client in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:192.0.2.1"] {
            addresses.note(&store, "ana@example.com", client.parse().unwrap(), now);
        }
        let noted = async {
            loop {
                let noted = store.submissions("ana@example.com", now).await.unwrap();
                if !noted.is_empty() {
                    return noted;
                }
                tokio::task::yield_now().await;
            }
        };
        let noted = timeout(PATIENCE, noted).await.unwrap();
        assert_eq!(
            noted.iter().map(|noted| noted.address).collect::<Vec<_>>(),
            [IpAddr::from([192, 0, 2, 1])]
        );
    }
}
