use envelope::{RelayId, Timestamp};
use rusqlite::{Connection, ToSql, params};

use crate::sqlite::readers::Unread;
use crate::sqlite::write::execute;
use crate::{Keep, Purged};

/// Rows to delete. They were found by a connection that reads, so that the writer is held only for the deleting.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) step: usize,
    /// The numbers of the rows, as the step counts them.
    rows: Vec<i64>,
    /// The newest event that was looked at.
    seen: i64,
}

/// One kind of row that goes, in this order: messages after their events.
struct Step {
    /// The rows after the number ?1 that are over their time (?2), at most ?3 of them.
    find: &'static str,
    /// How many there are in all.
    count: &'static str,
    /// ?1: the row; ?2: the newest event that was looked at.
    delete: &'static [&'static str],
    limit: fn(&Keep) -> Limit,
    counted: fn(&mut Purged) -> &mut u64,
}

enum Limit {
    Moment(Timestamp),
    /// Ids begin with the moment they were made at.
    Id([u8; 16]),
}

const STEPS: [Step; 6] = [
    Step {
        find: "SELECT seq FROM event WHERE seq > ?1 AND at < ?2 ORDER BY seq LIMIT ?3",
        count: "SELECT count(*) FROM event WHERE at < ?1",
        delete: &["DELETE FROM evidence WHERE seq = ?1", "DELETE FROM event WHERE seq = ?1"],
        limit: |keep| Limit::Moment(keep.events),
        counted: |purged| &mut purged.events,
    },
    // What a crash before settling left, and what an earlier configuration kept for longer.
    Step {
        find: "SELECT v.seq FROM evidence v LEFT JOIN event e ON e.seq = v.seq
               WHERE v.seq > ?1 AND coalesce(e.at < ?2, 1) ORDER BY v.seq LIMIT ?3",
        count: "SELECT count(*) FROM evidence v LEFT JOIN event e ON e.seq = v.seq WHERE coalesce(e.at < ?1, 1)",
        delete: &["DELETE FROM evidence WHERE seq = ?1"],
        limit: |keep| Limit::Moment(keep.evidence),
        counted: |purged| &mut purged.evidence,
    },
    Step {
        find: "SELECT DISTINCT message FROM last_open WHERE message > ?1 AND day * 86400000 < ?2
               ORDER BY message LIMIT ?3",
        count: "SELECT count(DISTINCT message) FROM last_open WHERE day * 86400000 < ?1",
        // A day that was written since is of a message that was opened again: it goes the next time.
        delete: &["DELETE FROM last_open WHERE message = ?1"],
        limit: |keep| Limit::Moment(keep.events),
        counted: |purged| &mut purged.last_opens,
    },
    Step {
        find: "SELECT t.key FROM tally t WHERE t.key > ?1 AND t.message < ?2
                   AND NOT EXISTS (SELECT 1 FROM event e WHERE e.message = t.key)
                   AND NOT EXISTS (SELECT 1 FROM last_open o WHERE o.message = t.key)
               ORDER BY t.key LIMIT ?3",
        count: "SELECT count(*) FROM tally t WHERE t.message < ?1
                    AND NOT EXISTS (SELECT 1 FROM event e WHERE e.message = t.key AND e.at >= ?2)
                    AND NOT EXISTS (SELECT 1 FROM last_open o WHERE o.message = t.key
                        AND o.day * 86400000 >= ?2)",
        delete: &[
            "DELETE FROM recipient WHERE message = ?1",
            "DELETE FROM link WHERE message = ?1",
            "DELETE FROM quiet WHERE message = ?1",
            "DELETE FROM recipient_feedback WHERE message = ?1",
            "DELETE FROM message WHERE key = ?1",
            "DELETE FROM tally WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM event e WHERE e.message = ?1)",
        ],
        limit: |keep| Limit::Id(first_id(keep.events)),
        counted: |purged| &mut purged.messages,
    },
    Step {
        find: "SELECT key FROM message WHERE key > ?1 AND accepted_at < ?2 AND subject IS NOT NULL
               ORDER BY key LIMIT ?3",
        count: "SELECT count(*) FROM message WHERE accepted_at < ?1 AND subject IS NOT NULL",
        delete: &["UPDATE message SET subject = NULL WHERE key = ?1"],
        limit: |keep| Limit::Moment(keep.subjects),
        counted: |purged| &mut purged.subjects,
    },
    Step {
        find: "SELECT key FROM word WHERE key > ?1 AND ?2 IS NOT NULL AND key NOT IN (
                   SELECT device FROM event WHERE device IS NOT NULL UNION
                   SELECT place FROM event WHERE place IS NOT NULL UNION
                   SELECT agent FROM event WHERE agent IS NOT NULL)
               ORDER BY key LIMIT ?3",
        count: "SELECT count(*) FROM word WHERE ?1 IS NOT NULL AND key NOT IN (
                    SELECT device FROM event WHERE device IS NOT NULL AND at >= ?2 UNION
                    SELECT place FROM event WHERE place IS NOT NULL AND at >= ?2 UNION
                    SELECT agent FROM event WHERE agent IS NOT NULL AND at >= ?2)",
        // It may have been taken up again since.
        delete: &["DELETE FROM word WHERE key = ?1 AND NOT EXISTS
                       (SELECT 1 FROM event WHERE seq > ?2 AND (device = ?1 OR place = ?1 OR agent = ?1))"],
        limit: |keep| Limit::Moment(keep.events),
        counted: |purged| &mut purged.words,
    },
];

/// The first rows of `step` after the row `after`; `None`: there is no such step.
pub(crate) fn batch(
    db: &Connection,
    keep: &Keep,
    step: usize,
    after: i64,
    limit: u32,
) -> Result<Option<Batch>, Unread> {
    let Some(found) = STEPS.get(step) else { return Ok(None) };
    let seen = db.query_row("SELECT coalesce(max(seq), 0) FROM event", (), |row| row.get(0))?;
    let mut statement = db.prepare_cached(found.find)?;
    let over = (found.limit)(keep);
    let rows = statement.query_map(params![after, over, limit], |row| row.get(0))?;
    Ok(Some(Batch { step, rows: rows.collect::<rusqlite::Result<_>>()?, seen }))
}

/// Deletes what was found.
pub(crate) fn delete(db: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    let Some(step) = STEPS.get(batch.step) else { return Ok(()) };
    for row in &batch.rows {
        for sql in step.delete {
            let values: [&dyn ToSql; 2] = [row, &batch.seen];
            execute(db, sql, if sql.contains("?2") { &values } else { &values[..1] })?;
        }
    }
    Ok(())
}

/// How much there is to delete.
pub(crate) fn over_its_time(db: &Connection, keep: &Keep) -> Result<Purged, Unread> {
    let mut purged = Purged::default();
    for step in &STEPS {
        let over = (step.limit)(keep);
        let events = keep.events.unix_millis();
        let values: [&dyn ToSql; 2] = [&over, &events];
        let values = if step.count.contains("?2") { &values[..] } else { &values[..1] };
        let count: i64 = db.query_row(step.count, values, |row| row.get(0))?;
        *(step.counted)(&mut purged) = u64::try_from(count).unwrap_or(0);
    }
    Ok(purged)
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn last(&self) -> i64 {
        self.rows.last().copied().unwrap_or(0)
    }

    /// Notes how many they are.
    pub(crate) fn count_in(&self, purged: &mut Purged) {
        if let Some(step) = STEPS.get(self.step) {
            *(step.counted)(purged) += self.rows.len() as u64;
        }
    }
}

/// The least id that can be made at `moment` (RFC 9562 §5.7).
fn first_id(moment: Timestamp) -> [u8; 16] {
    *RelayId::new(moment, [0; 10]).as_bytes()
}

impl ToSql for Limit {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        match self {
            Self::Moment(moment) => Ok(moment.unix_millis().into()),
            Self::Id(id) => Ok(id.as_slice().into()),
        }
    }
}
