use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use store::{Store, StoredEvent};

use crate::check;
use crate::cli::EventsArgs;
use crate::exit::{self, Outcome};
use crate::messages::open;
use crate::output::{local_time, printable};
use crate::signals;

/// The running relay is another process: its commits are found by asking.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const AT_ONCE: u32 = 1_000;

/// Lists opens and clicks, oldest of the newest first; with `--follow` goes on until Ctrl-C.
pub(crate) async fn events(args: &EventsArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let mut shutdown = signals::shutdown()?;
    let mut newest = 0;
    for event in store.recent_events(args.limit).await.context("cannot read the events")? {
        newest = event.seq;
        print(&event, args.json)?;
    }
    while args.follow && !*shutdown.borrow() {
        for event in store.events_after(newest, AT_ONCE).await.context("cannot read the events")? {
            newest = event.seq;
            print(&event, args.json)?;
        }
        let _ = tokio::time::timeout(LOOK_EVERY, shutdown.wait_for(|stop| *stop)).await;
    }
    store.close().await;
    Ok(exit::OK)
}

fn print(stored: &StoredEvent, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(stored)?)?;
    } else {
        writeln!(out, "{}", line(stored))?;
    }
    Ok(out.flush()?)
}

fn line(stored: &StoredEvent) -> String {
    let event = &stored.event;
    let who = stored.recipient_address.as_deref().unwrap_or("somebody");
    let subject = stored.subject.as_deref().unwrap_or("(unknown message)");
    let judged = event.judgement.as_ref();
    let mut line = format!(
        "{}  {}  {}  \"{}\"",
        local_time(event.at),
        event.kind.code(),
        printable(who),
        printable(subject)
    );
    let device = event.device.as_deref().filter(|_| judged.is_some_and(|judged| judged.trust.device));
    for more in [stored.link_target.as_deref(), device, event.place.as_deref()].into_iter().flatten() {
        line.push_str(&format!("  {}", printable(more)));
    }
    if let Some(judged) = judged {
        let (who, how) = (judged.verdict.on_screen(), judged.confidence.word());
        line.push_str(&format!("  {who} ({how}): {}", judged.reasons.join(", ")));
    }
    line
}
