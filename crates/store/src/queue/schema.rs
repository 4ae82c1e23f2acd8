use rusqlite_migration::{M, Migrations};

use crate::sqlite::connection::Schema;

/// The queue's tables. Never edit a step that was released; add the next. A new word of [`super::words`] needs
/// one too, even an empty one, so that programs that do not know it refuse.
///
/// "WXSQ": a queue, not the store.
pub(crate) const SCHEMA: Schema =
    Schema { application_id: 0x5758_5351, migrations: Migrations::from_slice(STEPS), gives_room_back: true };
const STEPS: &[M<'static>] = &[M::up(FIRST), M::up(PROOF), M::up(ENVELOPE), M::up(FLUSHES)];

const FIRST: &str = "
PRAGMA application_id = 0x57585351;

CREATE TABLE message (
    key          INTEGER PRIMARY KEY,
    id           BLOB NOT NULL UNIQUE,
    queued_at    INTEGER NOT NULL, -- milliseconds since the epoch, here and everywhere
    sender       TEXT NOT NULL COLLATE NOCASE,
    upstream     TEXT NOT NULL,
    reverse_path TEXT NOT NULL,    -- '': the null one
    size         INTEGER,
    body         TEXT,
    smtputf8     INTEGER NOT NULL,
    ret          TEXT,
    envid        TEXT,
    require_tls  INTEGER NOT NULL,
    copies       TEXT NOT NULL,
    opens        INTEGER NOT NULL, -- of copies made for each
    links        INTEGER NOT NULL,
    octets       INTEGER NOT NULL, -- of the content, with its SHA-256
    checksum     BLOB NOT NULL,
    file         TEXT,             -- the content's, in bodies; null: it is in the table of contents
    state        TEXT NOT NULL,
    why          TEXT,             -- it was set aside
    delay_told   INTEGER NOT NULL,
    due_at       INTEGER           -- the earliest of its waiting recipients; null: not to be tried
) STRICT;
-- With all that the search for the next asks: thousands for an upstream that takes nothing are passed over in here.
CREATE INDEX message_by_turn ON message (sender, due_at, key, upstream) WHERE due_at IS NOT NULL;
CREATE INDEX message_by_due ON message (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX message_by_state ON message (state, octets);

CREATE TABLE recipient (
    message      INTEGER NOT NULL, -- message.key
    position     INTEGER NOT NULL,
    number       INTEGER NOT NULL, -- what outcomes call it
    forward_path TEXT NOT NULL,    -- without a domain: the postmaster
    notify       TEXT,
    orcpt        TEXT,
    state        TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    code         INTEGER NOT NULL,
    reply        TEXT NOT NULL,
    PRIMARY KEY (message, position)
) STRICT, WITHOUT ROWID;

-- Apart from the messages, so that going through those never touches it.
CREATE TABLE content (
    message INTEGER PRIMARY KEY, -- message.key
    octets  BLOB NOT NULL
) STRICT;
";

/// What is written to see that something can be.
const PROOF: &str = "
CREATE TABLE proof (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    octets BLOB NOT NULL
) STRICT;
";

/// Before the octets, in the same row: whatever can be read of a content says whose it is.
const ENVELOPE: &str = "
CREATE TABLE content_with_envelope (
    message  INTEGER PRIMARY KEY, -- message.key
    envelope TEXT NOT NULL,       -- a copy, for when the message's row is lost; '': of a version without
    octets   BLOB NOT NULL
) STRICT;
INSERT INTO content_with_envelope SELECT message, '', octets FROM content;
DROP TABLE content;
ALTER TABLE content_with_envelope RENAME TO content;
";

/// Whoever works the queue sees here that somebody flushed it.
const FLUSHES: &str = "
CREATE TABLE flushes (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO flushes (id, number) VALUES (1, 0);
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_sound() {
        SCHEMA.migrations.validate().unwrap();
    }
}
