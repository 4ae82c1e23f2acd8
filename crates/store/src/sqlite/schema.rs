use rusqlite_migration::{M, Migrations};

use crate::sqlite::connection::Schema;
use crate::sqlite::event_log::EVENT_LOG;
use crate::sqlite::feedback::FEEDBACK;
use crate::sqlite::privacy::PRIVACY;
use crate::sqlite::submissions::SUBMISSIONS;
use crate::sqlite::{api_token, revocation, suppression};

/// The store's tables. Never edit a step that was released; add the next. A new word of [`verdict::Verdict`],
/// [`crate::EventKind`] or [`crate::ChoiceOrigin`] needs one too, even an empty one, so that programs that do not
/// know it refuse.
///
/// "WXSL": which program's file this is.
pub(crate) const SCHEMA: Schema =
    Schema { application_id: 0x5758_534c, migrations: Migrations::from_slice(STEPS), gives_room_back: false };
const STEPS: &[M<'static>] = &[
    M::up(FIRST),
    M::up(APP_PASSWORDS),
    M::up(EVENT_LOG),
    M::up(FEEDBACK),
    M::up(SUBMISSIONS),
    M::up(revocation::SCHEMA),
    M::up(suppression::SCHEMA),
    M::up(PRIVACY),
    M::up(api_token::SCHEMA),
];

const FIRST: &str = "
PRAGMA application_id = 0x5758534c;

-- One row for each message that a write named, known or not: its short key, and what came of it.
CREATE TABLE tally (
    key                INTEGER PRIMARY KEY,
    message            BLOB NOT NULL UNIQUE,
    opens_by_people    INTEGER NOT NULL DEFAULT 0,
    opens_by_machines  INTEGER NOT NULL DEFAULT 0,
    clicks_by_people   INTEGER NOT NULL DEFAULT 0,
    clicks_by_machines INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE message (
    key           INTEGER PRIMARY KEY, -- tally.key
    id            BLOB NOT NULL,
    accepted_at   INTEGER NOT NULL,    -- milliseconds since the epoch, here and everywhere
    sender        TEXT NOT NULL COLLATE NOCASE,
    reverse_path  TEXT NOT NULL,
    from_field    TEXT,
    subject       TEXT,
    message_id    TEXT,
    opens         INTEGER NOT NULL,
    links         INTEGER NOT NULL,
    choice_origin TEXT NOT NULL,
    pixel         INTEGER NOT NULL,
    links_tracked INTEGER NOT NULL,
    reasons       TEXT NOT NULL,       -- codes, joined by commas
    parts         TEXT NOT NULL,       -- JSON
    upstream      TEXT NOT NULL,
    code          INTEGER NOT NULL,
    reply         TEXT NOT NULL,
    octets_in     INTEGER NOT NULL,
    octets_out    INTEGER NOT NULL,
    took_ms       INTEGER NOT NULL
) STRICT;
CREATE INDEX message_by_sender ON message (sender, id);

CREATE TABLE recipient (
    message  INTEGER NOT NULL, -- tally.key
    position INTEGER NOT NULL,
    number   INTEGER NOT NULL, -- what events call it
    address  TEXT NOT NULL COLLATE NOCASE,
    code     INTEGER NOT NULL,
    reply    TEXT NOT NULL,
    PRIMARY KEY (message, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE link (
    message  INTEGER NOT NULL, -- tally.key
    position INTEGER NOT NULL,
    number   INTEGER NOT NULL, -- what events call it, if kept is null
    href     TEXT NOT NULL,
    target   TEXT,
    kept     TEXT,
    PRIMARY KEY (message, position)
) STRICT, WITHOUT ROWID;

-- Texts that many events share. The agent alone is half of an event.
CREATE TABLE word (
    key  INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE judgement (
    key          INTEGER PRIMARY KEY,
    verdict      TEXT NOT NULL,
    confidence   TEXT NOT NULL,
    reasons      TEXT NOT NULL, -- JSON
    trust_time   INTEGER NOT NULL,
    trust_place  INTEGER NOT NULL,
    trust_device INTEGER NOT NULL,
    rules        TEXT NOT NULL,
    UNIQUE (reasons, verdict, confidence, trust_time, trust_place, trust_device, rules)
) STRICT;

-- AUTOINCREMENT: a number is never given twice, even if the newest events are deleted, so that nobody who
-- follows them misses one. No foreign key: an event of an unknown message is kept.
CREATE TABLE event (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        BLOB NOT NULL UNIQUE,
    message   INTEGER NOT NULL, -- tally.key
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    recipient INTEGER,          -- null: the copy all of them share
    link      INTEGER,
    judgement INTEGER NOT NULL,
    device    INTEGER,          -- word.key
    agent     INTEGER,          -- word.key
    address   TEXT,
    evidence  TEXT              -- JSON; null: {}
) STRICT;
CREATE INDEX event_by_message ON event (message);

CREATE TABLE saved_choice (
    sender TEXT PRIMARY KEY COLLATE NOCASE,
    opens  INTEGER NOT NULL,
    links  INTEGER NOT NULL,
    by     BLOB,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sender (
    key           INTEGER PRIMARY KEY,
    password_hash TEXT,
    disabled      INTEGER NOT NULL
) STRICT;

-- Every address is one sender's; position 0 is the login.
CREATE TABLE sender_address (
    address  TEXT PRIMARY KEY COLLATE NOCASE,
    sender   INTEGER NOT NULL,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sender_address_by_sender ON sender_address (sender, position);
";

/// A sender of the configuration file has no row in `sender`, so the address names him here.
const APP_PASSWORDS: &str = "
CREATE TABLE app_password (
    sender  TEXT NOT NULL COLLATE NOCASE,
    label   TEXT NOT NULL COLLATE NOCASE,
    key     BLOB NOT NULL,
    hash    BLOB NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (sender, label)
) STRICT, WITHOUT ROWID;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_sound() {
        SCHEMA.migrations.validate().unwrap();
    }
}
