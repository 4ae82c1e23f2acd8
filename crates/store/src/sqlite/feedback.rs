use envelope::{RelayId, Timestamp};
use rusqlite::{Connection, params};

use crate::sqlite::event_log::write_event;
use crate::sqlite::known_keys::KnownKeys;
use crate::sqlite::readers::Unread;
use crate::sqlite::write::execute;
use crate::{Event, EventKind, Feedback, FeedbackKind, RecipientFeedback};

pub(crate) const FEEDBACK: &str = "
-- What came back about a recipient: the worst that was said of delivery, and the first complaint.
CREATE TABLE recipient_feedback (
    message       INTEGER NOT NULL, -- tally.key
    recipient     INTEGER NOT NULL, -- recipient.number
    bounce        INTEGER,          -- 1 delayed, 2 soft, 3 hard
    status        TEXT,
    diagnostic    TEXT,
    bounced_at    INTEGER,
    complained_at INTEGER,
    PRIMARY KEY (message, recipient)
) STRICT, WITHOUT ROWID;
";

/// As far back as a Message-ID is looked for: an index on it would cost every message something, and reports that
/// bring back nothing but that are rare and soon.
const NEWEST: u32 = 100_000;
const MOST_OF_ONE_NAME: u32 = 10;

/// An event, and the state of the recipient it is about. Returns the number of an event that was not there.
pub(crate) fn write_feedback(db: &Connection, feedback: &Feedback) -> rusqlite::Result<Option<i64>> {
    let known = "SELECT EXISTS (SELECT 1 FROM tally t JOIN message m ON m.key = t.key WHERE t.message = ?1)";
    let is_known: bool =
        db.prepare_cached(known)?.query_row([feedback.message.as_bytes()], |row| row.get(0))?;
    if !is_known {
        return Ok(None);
    }
    let seq = write_event(db, &event(feedback), &mut KnownKeys::default())?;
    if let Some(recipient) = feedback.recipient {
        write_state(db, feedback, recipient)?;
    }
    Ok(seq)
}

fn event(feedback: &Feedback) -> Event {
    let complained = feedback.kind == FeedbackKind::Complaint;
    let detail = serde_json::json!({
        "kind": feedback.kind.code(),
        "status": feedback.status,
        "diagnostic": feedback.diagnostic,
    });
    Event {
        id: feedback.id,
        at: feedback.at,
        kind: if complained { EventKind::Complaint } else { EventKind::Bounce },
        message: feedback.message,
        recipient: feedback.recipient,
        link: None,
        about: None,
        judgement: None,
        device: None,
        place: None,
        address: None,
        user_agent: None,
        evidence: detail.to_string(),
    }
}

fn write_state(db: &Connection, feedback: &Feedback, recipient: u16) -> rusqlite::Result<()> {
    let (message, at) = (feedback.message.as_bytes(), feedback.at.unix_millis());
    let Some(rank) = rank(feedback.kind) else {
        let complain = "INSERT INTO recipient_feedback (message, recipient, complained_at)
             VALUES ((SELECT key FROM tally WHERE message = ?1), ?2, ?3)
             ON CONFLICT (message, recipient)
             DO UPDATE SET complained_at = min(coalesce(complained_at, excluded.complained_at), excluded.complained_at)";
        execute(db, complain, params![message, recipient, at])?;
        return Ok(());
    };
    let bounce = "INSERT INTO recipient_feedback (message, recipient, bounce, status, diagnostic, bounced_at)
         VALUES ((SELECT key FROM tally WHERE message = ?1), ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (message, recipient) DO UPDATE SET bounce = excluded.bounce, status = excluded.status,
             diagnostic = excluded.diagnostic, bounced_at = excluded.bounced_at
         WHERE coalesce(bounce, 0) < excluded.bounce";
    execute(db, bounce, params![message, recipient, rank, feedback.status, feedback.diagnostic, at])?;
    Ok(())
}

pub(crate) fn feedback_of(db: &Connection, message: RelayId) -> Result<Vec<RecipientFeedback>, Unread> {
    let sql =
        "SELECT recipient, bounce, status, diagnostic, bounced_at, complained_at FROM recipient_feedback
               WHERE message = (SELECT key FROM tally WHERE message = ?1) ORDER BY recipient";
    let mut statement = db.prepare_cached(sql)?;
    let moment = |millis: Option<i64>| millis.map(Timestamp::from_unix_millis);
    let states = statement.query_map([message.as_bytes()], |row| {
        Ok(RecipientFeedback {
            recipient: row.get("recipient")?,
            bounce: row.get::<_, Option<u8>>("bounce")?.and_then(of_rank),
            status: row.get("status")?,
            diagnostic: row.get("diagnostic")?,
            bounced_at: moment(row.get("bounced_at")?),
            complained_at: moment(row.get("complained_at")?),
        })
    })?;
    Ok(states.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn messages_called(db: &Connection, message_id: &str) -> Result<Vec<RelayId>, Unread> {
    let sql = "SELECT id FROM (SELECT key, id, message_id FROM message ORDER BY key DESC LIMIT ?2)
               WHERE message_id IN (?1, '<' || ?1 || '>') ORDER BY key DESC LIMIT ?3";
    let mut statement = db.prepare_cached(sql)?;
    let ids = statement.query_map(params![message_id, NEWEST, MOST_OF_ONE_NAME], |row| {
        Ok(RelayId::from_bytes(row.get(0)?))
    })?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

/// `None`: it says nothing about delivery.
fn rank(kind: FeedbackKind) -> Option<u8> {
    match kind {
        FeedbackKind::Delayed => Some(1),
        FeedbackKind::Soft => Some(2),
        FeedbackKind::Hard => Some(3),
        FeedbackKind::Complaint => None,
    }
}

fn of_rank(rank: u8) -> Option<FeedbackKind> {
    [FeedbackKind::Delayed, FeedbackKind::Soft, FeedbackKind::Hard]
        .into_iter()
        .find(|kind| self::rank(*kind) == Some(rank))
}
