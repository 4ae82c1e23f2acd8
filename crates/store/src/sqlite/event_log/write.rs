use envelope::{RelayId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use verdict::{Judgement, Verdict};

use super::form;
use crate::sqlite::known_keys::KnownKeys;
use crate::sqlite::privacy::is_quiet;
use crate::sqlite::write::{execute, key_of};
use crate::{Event, EventKind, EvidenceRule, Settlement};

/// An open or a click that another event is about.
struct Hit {
    seq: i64,
    message: i64,
    kind: EventKind,
    /// Key of the judgement that holds now.
    judgement: Option<i64>,
    corrected: bool,
}

/// Returns the number of an event that was not there before.
pub(crate) fn write_event(
    db: &Connection,
    event: &Event,
    known: &mut KnownKeys,
) -> rusqlite::Result<Option<i64>> {
    let message = if let Some(key) = known.messages.get(&event.message) {
        *key
    } else {
        let key = key_of(db, event.message)?;
        known.messages.insert(event.message, key);
        key
    };
    if is_quiet(db, message, event)? {
        return Ok(None);
    }
    let judgement = event.judgement.as_ref();
    let judgement = judgement.map(|judgement| key_of_judgement(db, judgement, known)).transpose()?;
    let about = match event.about {
        Some(id) => hit(db, id)?.map_or(About::Unknown(id), About::Hit),
        None => About::Nothing,
    };
    if let (About::Hit(hit), EventKind::Verdict | EventKind::Correction) = (&about, event.kind)
        && !changes(hit, event.kind, judgement)
    {
        return Ok(None);
    }
    let is_hit = event.kind.hit().is_some();
    let evidence = Some(event.evidence.as_str()).filter(|evidence| *evidence != "{}");
    let new = execute(
        db,
        "INSERT INTO event (id, message, at, kind, recipient, link, judgement, about, device, place, agent,
             address, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (id) DO NOTHING",
        params![
            event.id.as_bytes(),
            message,
            event.at.unix_millis(),
            form::number(event.kind),
            event.recipient,
            event.link,
            judgement,
            about.value(),
            key_of_word(db, event.device.as_deref(), known)?,
            key_of_word(db, event.place.as_deref(), known)?,
            key_of_word(db, event.user_agent.as_deref(), known)?,
            event.address.as_deref().map(form::address),
            evidence.filter(|_| !is_hit),
        ],
    )?;
    if new == 0 {
        return Ok(None);
    }
    let seq = db.last_insert_rowid();
    // Only for an event that was not there before: that is what makes a replay count once.
    match about {
        About::Hit(hit) => judge_anew(db, &hit, event.kind, judgement)?,
        _ if is_hit => {
            if let Some(evidence) = evidence {
                execute(db, "INSERT INTO evidence (seq, text) VALUES (?1, ?2)", params![seq, evidence])?;
            }
            count(db, message, event.kind, event.judgement.as_ref().map(|judged| judged.verdict), 1)?;
            let hit = Hit { seq, message, kind: event.kind, judgement, corrected: false };
            catch_up(db, event.id, hit)?;
        }
        _ => {}
    }
    Ok(Some(seq))
}

enum About {
    Nothing,
    Hit(Hit),
    /// Not there yet: a journal's replay knows no order.
    Unknown(RelayId),
}

impl About {
    fn value(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Hit(hit) => Value::Integer(hit.seq),
            Self::Unknown(id) => Value::Blob(id.as_bytes().to_vec()),
        }
    }
}

fn hit(db: &Connection, id: RelayId) -> rusqlite::Result<Option<Hit>> {
    let find = "SELECT seq, message, kind, coalesce(now, judgement), corrected FROM event
                WHERE id = ?1 AND kind IN (1, 2)";
    db.prepare_cached(find)?
        .query_row([id.as_bytes()], |row| {
            Ok(Hit {
                seq: row.get(0)?,
                message: row.get(1)?,
                kind: form::kind(row.get(2)?).unwrap_or(EventKind::Open),
                judgement: row.get(3)?,
                corrected: row.get(4)?,
            })
        })
        .optional()
}

/// The same again is no news, and what the sender said stands above the rules.
fn changes(hit: &Hit, kind: EventKind, judgement: Option<i64>) -> bool {
    match kind {
        EventKind::Correction => !hit.corrected || hit.judgement != judgement,
        _ => !hit.corrected && hit.judgement != judgement,
    }
}

fn judge_anew(db: &Connection, hit: &Hit, kind: EventKind, judgement: Option<i64>) -> rusqlite::Result<()> {
    let (EventKind::Verdict | EventKind::Correction, Some(judgement)) = (kind, judgement) else {
        return Ok(());
    };
    execute(
        db,
        "UPDATE event SET now = nullif(?2, judgement), corrected = ?3 WHERE seq = ?1",
        params![hit.seq, judgement, kind == EventKind::Correction],
    )?;
    let (before, after) = (verdict_of(db, hit.judgement)?, verdict_of(db, Some(judgement))?);
    count(db, hit.message, hit.kind, before, -1)?;
    count(db, hit.message, hit.kind, after, 1)
}

/// What was said of the event before it was there.
fn catch_up(db: &Connection, id: RelayId, mut hit: Hit) -> rusqlite::Result<()> {
    let find =
        "SELECT seq, kind, judgement FROM event WHERE about = ?1 AND typeof(about) = 'blob' ORDER BY seq";
    let mut statement = db.prepare_cached(find)?;
    let waiting = statement
        .query_map([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<Vec<(i64, i64, Option<i64>)>>>()?;
    for (seq, kind, judgement) in waiting {
        execute(db, "UPDATE event SET about = ?2 WHERE seq = ?1", &[&seq, &hit.seq])?;
        let Some(kind) = form::kind(kind).filter(|kind| changes(&hit, *kind, judgement)) else { continue };
        judge_anew(db, &hit, kind, judgement)?;
        hit.judgement = judgement;
        hit.corrected = kind == EventKind::Correction;
    }
    Ok(())
}

/// Nothing for the sender's own hits and those nobody can tell: they are neither people nor machines.
fn count(
    db: &Connection,
    message: i64,
    kind: EventKind,
    verdict: Option<Verdict>,
    by: i64,
) -> rusqlite::Result<()> {
    let Some(verdict) = verdict else { return Ok(()) };
    let by_person = verdict.counts_as_person();
    let by_machine = matches!(verdict, Verdict::Prefetch | Verdict::Scanner | Verdict::Preview);
    let sql = match (kind, by_person, by_machine) {
        (EventKind::Open, true, _) => {
            "UPDATE tally SET opens_by_people = max(0, opens_by_people + ?2) WHERE key = ?1"
        }
        (EventKind::Open, _, true) => {
            "UPDATE tally SET opens_by_machines = max(0, opens_by_machines + ?2) WHERE key = ?1"
        }
        (EventKind::Click, true, _) => {
            "UPDATE tally SET clicks_by_people = max(0, clicks_by_people + ?2) WHERE key = ?1"
        }
        (EventKind::Click, _, true) => {
            "UPDATE tally SET clicks_by_machines = max(0, clicks_by_machines + ?2) WHERE key = ?1"
        }
        _ => return Ok(()),
    };
    execute(db, sql, &[&message, &by]).map(|_| ())
}

/// Appends the verdicts and moves the mark. Returns the number of the newest event that was not there before.
pub(crate) fn settle(
    db: &Connection,
    settlement: &Settlement,
    known: &mut KnownKeys,
) -> rusqlite::Result<Option<i64>> {
    let upto = settlement.upto;
    let mut newest = None;
    for verdict in &settlement.verdicts {
        newest = write_event(db, verdict, known)?.or(newest);
    }
    match settlement.evidence {
        EvidenceRule::Drop => {
            execute(db, "DELETE FROM evidence WHERE seq <= ?1 AND keep_until IS NULL", &[&upto])?;
        }
        EvidenceRule::KeepFor(time) => {
            for (seq, text) in &settlement.learnt {
                execute(db, "UPDATE evidence SET text = ?2 WHERE seq = ?1", params![seq, text])?;
            }
            let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX).min(i64::MAX / 2);
            execute(
                db,
                "UPDATE evidence SET keep_until = ?2 + (SELECT at FROM event WHERE event.seq = evidence.seq)
                 WHERE seq <= ?1 AND keep_until IS NULL",
                params![upto, time],
            )?;
        }
    }
    execute(db, "UPDATE settled SET seq = max(seq, ?1)", &[&upto])?;
    Ok(newest)
}

pub(crate) fn drop_evidence(db: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<usize> {
    let delete = "DELETE FROM evidence WHERE seq IN
                  (SELECT seq FROM evidence WHERE keep_until IS NOT NULL AND keep_until <= ?1 LIMIT ?2)";
    execute(db, delete, params![now.unix_millis(), limit])
}

fn verdict_of(db: &Connection, judgement: Option<i64>) -> rusqlite::Result<Option<Verdict>> {
    let Some(key) = judgement else { return Ok(None) };
    let find = "SELECT verdict FROM judgement WHERE key = ?1";
    let code: Option<String> = db.prepare_cached(find)?.query_row([key], |row| row.get(0)).optional()?;
    Ok(code.as_deref().and_then(Verdict::from_code))
}

fn key_of_word(db: &Connection, text: Option<&str>, known: &mut KnownKeys) -> rusqlite::Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    if let Some(key) = known.words.get(text) {
        return Ok(Some(*key));
    }
    let find = "SELECT key FROM word WHERE text = ?1";
    let found = db.prepare_cached(find)?.query_row([text], |row| row.get(0)).optional()?;
    let key = if let Some(key) = found {
        key
    } else {
        execute(db, "INSERT INTO word (text) VALUES (?1)", &[&text as &dyn ToSql])?;
        db.last_insert_rowid()
    };
    known.words.insert(text.to_owned(), key);
    Ok(Some(key))
}

fn key_of_judgement(db: &Connection, judgement: &Judgement, known: &mut KnownKeys) -> rusqlite::Result<i64> {
    if let Some(key) = known.judgement(judgement) {
        return Ok(key);
    }
    let key = find_or_add_judgement(db, judgement)?;
    known.learn_judgement(judgement, key);
    Ok(key)
}

fn find_or_add_judgement(db: &Connection, judgement: &Judgement) -> rusqlite::Result<i64> {
    let reasons = serde_json::to_string(&judgement.reasons).unwrap_or_else(|_| "[]".to_owned());
    let trust = judgement.trust;
    let values = params![
        judgement.verdict.code(),
        judgement.confidence.code(),
        reasons,
        trust.time,
        trust.place,
        trust.device,
        judgement.rules,
    ];
    let find = "SELECT key FROM judgement WHERE verdict = ?1 AND confidence = ?2 AND reasons = ?3
                AND trust_time = ?4 AND trust_place = ?5 AND trust_device = ?6 AND rules = ?7";
    let known = db.prepare_cached(find)?.query_row(values, |row| row.get(0)).optional()?;
    if let Some(key) = known {
        return Ok(key);
    }
    execute(
        db,
        "INSERT INTO judgement (verdict, confidence, reasons, trust_time, trust_place, trust_device, rules)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        values,
    )?;
    Ok(db.last_insert_rowid())
}
