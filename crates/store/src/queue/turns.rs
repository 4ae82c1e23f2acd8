use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use envelope::{RelayId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

/// Whose turn it is. Each sender's messages stand in a line of their own, the longest due first; the lines are
/// served in turn, and the one that was served longest ago begins.
///
/// Remembered by the process that works the queue only: beginning anew costs nobody more than one turn.
#[derive(Default)]
pub(crate) struct Turns {
    served: u64,
    last: HashMap<String, u64>,
}

/// The head of a line. Ordered by: how many of that sender's go before it, when he was served last, since when
/// it is due.
type Head = Reverse<(usize, u64, i64, i64, usize)>;

impl Turns {
    /// The keys of at most `limit` messages due at `now`, none of them for an upstream in `closed`.
    pub(crate) fn choose(
        &mut self,
        db: &Connection,
        now: Timestamp,
        limit: usize,
        passing_over: &HashSet<RelayId>,
        closed: &[String],
    ) -> rusqlite::Result<Vec<i64>> {
        let closed = serde_json::to_string(closed).unwrap_or_default();
        let senders = senders_in_line(db)?;
        let lines: HashSet<String> = senders.iter().map(|sender| folded(sender)).collect();
        self.last.retain(|sender, _| lines.contains(sender));

        let mut heads: BinaryHeap<Head> = BinaryHeap::new();
        let mut ids = HashMap::new();
        for (line, sender) in senders.iter().enumerate() {
            if let Some((due_at, key, id)) = next_in_line(db, sender, now, (i64::MIN, i64::MIN), &closed)? {
                ids.insert(key, id);
                let last = self.last.get(&folded(sender)).copied().unwrap_or(0);
                heads.push(Reverse((0, last, due_at, key, line)));
            }
        }
        let mut chosen = vec![];
        while chosen.len() < limit
            && let Some(Reverse((before, last, due_at, key, line))) = heads.pop()
        {
            let sender = &senders[line];
            // One that is at work had its turn.
            if ids.remove(&key).is_some_and(|id| !passing_over.contains(&id)) {
                self.served += 1;
                self.last.insert(folded(sender), self.served);
                chosen.push(key);
            }
            if let Some((due_at, key, id)) = next_in_line(db, sender, now, (due_at, key), &closed)? {
                ids.insert(key, id);
                heads.push(Reverse((before + 1, last, due_at, key, line)));
            }
        }
        Ok(chosen)
    }
}

/// As the database compares senders.
fn folded(sender: &str) -> String {
    sender.to_ascii_lowercase()
}

pub(crate) const SENDERS_IN_LINE: &str = "
    WITH RECURSIVE line (sender) AS (
        SELECT (SELECT sender FROM message WHERE due_at IS NOT NULL ORDER BY sender LIMIT 1)
        UNION ALL
        SELECT (SELECT sender FROM message WHERE due_at IS NOT NULL AND sender > line.sender
                ORDER BY sender LIMIT 1)
        FROM line WHERE line.sender IS NOT NULL
    )
    SELECT sender FROM line WHERE sender IS NOT NULL";

/// One step in the index for each sender, however many messages there are.
fn senders_in_line(db: &Connection) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached(SENDERS_IN_LINE)?.query_map((), |row| row.get(0))?.collect()
}

pub(crate) const NEXT_IN_LINE: &str = "
    SELECT due_at, key, id FROM message
    WHERE sender = ?1 AND due_at <= ?2 AND (due_at, key) > (?3, ?4)
        AND upstream NOT IN (SELECT value FROM json_each(?5))
    ORDER BY due_at, key LIMIT 1";

fn next_in_line(
    db: &Connection,
    sender: &str,
    now: Timestamp,
    after: (i64, i64),
    closed: &str,
) -> rusqlite::Result<Option<(i64, i64, RelayId)>> {
    db.prepare_cached(NEXT_IN_LINE)?
        .query_row(params![sender, now.unix_millis(), after.0, after.1, closed], |row| {
            Ok((row.get(0)?, row.get(1)?, RelayId::from_bytes(row.get(2)?)))
        })
        .optional()
}
