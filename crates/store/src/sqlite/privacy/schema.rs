/// Refusals hold no address: whoever refused must be known again, and nobody else. The salt keeps lists of hashes
/// made elsewhere from being of use.
pub(crate) const PRIVACY: &str = "
CREATE TABLE refusal (
    address BLOB PRIMARY KEY, -- SHA-256 of the salt and the address in lower case
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE refusal_salt (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    salt BLOB NOT NULL
) STRICT;
INSERT INTO refusal_salt (one, salt) VALUES (1, randomblob(32));

-- Recipients of whom nothing is recorded: they refused, or were forgotten.
CREATE TABLE quiet (
    message INTEGER NOT NULL, -- tally.key
    number  INTEGER NOT NULL, -- recipient.number
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE last_open (
    message INTEGER NOT NULL, -- tally.key
    number  INTEGER NOT NULL, -- recipient.number; -1: the copy all of them share
    day     INTEGER NOT NULL, -- days since the epoch
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX recipient_by_address ON recipient (address);
";
