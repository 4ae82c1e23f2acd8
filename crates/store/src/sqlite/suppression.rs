use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use envelope::{RelayId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::time::timeout;

use crate::sqlite::event_log;
use crate::sqlite::known_keys::KnownKeys;
use crate::sqlite::read::MOST;
use crate::sqlite::readers::Unread;
use crate::sqlite::revocation::{edition, next_edition};
use crate::sqlite::write::Write;
use crate::{
    Event, EventKind, SqliteStore, StoreError, Suppression, SuppressionFilter, SuppressionReason,
    Suppressions, Unsubscription, suppression_key,
};

/// Senders and addresses as `suppression_key` writes them. A sender of `*` is all of them: no address is called so.
pub(crate) const SCHEMA: &str = "
CREATE TABLE suppression (
    sender  TEXT NOT NULL,
    address TEXT NOT NULL,
    reason  TEXT NOT NULL,
    message BLOB,
    at      INTEGER NOT NULL,
    PRIMARY KEY (sender, address)
) STRICT, WITHOUT ROWID;
";

const ALL: &str = "*";

#[async_trait]
impl Suppressions for SqliteStore {
    async fn suppression(&self, sender: &str, address: &str) -> Result<Option<Suppression>, StoreError> {
        let sender = suppression_key(sender);
        let Lookup::Read { looking, has_some } = self.suppressed.look_up(&sender) else { return Ok(None) };
        let address = suppression_key(address);
        let read = move |db: &Connection| {
            let seen = SuppressedSenders::look(&looking, db)?;
            Ok((find(db, &sender, &address)?, looking, seen))
        };
        let reading = self.readers.read("looking up who gets no mail", read);
        match timeout(PATIENCE, reading).await.unwrap_or(Err(StoreError::TimedOut)) {
            Ok((found, looking, seen)) => {
                self.suppressed.looked(&looking, seen);
                Ok(found)
            }
            Err(error) if has_some => Err(error),
            // As far as anybody knew the sender has none, and mail is not to wait for the store.
            Err(_) => {
                self.suppressed.not_seen();
                Ok(None)
            }
        }
    }

    async fn suppress(&self, suppression: Suppression) -> Result<(), StoreError> {
        self.change_suppressions(Change::Suppress(suppression)).await
    }

    async fn unsuppress(&self, sender: Option<&str>, address: &str) -> Result<(), StoreError> {
        let (sender, address) = (sender.map(str::to_owned), address.to_owned());
        self.change_suppressions(Change::Unsuppress { sender, address }).await
    }

    async fn suppressions(&self, filter: SuppressionFilter) -> Result<Vec<Suppression>, StoreError> {
        self.readers.read("listing who gets no mail", move |db| suppressions(db, &filter)).await
    }

    async fn unsubscribe(&self, unsubscription: Unsubscription) -> Result<(), StoreError> {
        self.change_suppressions(Change::Unsubscribe(unsubscription)).await
    }
}

impl SqliteStore {
    async fn change_suppressions(&self, change: Change) -> Result<(), StoreError> {
        let changed = self.writer.commit(Write::Suppression(change)).await;
        self.suppressed.changed();
        changed
    }
}

#[derive(Debug)]
pub(crate) enum Change {
    Suppress(Suppression),
    Unsuppress { sender: Option<String>, address: String },
    Unsubscribe(Unsubscription),
}

impl Change {
    /// Returns the number of an event that was not there before.
    pub(crate) fn apply(&self, db: &Connection) -> Result<Option<i64>, StoreError> {
        let change = || match self {
            Self::Suppress(suppression) => Ok((suppress(db, suppression)?, None)),
            Self::Unsuppress { sender, address } => Ok((unsuppress(db, sender.as_deref(), address)?, None)),
            Self::Unsubscribe(unsubscription) => unsubscribe(db, unsubscription),
        };
        let failed = |e| StoreError::sqlite("changing who gets no mail", e);
        let (changed, event) = change().map_err(failed)?;
        if changed {
            next_edition(db, "suppression").map_err(failed)?;
        }
        Ok(event)
    }
}

fn suppress(db: &Connection, suppression: &Suppression) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO suppression (sender, address, reason, message, at) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (sender, address) DO NOTHING";
    let values = params![
        sender_key(suppression.sender.as_deref()),
        suppression_key(&suppression.address),
        suppression.reason.code(),
        suppression.message.as_ref().map(RelayId::as_bytes),
        suppression.at.unix_millis(),
    ];
    Ok(db.prepare_cached(sql)?.execute(values)? > 0)
}

fn unsuppress(db: &Connection, sender: Option<&str>, address: &str) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM suppression WHERE sender = ?1 AND address = ?2";
    Ok(db.prepare_cached(sql)?.execute([sender_key(sender), suppression_key(address)])? > 0)
}

fn unsubscribe(db: &Connection, unsubscription: &Unsubscription) -> rusqlite::Result<(bool, Option<i64>)> {
    let event = append_event(db, unsubscription)?;
    let suppression = Suppression {
        sender: Some(unsubscription.sender.clone()),
        address: unsubscription.address.clone(),
        reason: SuppressionReason::Unsubscribed,
        message: Some(unsubscription.message),
        at: unsubscription.at,
    };
    Ok((suppress(db, &suppression)?, event))
}

/// What happened to the message: the first time counts.
fn append_event(db: &Connection, unsubscription: &Unsubscription) -> rusqlite::Result<Option<i64>> {
    let Unsubscription { id, message, recipient, at, .. } = unsubscription;
    let sql = "SELECT 1 FROM event WHERE message = (SELECT key FROM tally WHERE message = ?1)
               AND kind = ?2 AND recipient = ?3";
    let kind = EventKind::Unsubscribe;
    let known = params![message.as_bytes(), event_log::number(kind), recipient];
    if db.prepare_cached(sql)?.exists(known)? {
        return Ok(None);
    }
    let event = Event {
        id: *id,
        at: *at,
        kind,
        message: *message,
        recipient: Some(*recipient),
        link: None,
        about: None,
        judgement: None,
        device: None,
        place: None,
        address: None,
        user_agent: None,
        evidence: "{}".to_owned(),
    };
    event_log::write_event(db, &event, &mut KnownKeys::default())
}

fn sender_key(sender: Option<&str>) -> String {
    sender.map_or_else(|| ALL.to_owned(), suppression_key)
}

/// The sender's own entry, or the one for all.
fn find(db: &Connection, sender: &str, address: &str) -> Result<Option<Suppression>, Unread> {
    let sql =
        "SELECT sender, address, reason, message, at FROM suppression WHERE sender = ?1 AND address = ?2";
    let mut statement = db.prepare_cached(sql)?;
    for sender in [sender, ALL] {
        if let Some(found) = statement.query_row([sender, address], |row| Ok(entry(row))).optional()? {
            return found.map(Some);
        }
    }
    Ok(None)
}

fn suppressions(db: &Connection, filter: &SuppressionFilter) -> Result<Vec<Suppression>, Unread> {
    let sender = filter.sender.as_deref().map(suppression_key);
    let after = match &filter.after {
        Some((sender, address)) if sender.is_empty() => (ALL.to_owned(), address.clone()),
        Some((sender, address)) => (sender.clone(), address.clone()),
        // Where the sender's begin, rather than through all the others to there.
        None => (sender.clone().unwrap_or_default(), String::new()),
    };
    let sql = "SELECT sender, address, reason, message, at FROM suppression
               WHERE (?1 IS NULL OR sender = ?1) AND (sender, address) >= (?2, ?3) AND NOT (sender = ?2 AND address = ?3 AND ?5)
               ORDER BY sender, address LIMIT ?4";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows =
        statement.query(params![sender, after.0, after.1, filter.limit.min(MOST), filter.after.is_some()])?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        found.push(entry(row)?);
    }
    Ok(found)
}

fn entry(row: &Row<'_>) -> Result<Suppression, Unread> {
    let (sender, reason): (String, String) = (row.get("sender")?, row.get("reason")?);
    Ok(Suppression {
        sender: (sender != ALL).then_some(sender),
        address: row.get("address")?,
        reason: SuppressionReason::from_code(&reason)
            .ok_or(Unread::Form { what: "reason", value: reason })?,
        message: row.get::<_, Option<[u8; 16]>>("message")?.map(RelayId::from_bytes),
        at: Timestamp::from_unix_millis(row.get("at")?),
    })
}

/// Which senders have suppressions, in memory: nearly all mail is sent by one who has none, and nothing is read for it.
#[derive(Clone)]
pub(crate) struct SuppressedSenders(Arc<Mutex<State>>);

struct State {
    known: Known,
    /// `None`: to be looked at now.
    looked_at: Option<Instant>,
    /// What this process wrote, counted: a look that began before it says nothing of it.
    writes: u64,
}

#[derive(Clone)]
struct Known {
    edition: i64,
    senders: Senders,
}

#[derive(Clone)]
enum Senders {
    These(Arc<HashSet<String>>),
    /// Too many to be held: each is looked up.
    Perhaps,
}

/// What another process wrote shows after this.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Mail waits for the answer.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST_SENDERS: usize = 10_000;

/// What of a lookup in the memory there is to do.
pub(crate) enum Lookup {
    /// The sender has none.
    Nothing,
    /// To be read: what was known, and whether the sender has some as far as that goes.
    Read { looking: Looking, has_some: bool },
}

/// A look at the list that is under way.
pub(crate) struct Looking {
    edition: i64,
    writes: u64,
    is_due: bool,
}

/// What a look found.
pub(crate) struct Seen(Option<Known>);

impl SuppressedSenders {
    pub(crate) fn open(db: &Connection) -> Result<Self, StoreError> {
        let known = known(db).map_err(|e| StoreError::sqlite("being opened", e))?;
        Ok(Self(Arc::new(Mutex::new(State { known, looked_at: Some(Instant::now()), writes: 0 }))))
    }

    pub(crate) fn look_up(&self, sender: &str) -> Lookup {
        let state = self.state();
        let has_some = state.known.senders.has(sender);
        let is_due = state.looked_at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN);
        if !has_some && !is_due {
            return Lookup::Nothing;
        }
        let looking = Looking { edition: state.known.edition, writes: state.writes, is_due };
        Lookup::Read { looking, has_some }
    }

    /// Within one read: the list as it is now, if it is time to look.
    pub(crate) fn look(looking: &Looking, db: &Connection) -> Result<Seen, Unread> {
        if !looking.is_due || edition(db, "suppression")? == looking.edition {
            return Ok(Seen(None));
        }
        Ok(Seen(Some(known(db)?)))
    }

    pub(crate) fn looked(&self, looking: &Looking, seen: Seen) {
        let mut state = self.state();
        if let Some(known) = seen.0
            && known.edition > state.known.edition
        {
            state.known = known;
        }
        if looking.is_due && looking.writes == state.writes {
            state.looked_at = Some(Instant::now());
        }
    }

    /// The store does not answer: not everybody is to wait for it.
    fn not_seen(&self) {
        self.state().looked_at = Some(Instant::now());
    }

    /// This process has changed the list: what is known of it is old at once.
    pub(crate) fn changed(&self) {
        let mut state = self.state();
        state.looked_at = None;
        state.writes += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Senders {
    fn has(&self, sender: &str) -> bool {
        match self {
            Self::These(senders) => {
                !senders.is_empty() && (senders.contains(ALL) || senders.contains(sender))
            }
            Self::Perhaps => true,
        }
    }
}

fn known(db: &Connection) -> rusqlite::Result<Known> {
    // From one sender to the next by the index: there may be a million addresses of one sender's.
    let sql = "WITH RECURSIVE each (sender) AS (
                   SELECT min(sender) FROM suppression
                   UNION ALL
                   SELECT (SELECT min(sender) FROM suppression WHERE sender > each.sender) FROM each
                   WHERE each.sender IS NOT NULL)
               SELECT sender FROM each WHERE sender IS NOT NULL LIMIT ?1";
    let limit = i64::try_from(MOST_SENDERS + 1).unwrap_or(i64::MAX);
    let senders: HashSet<String> =
        db.prepare_cached(sql)?.query_map([limit], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let senders =
        if senders.len() > MOST_SENDERS { Senders::Perhaps } else { Senders::These(Arc::new(senders)) };
    Ok(Known { edition: edition(db, "suppression")?, senders })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::samples::moment;

    fn entry(sender: &str, address: &str) -> Suppression {
        Suppression {
            sender: Some(sender.to_owned()),
            address: address.to_owned(),
            reason: SuppressionReason::ByHand,
            message: None,
            at: moment(1),
        }
    }

    #[tokio::test]
    async fn what_this_process_wrote_shows_at_once_and_anothers_soon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.db");
        let (one, other) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
        assert_eq!(one.suppression("ana@x.example", "bo@x.example").await.unwrap(), None);
        one.suppress(entry("ana@x.example", "bo@x.example")).await.unwrap();
        assert!(one.suppression("ana@x.example", "bo@x.example").await.unwrap().is_some());
        one.unsuppress(Some("ana@x.example"), "bo@x.example").await.unwrap();
        assert_eq!(one.suppression("ana@x.example", "bo@x.example").await.unwrap(), None);

        other.suppress(entry("eve@x.example", "bo@x.example")).await.unwrap();
        // As if the time had passed.
        one.suppressed.state().looked_at = Instant::now().checked_sub(LOOK_AGAIN);
        assert!(one.suppression("eve@x.example", "bo@x.example").await.unwrap().is_some());
        assert!(matches!(one.suppressed.look_up("ana@x.example"), Lookup::Nothing));
    }

    #[tokio::test]
    async fn while_the_store_is_away_only_those_who_have_some_hear_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("waxseal.db")).unwrap();
        store.suppress(entry("ana@x.example", "bo@x.example")).await.unwrap();
        assert!(store.suppression("ana@x.example", "bo@x.example").await.unwrap().is_some());
        std::fs::remove_file(folder.path().join("waxseal.db")).unwrap();
        store.suppressed.state().looked_at = None;
        assert!(store.suppression("ana@x.example", "jo@x.example").await.is_err());
        assert_eq!(store.suppression("eve@x.example", "bo@x.example").await.unwrap(), None);
    }

    /// `cargo test --release -p waxseal-store -- --ignored --nocapture what_a_lookup_costs`
    #[tokio::test]
    #[ignore = "measures"]
    async fn what_a_lookup_costs() {
        const TIMES: u32 = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("waxseal.db")).unwrap();
        for n in 0..1_000 {
            store.suppress(entry("ana@x.example", &format!("{n}@x.example"))).await.unwrap();
        }
        for (case, sender) in
            [("of a sender who has none", "eve@x.example"), ("of one who has some", "ana@x.example")]
        {
            store.suppression(sender, "bo@x.example").await.unwrap();
            let began = Instant::now();
            for _ in 0..TIMES {
                assert_eq!(store.suppression(sender, "bo@x.example").await.unwrap(), None);
            }
            println!("{case}: {:?} a lookup", began.elapsed() / TIMES);
        }
    }

    #[tokio::test]
    async fn with_very_many_senders_each_is_looked_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.db");
        drop(SqliteStore::open(&path).unwrap());
        let mut db = Connection::open(&path).unwrap();
        let transaction = db.transaction().unwrap();
        for n in 0..=MOST_SENDERS {
            let sql = "INSERT INTO suppression VALUES (?1, 'bo@x.example', 'by_hand', NULL, 0)";
            transaction.execute(sql, [format!("{n}@x.example")]).unwrap();
        }
        transaction.commit().unwrap();
        drop(db);
        let store = SqliteStore::open(&path).unwrap();
        assert!(matches!(store.suppressed.look_up("nobody@x.example"), Lookup::Read { has_some: true, .. }));
        assert_eq!(store.suppression("nobody@x.example", "bo@x.example").await.unwrap(), None);
        assert!(store.suppression("7@x.example", "bo@x.example").await.unwrap().is_some());
        let store: &dyn Store = &store;
        let filter = SuppressionFilter { limit: u32::MAX, ..SuppressionFilter::default() };
        assert_eq!(store.suppressions(filter).await.unwrap().len(), MOST as usize);
    }
}
