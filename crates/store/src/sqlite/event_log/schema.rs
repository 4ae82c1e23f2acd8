/// Ten million events must not take more than 120 octets each, so what repeats is a number, a network is three
/// octets instead of a text, and what an open or click is judged by has a table of its own that is emptied.
///
/// AUTOINCREMENT: a number is never given twice, even if the newest events are deleted, so that nobody who follows
/// them misses one. No foreign key: an event of an unknown message is kept.
pub(crate) const EVENT_LOG: &str = "
ALTER TABLE event RENAME TO event_before;
DROP INDEX event_by_message;

CREATE TABLE event (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        BLOB NOT NULL UNIQUE,
    message   INTEGER NOT NULL,           -- tally.key
    at        INTEGER NOT NULL,
    kind      INTEGER NOT NULL,           -- 1 open, 2 click, 3 verdict, 4 bounce, 5 complaint, 6 unsubscribe,
                                          -- 7 refusal, 8 correction
    recipient INTEGER,                    -- null: the copy all of them share
    link      INTEGER,
    judgement INTEGER,                    -- judgement.key: the one it came with
    now       INTEGER,                    -- judgement.key: the one that holds now, if it is another
    corrected INTEGER NOT NULL DEFAULT 0, -- 1: by the sender
    about     ANY,                        -- event.seq, or the id if that event is not there yet
    device    INTEGER,                    -- word.key
    place     INTEGER,                    -- word.key
    agent     INTEGER,                    -- word.key
    address   ANY,                        -- 3 octets: IPv4 /24; 4: IPv4; 6: IPv6 /48; 16: IPv6; else a text
    detail    TEXT                        -- JSON; null: {}
) STRICT;
INSERT INTO sqlite_sequence (name, seq) SELECT 'event', seq FROM sqlite_sequence WHERE name = 'event_before';
INSERT INTO event (seq, id, message, at, kind, recipient, link, judgement, device, agent, address, detail)
    SELECT seq, id, message, at, CASE kind WHEN 'open' THEN 1 ELSE 2 END, recipient, link, judgement, device,
        agent, address, evidence
    FROM event_before ORDER BY seq;
DROP TABLE event_before;
CREATE INDEX event_by_message ON event (message);
CREATE INDEX event_waits_for ON event (about) WHERE typeof(about) = 'blob';

CREATE TABLE evidence (
    seq        INTEGER PRIMARY KEY, -- event.seq
    text       TEXT NOT NULL,       -- JSON
    keep_until INTEGER              -- null: until it is settled
) STRICT;
CREATE INDEX evidence_by_end ON evidence (keep_until) WHERE keep_until IS NOT NULL;

-- Everything up to this number is settled.
CREATE TABLE settled (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO settled (one, seq) SELECT 1, coalesce(max(seq), 0) FROM event;
";

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use crate::sqlite::event_log::events_after;
    use crate::sqlite::schema::SCHEMA;
    use crate::{Event, EventKind};

    #[test]
    fn events_of_before_are_there_afterwards() {
        let mut db = Connection::open_in_memory().unwrap();
        SCHEMA.migrations.to_version(&mut db, 2).unwrap();
        db.execute_batch(
            "INSERT INTO tally (key, message) VALUES (7, x'00000000000000000000000000000007');
             INSERT INTO word (key, text) VALUES (1, 'Firefox');
             INSERT INTO judgement VALUES (1, 'human', 'weak', '[\"browser\"]', 1, 0, 1, '2026-11');
             INSERT INTO event (seq, id, message, at, kind, recipient, link, judgement, device, agent, address, evidence)
             VALUES (3, x'00000000000000000000000000000003', 7, 1000, 'open', 0, NULL, 1, 1, NULL, '203.0.113.0/24', '{}'),
                    (4, x'00000000000000000000000000000004', 7, 2000, 'click', NULL, 2, 1, NULL, 1, NULL, NULL),
                    (9, x'00000000000000000000000000000009', 7, 3000, 'click', NULL, 2, 1, NULL, 1, NULL, NULL);
             DELETE FROM event WHERE seq = 9;",
        )
        .unwrap();
        SCHEMA.migrations.to_latest(&mut db).unwrap();
        let Ok(events) = events_after(&db, 0, 10) else { panic!("the events cannot be read") };
        let [open, click] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(
            (open.seq, open.event.kind, open.event.address.as_deref()),
            (3, EventKind::Open, Some("203.0.113.0/24"))
        );
        assert_eq!((click.seq, click.event.kind, click.event.link), (4, EventKind::Click, Some(2)));
        assert!(events.iter().all(|stored| stored.settled), "they were told of long ago");
        let Event { judgement, device, user_agent, .. } = &open.event;
        assert_eq!(judgement.as_ref().unwrap().reasons, ["browser"]);
        assert_eq!((device.as_deref(), user_agent.as_deref()), (Some("Firefox"), None));
        // A number is never given twice.
        db.execute_batch(
            "INSERT INTO event (id, message, at, kind) VALUES (x'00000000000000000000000000000010', 7, 1, 1)",
        )
        .unwrap();
        assert_eq!(db.last_insert_rowid(), 10);
    }
}
