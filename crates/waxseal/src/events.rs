mod judging;

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use store::{EventKind, Settling, Store, StoredEvent};
use verdict::Judgement;

use crate::check;
use crate::cli::{EventsArgs, EventsCommand, EventsListArgs};
use crate::exit::{self, Outcome};
use crate::messages::open;
use crate::output::{local_time, printable};
use crate::signals;

/// The running relay is another process: its commits are found by asking.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const AT_ONCE: u32 = 1_000;

/// Lists what happened, or judges it again.
pub(crate) async fn events(args: &EventsArgs) -> Outcome {
    match &args.command {
        None => list(&args.list).await,
        Some(EventsCommand::Reclassify(args)) => judging::reclassify(args).await,
        Some(EventsCommand::Correct(args)) => judging::correct(args).await,
    }
}

/// The newest, oldest first; with `--follow` goes on until Ctrl-C.
async fn list(args: &EventsListArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let mut shutdown = signals::shutdown()?;
    let mut newest = 0;
    let events = match args.message {
        Some(message) => store.events_of_before(message, i64::MAX, args.limit).await,
        None => store.recent_events(args.limit).await,
    };
    for event in events.context("cannot read the events")? {
        newest = event.seq;
        print(&event, args)?;
    }
    while args.follow && !*shutdown.borrow() {
        for event in store.events_after(newest, AT_ONCE).await.context("cannot read the events")? {
            newest = event.seq;
            print(&event, args)?;
        }
        let _ = tokio::time::timeout(LOOK_EVERY, shutdown.wait_for(|stop| *stop)).await;
    }
    store.close().await;
    Ok(exit::OK)
}

fn print(stored: &StoredEvent, args: &EventsListArgs) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(stored)?)?;
    } else {
        writeln!(out, "{}", line(stored))?;
    }
    if args.verbose {
        for more in explained(stored) {
            writeln!(out, "    {more}")?;
        }
    }
    Ok(out.flush()?)
}

/// Each reason in a sentence, what was thought before, and what to call the event.
fn explained(stored: &StoredEvent) -> Vec<String> {
    let judged = stored.event.judgement.as_ref();
    let mut lines: Vec<String> = judged
        .iter()
        .flat_map(|judged| &judged.reasons)
        .map(|code| {
            format!(
                "{}: {}",
                printable(code),
                verdict::sentence(code).unwrap_or("a reason of the rules file")
            )
        })
        .collect();
    if let Some(first) = &stored.first_judgement {
        lines.push(format!("first it was: {}", who(first)));
    }
    let is_hit = stored.event.kind.hit().is_some();
    if is_hit && !stored.settled {
        lines.push("not settled yet: what comes now may change it".to_owned());
    }
    lines.push(match stored.event.about {
        Some(about) => format!("about {about}"),
        None => format!("event {}", stored.event.id),
    });
    lines
}

fn who(judged: &Judgement) -> String {
    format!(
        "{} ({}): {}",
        judged.verdict.on_screen(),
        judged.confidence.word(),
        printable(&judged.reasons.join(", "))
    )
}

fn line(stored: &StoredEvent) -> String {
    let event = &stored.event;
    let to = stored.recipient_address.as_deref().unwrap_or("somebody");
    let subject = stored.subject.as_deref().unwrap_or("(unknown message)");
    let judged = event.judgement.as_ref();
    let mut line = format!(
        "{}  {}  {}  \"{}\"",
        local_time(event.at),
        event.kind.code(),
        printable(to),
        printable(subject)
    );
    // Only where the verdict that holds now can believe them.
    let device = event.device.as_deref().filter(|_| judged.is_some_and(|judged| judged.trust.device));
    let place = event.place.as_deref().filter(|_| judged.is_some_and(|judged| judged.trust.place));
    for more in [stored.link_target.as_deref(), device, place].into_iter().flatten() {
        line.push_str(&format!("  {}", printable(more)));
    }
    if let Some(judged) = judged {
        let word = if matches!(event.kind, EventKind::Verdict | EventKind::Correction) { "now " } else { "" };
        line.push_str(&format!("  {word}{}", who(judged)));
    }
    line
}
