use std::collections::HashMap;

use envelope::{Reason, RelayId, Timestamp};
use jiff::tz::TimeZone;
use store::{MessageSummary, StoredEvent};
use verdict::Kind;

use crate::office::CaughtNote;

/// One line of the list of messages.
pub(crate) struct MessageRow {
    pub id: String,
    pub to: String,
    pub subject: String,
    pub sent: String,
    pub sent_exact: String,
    pub opens: Sign,
    pub links: Sign,
    /// Why not, or not all; one sentence each.
    pub reasons: Vec<&'static str>,
    /// What came of it, in words.
    pub state: String,
    /// Its number in the built-in mailbox.
    pub caught: Option<u64>,
    pub has_html: bool,
}

/// An eye or a chain: what shape it has and what it says.
pub(crate) struct Sign {
    /// A class: `off`, `waiting`, `machine`, `person`.
    pub class: &'static str,
    /// For a screen reader and the tooltip.
    pub words: String,
    pub count: u64,
}

/// One line of the list of events.
pub(crate) struct EventRow {
    pub time: String,
    pub time_exact: String,
    pub what: &'static str,
    pub who: String,
    pub subject: String,
    pub target: String,
    pub device: String,
    pub verdict: &'static str,
    pub class: &'static str,
    pub confidence: &'static str,
    pub reasons: Vec<String>,
}

pub(crate) fn message_rows(messages: Vec<MessageSummary>, caught: &[CaughtNote]) -> Vec<MessageRow> {
    let caught: HashMap<RelayId, &CaughtNote> =
        caught.iter().filter_map(|note| note.id.map(|id| (id, note))).collect();
    messages.into_iter().map(|message| message_row(message, &caught)).collect()
}

fn message_row(message: MessageSummary, caught: &HashMap<RelayId, &CaughtNote>) -> MessageRow {
    let record = message.record;
    let opens = sign(record.pixel, "open", message.opens_by_people, message.opens_by_machines);
    let links =
        sign(record.links_tracked > 0, "click", message.clicks_by_people, message.clicks_by_machines);
    let note = caught.get(&record.id);
    let accepted = record.recipients.iter().filter(|recipient| recipient.code / 100 == 2).count();
    let to = match record.recipients.as_slice() {
        [one] => one.address.clone(),
        several => format!("{} people", several.len()),
    };
    let mut reasons: Vec<&'static str> = record.reasons.iter().map(|reason| reason.sentence()).collect();
    let shared = "One copy for all: it shows that one of them opened it, not who.";
    if accepted > 1 && (record.pixel || record.links_tracked > 0) {
        reasons.push(shared);
    }
    let kept: Vec<Reason> = record.links.iter().filter_map(|link| link.kept).collect();
    for reason in Reason::all().filter(|reason| kept.contains(reason)) {
        reasons.push(reason.sentence());
    }
    let several = if accepted > 1 { format!(", one of {accepted}") } else { String::new() };
    let state = if record.code == 0 {
        "on its way".to_owned()
    } else if record.code / 100 != 2 {
        format!("{} {}", record.code, record.reply)
    } else if !record.pixel && record.links_tracked == 0 {
        "not tracked".to_owned()
    } else if message.clicks_by_people > 0 {
        format!("clicked by a person{several}")
    } else if message.opens_by_people > 0 {
        format!("opened by a person{several}")
    } else if message.opens_by_machines + message.clicks_by_machines > 0 {
        "machine only".to_owned()
    } else {
        "nothing yet".to_owned()
    };
    MessageRow {
        id: record.id.to_string(),
        to,
        subject: record.subject.unwrap_or_else(|| "(no subject)".to_owned()),
        sent: time_of_day(record.accepted_at),
        sent_exact: record.accepted_at.to_string(),
        opens,
        links,
        reasons,
        state,
        caught: note.map(|note| note.number),
        has_html: note.is_some_and(|note| note.has_html),
    }
}

fn sign(tracked: bool, word: &str, people: u64, machines: u64) -> Sign {
    let times = |count: u64| if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let (class, words, count) = match (tracked, people, machines) {
        (_, people, _) if people > 0 => ("person", format!("{word}ed by a person {}", times(people)), people),
        (_, _, machines) if machines > 0 => {
            ("machine", format!("{word}ed by machines only, {}: not counted", times(machines)), 0)
        }
        (true, ..) => ("waiting", format!("no {word} yet"), 0),
        (false, ..) => ("off", format!("{word}s are not tracked"), 0),
    };
    Sign { class, words, count }
}

pub(crate) fn event_rows(events: Vec<StoredEvent>) -> Vec<EventRow> {
    events.into_iter().rev().map(event_row).collect()
}

fn event_row(stored: StoredEvent) -> EventRow {
    let event = stored.event;
    let judged = event.judgement;
    EventRow {
        time: time_of_day(event.at),
        time_exact: event.at.to_string(),
        what: match event.kind {
            Kind::Open => "opened",
            Kind::Click => "clicked",
        },
        who: stored.recipient_address.unwrap_or_else(|| "Somebody".to_owned()),
        subject: stored.subject.unwrap_or_else(|| "(no subject)".to_owned()),
        target: stored.link_target.unwrap_or_default(),
        // Shown only where the verdict can believe it: a proxy's is a lie.
        device: if judged.trust.device { event.device.unwrap_or_default() } else { String::new() },
        verdict: judged.verdict.on_screen(),
        class: if judged.verdict.counts_as_person() { "person" } else { "machine" },
        confidence: judged.confidence.word(),
        reasons: judged
            .reasons
            .iter()
            .map(|code| verdict::sentence(code).unwrap_or(code.as_str()).to_owned())
            .collect(),
    }
}

/// `09:31:02` in this computer's zone: the sender's, never the recipient's.
fn time_of_day(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_millis())
        .map(|at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}
