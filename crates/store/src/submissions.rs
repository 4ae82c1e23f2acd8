use std::net::IpAddr;

use async_trait::async_trait;
use envelope::Timestamp;

use crate::StoreError;

/// Where senders submit from: a hit from there may be the sender's own. Known for a day.
#[async_trait]
pub trait Submissions: Send + Sync {
    /// `sender` submitted from `address` at `at`.
    async fn record_submission(&self, sender: &str, address: IpAddr, at: Timestamp)
    -> Result<(), StoreError>;

    /// The addresses `sender` submitted from within a day before `now`, the newest first; at most
    /// [`MOST_SUBMISSION_ADDRESSES`]. ASCII case does not count.
    async fn submissions(&self, sender: &str, now: Timestamp) -> Result<Vec<SubmissionAddress>, StoreError>;

    /// Deletes what is older than a day.
    async fn forget_submissions(&self, now: Timestamp) -> Result<(), StoreError>;
}

/// One address that a sender submits from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmissionAddress {
    /// The address.
    pub address: IpAddr,
    /// Others submit from it too: an office behind one address.
    pub shared: bool,
}

/// More of one sender's are not looked at.
pub const MOST_SUBMISSION_ADDRESSES: u32 = 50;

#[cfg(test)]
pub(crate) mod conformance {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::Store;
    use crate::samples::moment;

    pub(crate) async fn holds(fresh: impl AsyncFn() -> Arc<dyn Store>) {
        addresses_are_known_for_a_day(&*fresh().await).await;
    }

    async fn addresses_are_known_for_a_day(store: &dyn Store) {
        const DAY: Duration = Duration::from_hours(24);
        let (home, office): (IpAddr, IpAddr) =
            ("2001:db8::1".parse().unwrap(), "203.0.113.7".parse().unwrap());
        assert_eq!(store.submissions("ana@example.com", moment(1)).await.unwrap(), []);
        for (sender, address, at) in [
            ("ana@example.com", office, 1),
            ("ANA@example.com", home, 2),
            // Later known earlier changes nothing.
            ("ana@example.com", home, 0),
            ("bo@example.com", "::ffff:203.0.113.7".parse().unwrap(), 3),
        ] {
            store.record_submission(sender, address, moment(at)).await.unwrap();
        }
        let of_home = SubmissionAddress { address: home, shared: false };
        let of_office = SubmissionAddress { address: office, shared: true };
        assert_eq!(store.submissions("Ana@example.com", moment(9)).await.unwrap(), [of_home, of_office]);
        assert_eq!(store.submissions("bo@example.com", moment(9)).await.unwrap(), [of_office]);
        let later = moment(2).plus(DAY);
        assert_eq!(store.submissions("ana@example.com", later).await.unwrap(), [of_home]);
        // Bo's of a day ago is forgotten, so Ana shares it with nobody any more.
        let later = moment(4).plus(DAY);
        store.record_submission("ana@example.com", office, later).await.unwrap();
        store.forget_submissions(later).await.unwrap();
        assert_eq!(store.submissions("bo@example.com", moment(9)).await.unwrap(), []);
        let alone = SubmissionAddress { address: office, shared: false };
        assert_eq!(store.submissions("ana@example.com", later).await.unwrap(), [alone]);
        for n in 0..u8::try_from(MOST_SUBMISSION_ADDRESSES).unwrap() + 9 {
            store.record_submission("eve@example.com", [10, 0, 0, n].into(), moment(1)).await.unwrap();
        }
        let most = MOST_SUBMISSION_ADDRESSES as usize;
        assert_eq!(store.submissions("eve@example.com", moment(1)).await.unwrap().len(), most);
    }
}
