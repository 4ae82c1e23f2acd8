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
