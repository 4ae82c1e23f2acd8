use std::net::IpAddr;

use envelope::Timestamp;
use rusqlite::{Connection, params};

use crate::sqlite::readers::Unread;
use crate::sqlite::write::execute;
use crate::{MOST_SUBMISSION_ADDRESSES, SubmissionAddress};

pub(crate) const SUBMISSIONS: &str = "
-- Where senders submit from, for a day.
CREATE TABLE submission (
    sender  TEXT NOT NULL COLLATE NOCASE,
    address BLOB NOT NULL, -- 4 octets or 16
    at      INTEGER NOT NULL,
    PRIMARY KEY (sender, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX submission_by_address ON submission (address);
";

const DAY_MS: i64 = 86_400_000;

pub(crate) fn record(db: &Connection, sender: &str, address: IpAddr, at: Timestamp) -> rusqlite::Result<()> {
    execute(
        db,
        "INSERT INTO submission (sender, address, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (sender, address) DO UPDATE SET at = max(at, excluded.at)",
        params![sender, octets(address), at.unix_millis()],
    )?;
    Ok(())
}

pub(crate) fn forget(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let old = now.unix_millis().saturating_sub(DAY_MS);
    execute(db, "DELETE FROM submission WHERE at < ?1", &[&old]).map(|_| ())
}

pub(crate) fn of(db: &Connection, sender: &str, now: Timestamp) -> Result<Vec<SubmissionAddress>, Unread> {
    let since = now.unix_millis().saturating_sub(DAY_MS);
    let sql = "SELECT own.address, EXISTS (SELECT 1 FROM submission other WHERE other.address = own.address
                   AND other.sender <> own.sender AND other.at >= ?2)
               FROM submission own WHERE own.sender = ?1 AND own.at >= ?2 ORDER BY own.at DESC LIMIT ?3";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![sender, since, MOST_SUBMISSION_ADDRESSES])?;
    let mut addresses = vec![];
    while let Some(row) = rows.next()? {
        let octets: Vec<u8> = row.get(0)?;
        let Some(address) = address(&octets) else {
            return Err(Unread::Form { what: "address", value: format!("{octets:02x?}") });
        };
        addresses.push(SubmissionAddress { address, shared: row.get(1)? });
    }
    Ok(addresses)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}
