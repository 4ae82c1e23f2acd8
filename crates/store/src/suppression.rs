use async_trait::async_trait;
use envelope::{RelayId, Timestamp};
use serde::Serialize;

use crate::{StoreError, text};

/// An address that is to get no mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// Of this sender's; `None`: of anybody's here.
    pub sender: Option<String>,
    /// The address, as [`suppression_key`] writes it.
    pub address: String,
    /// Why.
    pub reason: SuppressionReason,
    /// The message that it was said about, if it was one.
    #[serde(serialize_with = "text::optional")]
    pub message: Option<RelayId>,
    /// Since when.
    #[serde(serialize_with = "text::display")]
    pub at: Timestamp,
}

/// Why an address is to get no mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuppressionReason {
    /// The recipient unsubscribed.
    Unsubscribed,
    /// Mail to it bounced for good.
    Bounced,
    /// The recipient reported mail as spam.
    Complaint,
    /// The operator put it on the list.
    ByHand,
}

/// A recipient unsubscribed from a sender's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscription {
    /// Our id of what happened.
    pub id: RelayId,
    /// In this message.
    pub message: RelayId,
    /// The recipient's number in it.
    pub recipient: u16,
    /// The message's sender.
    pub sender: String,
    /// The recipient's address.
    pub address: String,
    /// When.
    pub at: Timestamp,
}

/// Which suppressions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuppressionFilter {
    /// Only those for this sender alone. ASCII case does not count.
    pub sender: Option<String>,
    /// Only those behind this one, which has the sender (empty: of anybody's) and the address.
    pub after: Option<(String, String)>,
    /// At most so many; a backend may give fewer.
    pub limit: u32,
}

/// Who is to get no mail of whom.
#[async_trait]
pub trait Suppressions: Send + Sync {
    /// Is this address to get no mail of this sender's? Where the sender has no suppression at all, as nearly always, this
    /// reads nothing; what another process wrote may show two seconds late.
    ///
    /// # Errors
    /// Only for a sender who has suppressions: which of his recipients, nobody can say now.
    async fn suppression(&self, sender: &str, address: &str) -> Result<Option<Suppression>, StoreError>;

    /// Puts an address on the list. One that is there for the same sender stays as it is.
    async fn suppress(&self, suppression: Suppression) -> Result<(), StoreError>;

    /// Takes an address off the list, for this sender or, with `None`, for the entry that is for all. One that is not
    /// there changes nothing.
    async fn unsuppress(&self, sender: Option<&str>, address: &str) -> Result<(), StoreError>;

    /// The list, by sender and address, those for all senders first.
    async fn suppressions(&self, filter: SuppressionFilter) -> Result<Vec<Suppression>, StoreError>;

    /// Suppresses the address for the sender, and appends to the message's events that its recipient unsubscribed: once,
    /// however often it is said.
    async fn unsubscribe(&self, unsubscription: Unsubscription) -> Result<(), StoreError>;
}

impl SuppressionReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Unsubscribed, Self::Bounced, Self::Complaint, Self::ByHand];

    /// The stable code: lower case, words joined by underscores.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Bounced => "bounced",
            Self::Complaint => "complaint",
            Self::ByHand => "by_hand",
        }
    }

    /// The reason with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl Serialize for SuppressionReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// An address as suppressions compare it: ASCII in lower case, the domain in lower case altogether. No host in use tells
/// two people apart by the case of a local part.
pub fn suppression_key(address: &str) -> String {
    let (local_part, domain) = address.rsplit_once('@').map_or((address, None), |(l, d)| (l, Some(d)));
    let mut key = local_part.to_ascii_lowercase();
    if let Some(domain) = domain {
        key.push('@');
        key.push_str(&domain.to_lowercase());
    }
    key
}

#[cfg(test)]
pub(crate) mod conformance {
    use std::sync::Arc;

    use super::*;
    use crate::Store;
    use crate::samples::{id, message, moment};

    pub(crate) async fn holds(fresh: impl AsyncFn() -> Arc<dyn Store>) {
        an_address_is_suppressed_for_whom_it_was(&*fresh().await).await;
        case_does_not_count(&*fresh().await).await;
        the_first_entry_stays(&*fresh().await).await;
        the_list_is_read_page_by_page(&*fresh().await).await;
        an_unsubscription_counts_once(&*fresh().await).await;
    }

    const ANA: &str = "ana@example.com";

    fn entry(sender: Option<&str>, address: &str, reason: SuppressionReason) -> Suppression {
        let (sender, address) = (sender.map(str::to_owned), address.to_owned());
        Suppression { sender, address, reason, message: None, at: moment(1) }
    }

    async fn is_for(store: &dyn Store, sender: &str, address: &str) -> Option<SuppressionReason> {
        store.suppression(sender, address).await.unwrap().map(|found| found.reason)
    }

    async fn an_address_is_suppressed_for_whom_it_was(store: &dyn Store) {
        use SuppressionReason::{Bounced, ByHand, Complaint};
        assert_eq!(is_for(store, ANA, "bo@example.net").await, None);
        store.suppress(entry(Some(ANA), "bo@example.net", Complaint)).await.unwrap();
        assert_eq!(is_for(store, ANA, "bo@example.net").await, Some(Complaint));
        assert_eq!(is_for(store, "eve@example.com", "bo@example.net").await, None, "another sender's");
        assert_eq!(is_for(store, ANA, "jo@example.net").await, None);
        store.suppress(entry(None, "bo@example.net", Bounced)).await.unwrap();
        assert_eq!(is_for(store, "eve@example.com", "bo@example.net").await, Some(Bounced));
        assert_eq!(is_for(store, ANA, "bo@example.net").await, Some(Complaint), "the sender's own first");
        assert_eq!(is_for(store, "", "bo@example.net").await, Some(Bounced), "also a sender without a name");
        // A sender who is called as we write "all of them" gets no entry for all.
        store.suppress(entry(Some(""), "jo@example.net", ByHand)).await.unwrap();
        assert_eq!(is_for(store, "eve@example.com", "jo@example.net").await, None);
        for _ in 0..2 {
            store.unsuppress(Some(ANA), "bo@example.net").await.unwrap();
            assert_eq!(is_for(store, ANA, "bo@example.net").await, Some(Bounced));
        }
        store.unsuppress(None, "bo@example.net").await.unwrap();
        assert_eq!(is_for(store, ANA, "bo@example.net").await, None);
        for odd in ["", "%", "b_@example.net", "a'; --@example.net", "\u{feff}@\0"] {
            store.suppress(entry(Some(ANA), odd, ByHand)).await.unwrap();
            assert_eq!(is_for(store, ANA, odd).await, Some(ByHand), "{odd:?}");
        }
        assert_eq!(is_for(store, ANA, "bo@example.net").await, None, "no wildcards");
    }

    async fn case_does_not_count(store: &dyn Store) {
        let unsubscribed = SuppressionReason::Unsubscribed;
        store.suppress(entry(Some("Ana@Example.com"), "Bo@Bücher.Example", unsubscribed)).await.unwrap();
        for address in ["bo@bücher.example", "BO@BÜCHER.EXAMPLE"] {
            assert_eq!(is_for(store, "ANA@example.COM", address).await, Some(unsubscribed), "{address}");
        }
        assert_eq!(is_for(store, ANA, "bo@bucher.example").await, None);
        store.suppress(entry(Some(ANA), "Öl@example.net", unsubscribed)).await.unwrap();
        assert_eq!(is_for(store, ANA, "öl@example.net").await, None, "another mailbox, for all we know");
        store.unsuppress(Some("ANA@EXAMPLE.COM"), "BO@bücher.example").await.unwrap();
        assert_eq!(is_for(store, ANA, "bo@bücher.example").await, None);
    }

    async fn the_first_entry_stays(store: &dyn Store) {
        let first = entry(Some(ANA), "bo@example.net", SuppressionReason::Unsubscribed);
        let later = Suppression { at: moment(9), message: Some(id(3)), ..first.clone() };
        for again in [&first, &later] {
            store.suppress(again.clone()).await.unwrap();
            assert_eq!(store.suppression(ANA, "bo@example.net").await.unwrap().as_ref(), Some(&first));
        }
    }

    async fn the_list_is_read_page_by_page(store: &dyn Store) {
        let by_hand = SuppressionReason::ByHand;
        let mut all = vec![entry(None, "x@example.net", by_hand)];
        for sender in [ANA, "bo@example.com"] {
            all.extend((0..3).map(|n| entry(Some(sender), &format!("{n}@example.net"), by_hand)));
        }
        for entry in all.iter().rev() {
            store.suppress(entry.clone()).await.unwrap();
        }
        let filter = SuppressionFilter { limit: 100, ..SuppressionFilter::default() };
        assert_eq!(store.suppressions(filter.clone()).await.unwrap(), all);
        let ana = SuppressionFilter { sender: Some("ANA@example.com".to_owned()), ..filter.clone() };
        assert_eq!(store.suppressions(ana.clone()).await.unwrap(), all[1..4]);
        for of in [filter, ana] {
            let (mut pages, mut after) = (vec![], None);
            loop {
                let page = SuppressionFilter { limit: 2, after: after.clone(), ..of.clone() };
                let page = store.suppressions(page).await.unwrap();
                let Some(last) = page.last() else { break };
                after = Some((last.sender.clone().unwrap_or_default(), last.address.clone()));
                pages.extend(page);
            }
            assert_eq!(pages, store.suppressions(of).await.unwrap());
        }
    }

    async fn an_unsubscription_counts_once(store: &dyn Store) {
        let one = Unsubscription {
            id: id(50),
            message: id(1),
            recipient: 0,
            sender: ANA.to_owned(),
            address: "Bo@example.net".to_owned(),
            at: moment(5),
        };
        let events = async |message| {
            let events = store.events_of(id(message)).await.unwrap();
            let event = |event: crate::Event| (event.kind, event.recipient, event.at);
            events.into_iter().map(|stored| event(stored.event)).collect::<Vec<_>>()
        };
        let unsubscribed = |recipient, at| (crate::EventKind::Unsubscribe, Some(recipient), moment(at));
        // The message may become known later.
        for n in [5, 6, 7] {
            store.unsubscribe(Unsubscription { id: id(50 + n), at: moment(n), ..one.clone() }).await.unwrap();
            assert_eq!(events(1).await, [unsubscribed(0, 5)]);
        }
        store.record_message(message(1)).await.unwrap();
        let committed = *store.committed().borrow();
        let other = Unsubscription { id: id(60), recipient: 1, at: moment(6), ..one.clone() };
        store.unsubscribe(other).await.unwrap();
        assert_eq!(events(1).await, [unsubscribed(0, 5), unsubscribed(1, 6)]);
        assert!(*store.committed().borrow() > committed, "those who follow events hear of it");
        let expected = Suppression {
            message: Some(id(1)),
            at: moment(5),
            ..entry(Some(ANA), "bo@example.net", SuppressionReason::Unsubscribed)
        };
        assert_eq!(store.suppression(ANA, "bo@example.net").await.unwrap(), Some(expected));
        // Back on the list by a later mail, after the operator took it off.
        store.unsuppress(Some(ANA), "bo@example.net").await.unwrap();
        let later = Unsubscription { id: id(61), message: id(2), at: moment(8), ..one };
        store.unsubscribe(later).await.unwrap();
        let again = store.suppression(ANA, "bo@example.net").await.unwrap().unwrap();
        assert_eq!((again.message, again.at), (Some(id(2)), moment(8)));
        assert_eq!(events(2).await, [unsubscribed(0, 8)]);
        let summary = store.message(id(1)).await.unwrap().unwrap();
        assert_eq!((summary.opens_by_people, summary.clicks_by_people), (0, 0), "neither open nor click");
    }

    #[test]
    fn as_json() {
        let entry = entry(None, "bo@example.net", SuppressionReason::ByHand);
        let expected = serde_json::json!({
            "sender": null, "address": "bo@example.net", "reason": "by_hand", "message": null,
            "at": moment(1).to_string(),
        });
        assert_eq!(serde_json::to_value(entry).unwrap(), expected);
    }

    #[test]
    fn codes_lead_back() {
        for reason in SuppressionReason::ALL {
            assert_eq!(SuppressionReason::from_code(reason.code()), Some(reason));
        }
    }
}
