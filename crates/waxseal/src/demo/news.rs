//! What happens, line by line, on the terminal.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use console::Office;
use envelope::{RelayId, Timestamp};
use jiff::tz::TimeZone;
use store::{EventKind, MessageFilter, MessageSummary, Store, StoredEvent};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::office::DemoOffice;
use crate::output::{printable, say};

const AT_ONCE: u32 = 100;
/// A message is recorded beside the handoff; its outcome is there a moment after it arrived.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Prints each message and each event once, until `shutdown` and then what is left.
pub(crate) fn print(
    store: Arc<dyn Store>,
    office: &DemoOffice,
    mut shutdown: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (mut committed, mut arrivals) = (store.committed(), office.arrivals());
    tokio::spawn(async move {
        let mut said = Said::default();
        loop {
            let last = *shutdown.borrow();
            said.say_what_is_new(&*store).await;
            if last {
                return;
            }
            tokio::select! {
                _ = shutdown.changed() => {}
                changed = committed.changed() => if changed.is_err() { return },
                changed = arrivals.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    })
}

#[derive(Default)]
struct Said {
    messages: HashSet<RelayId>,
    events: i64,
}

impl Said {
    async fn say_what_is_new(&mut self, store: &dyn Store) {
        let filter = MessageFilter { limit: AT_ONCE, ..MessageFilter::default() };
        let mut messages = store.messages(filter).await.unwrap_or_default();
        messages.retain(|message| message.record.code != 0 && self.messages.insert(message.record.id));
        for message in messages.iter().rev() {
            say(&format!("  {}", message_line(message)));
        }
        for event in store.events_after(self.events, AT_ONCE).await.unwrap_or_default() {
            self.events = event.seq;
            if let Some(line) = event_line(&event) {
                say(&format!("  {line}"));
            }
        }
    }
}

fn message_line(message: &MessageSummary) -> String {
    let record = &message.record;
    let sender = record.sender.split('@').next().unwrap_or_default();
    let to = match record.recipients.as_slice() {
        [one] => one.address.clone(),
        several => format!("{} people", several.len()),
    };
    let what = match (record.pixel, record.links_tracked) {
        (false, 0) => {
            let reason = record.reasons.first().map_or("", |reason| reason.sentence());
            format!("not tracked: {reason}")
        }
        (pixel, links) => {
            let opens = if pixel { "opens" } else { "no opens" };
            format!("tracked: {opens}, {links} {}", if links == 1 { "link" } else { "links" })
        }
    };
    let subject = record.subject.as_deref().unwrap_or("(no subject)");
    format!("{}  {sender} → {to}   \"{}\"   {what}", time(record.accepted_at), printable(subject))
}

/// Nothing of what cannot happen here, such as a bounce.
fn event_line(stored: &StoredEvent) -> Option<String> {
    let event = &stored.event;
    let judged = event.judgement.as_ref()?;
    let on_what = stored.link_target.clone().or(stored.subject.clone()).unwrap_or_default();
    let what = match event.kind {
        EventKind::Open => "opened ",
        EventKind::Click => "clicked",
        EventKind::Verdict | EventKind::Correction => "now    ",
        _ => return None,
    };
    let device = event.device.clone().filter(|_| judged.trust.device).unwrap_or_default();
    let device = if device.is_empty() { String::new() } else { format!("{device}   ") };
    Some(format!(
        "{}  {what}  {}   {device}{}",
        time(event.at),
        printable(&on_what),
        judged.verdict.on_screen()
    ))
}

fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_millis())
        .map(|at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}
