use envelope::RelayId;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, ToSql};
use verdict::{Confidence, Judgement, Trust, Verdict};

use super::form;
use crate::sqlite::read::{MOST, id, moment, word};
use crate::sqlite::readers::Unread;
use crate::{Event, StoredEvent};

const EVENT: &str = "SELECT e.seq, e.id, e.at, e.kind, t.message, e.recipient, e.link, e.corrected,
    e.seq <= (SELECT seq FROM settled) AS settled,
    CASE typeof(e.about) WHEN 'integer' THEN (SELECT a.id FROM event a WHERE a.seq = e.about) ELSE e.about END
        AS about,
    first.verdict AS first_verdict, first.confidence AS first_confidence, first.reasons AS first_reasons,
    first.trust_time AS first_time, first.trust_place AS first_place, first.trust_device AS first_device,
    first.rules AS first_rules,
    now.verdict AS now_verdict, now.confidence AS now_confidence, now.reasons AS now_reasons,
    now.trust_time AS now_time, now.trust_place AS now_place, now.trust_device AS now_device,
    now.rules AS now_rules,
    device.text AS device, place.text AS place, agent.text AS agent, e.address,
    coalesce(evidence.text, e.detail, '{}') AS evidence, m.sender, m.subject,
    (SELECT r.address FROM recipient r WHERE r.message = e.message AND r.number = e.recipient LIMIT 1)
        AS recipient_address,
    (SELECT coalesce(l.target, l.href) FROM link l
        WHERE l.message = e.message AND l.number = e.link AND l.kept IS NULL LIMIT 1) AS link_target
    FROM event e CROSS JOIN tally t ON t.key = e.message
    LEFT JOIN judgement first ON first.key = e.judgement LEFT JOIN judgement now ON now.key = e.now
    LEFT JOIN word device ON device.key = e.device LEFT JOIN word place ON place.key = e.place
    LEFT JOIN word agent ON agent.key = e.agent LEFT JOIN message m ON m.key = e.message
    LEFT JOIN evidence ON evidence.seq = e.seq";

pub(crate) fn events_after(db: &Connection, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, Unread> {
    let sql = format!("{EVENT} WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2");
    events(db, &sql, &[&seq, &limit.min(MOST)])
}

pub(crate) fn settled_after(db: &Connection, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, Unread> {
    let sql =
        format!("{EVENT} WHERE e.seq > ?1 AND e.seq <= (SELECT seq FROM settled) ORDER BY e.seq LIMIT ?2");
    events(db, &sql, &[&seq, &limit.min(MOST)])
}

pub(crate) fn hits_with_evidence(db: &Connection, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, Unread> {
    let sql = format!(
        "{EVENT} WHERE e.seq IN (SELECT seq FROM evidence WHERE seq > ?1 ORDER BY seq LIMIT ?2) ORDER BY e.seq"
    );
    events(db, &sql, &[&seq, &limit.min(MOST)])
}

pub(crate) fn recent_events(db: &Connection, limit: u32) -> Result<Vec<StoredEvent>, Unread> {
    let sql = format!("{EVENT} ORDER BY e.seq DESC LIMIT ?1");
    let mut newest_first = events(db, &sql, &[&limit.min(MOST)])?;
    newest_first.reverse();
    Ok(newest_first)
}

pub(crate) fn events_of_before(
    db: &Connection,
    message: RelayId,
    before: i64,
    limit: u32,
) -> Result<Vec<StoredEvent>, Unread> {
    let sql = format!(
        "{EVENT} WHERE e.message = (SELECT key FROM tally WHERE message = ?1) AND e.seq < ?2
         ORDER BY e.seq DESC LIMIT ?3"
    );
    let mut newest_first = events(db, &sql, &[&message.as_bytes(), &before, &limit.min(MOST)])?;
    newest_first.reverse();
    Ok(newest_first)
}

/// What was recorded of one recipient, of all messages; at most a hundred thousand events.
pub(crate) fn events_of_address(db: &Connection, address: &str) -> Result<Vec<StoredEvent>, Unread> {
    let sql = format!(
        "{EVENT} WHERE e.seq IN (SELECT own.seq FROM recipient r CROSS JOIN event own ON own.message = r.message
             AND own.recipient = r.number WHERE r.address = ?1) ORDER BY e.seq LIMIT 100000"
    );
    events(db, &sql, &[&address])
}

pub(crate) fn event(db: &Connection, id: RelayId) -> Result<Option<StoredEvent>, Unread> {
    Ok(events(db, &format!("{EVENT} WHERE e.id = ?1"), &[&id.as_bytes()])?.pop())
}

pub(crate) fn settled(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("SELECT seq FROM settled", (), |row| row.get(0))
}

fn events(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<StoredEvent>, Unread> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut events = vec![];
    while let Some(row) = rows.next()? {
        events.push(stored_event(row)?);
    }
    Ok(events)
}

fn stored_event(row: &Row) -> Result<StoredEvent, Unread> {
    let number: i64 = row.get("kind")?;
    let kind = form::kind(number);
    let kind = kind.ok_or_else(|| Unread::Form { what: "kind of event", value: number.to_string() })?;
    let first = judgement(row, FIRST)?;
    let (judgement, first_judgement) = match judgement(row, NOW)? {
        Some(now) => (Some(now), first),
        None => (first, None),
    };
    Ok(StoredEvent {
        seq: row.get("seq")?,
        event: Event {
            id: id(row, "id")?,
            at: moment(row, "at")?,
            kind,
            message: id(row, "message")?,
            recipient: row.get("recipient")?,
            link: row.get("link")?,
            about: row.get::<_, Option<[u8; 16]>>("about")?.map(RelayId::from_bytes),
            judgement,
            device: row.get("device")?,
            place: row.get("place")?,
            address: form::address_of(row.get_ref("address")?),
            user_agent: row.get("agent")?,
            evidence: row.get("evidence")?,
        },
        first_judgement,
        settled: row.get("settled")?,
        corrected: row.get("corrected")?,
        sender: row.get("sender")?,
        subject: row.get("subject")?,
        recipient_address: row.get("recipient_address")?,
        link_target: row.get("link_target")?,
    })
}

/// Verdict, confidence, reasons, time, place, device, rules.
type Columns = [&'static str; 7];

const FIRST: Columns = [
    "first_verdict",
    "first_confidence",
    "first_reasons",
    "first_time",
    "first_place",
    "first_device",
    "first_rules",
];
const NOW: Columns =
    ["now_verdict", "now_confidence", "now_reasons", "now_time", "now_place", "now_device", "now_rules"];

fn judgement(row: &Row, columns: Columns) -> Result<Option<Judgement>, Unread> {
    let [verdict, confidence, reasons, time, place, device, rules] = columns;
    if row.get_ref(verdict)? == ValueRef::Null {
        return Ok(None);
    }
    let json: String = row.get(reasons)?;
    let Ok(reasons) = serde_json::from_str(&json) else {
        return Err(Unread::Form { what: "list of reasons", value: json });
    };
    Ok(Some(Judgement {
        verdict: word(row, verdict, "verdict", Verdict::from_code)?,
        confidence: word(row, confidence, "confidence", Confidence::from_code)?,
        reasons,
        trust: Trust { time: row.get(time)?, place: row.get(place)?, device: row.get(device)? },
        rules: row.get(rules)?,
    }))
}
