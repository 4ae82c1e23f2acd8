use std::io::{self, Write};

use anyhow::Context;
use store::{
    FeedbackKind, MessageFilter, MessageRecord, MessageSummary, RecipientFeedback, SqliteStore, Store,
};

use crate::check;
use crate::cli::MessagesArgs;
use crate::exit::{self, Outcome};
use crate::output::{local_time, printable, shortened};

/// Lists messages, newest first.
pub(crate) async fn messages(args: &MessagesArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let filter = MessageFilter { sender: args.sender.clone(), limit: args.limit, ..MessageFilter::default() };
    let messages = store.messages(filter).await.context("cannot read the messages")?;
    let mut out = io::stdout().lock();
    for message in &messages {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(message)?)?;
        } else {
            write!(out, "{}", lines(message))?;
        }
    }
    if messages.is_empty() && !args.json {
        eprintln!("No messages yet. Point your mail program at the relay and send one.");
    }
    drop(out);
    store.close().await;
    Ok(exit::OK)
}

/// The store of a configuration, for reading; never makes one.
pub(crate) fn open(path: &std::path::Path) -> Result<SqliteStore, crate::exit::Failure> {
    if !path.exists() {
        let error = anyhow::anyhow!("there is no store at {} yet; `waxseal run` makes it", path.display());
        return Err(crate::exit::Failure::new(exit::NO_INPUT, error));
    }
    Ok(SqliteStore::open(path).with_context(|| format!("cannot open the store {}", path.display()))?)
}

fn lines(message: &MessageSummary) -> String {
    let record = &message.record;
    let to = match record.recipients.as_slice() {
        [one] => printable(&one.address),
        several => format!("{} people", several.len()),
    };
    let mut text = format!(
        "{}  {}  {} → {to}  \"{}\"\n",
        local_time(record.accepted_at),
        record.id,
        printable(&record.sender),
        shortened(record.subject.as_deref().unwrap_or(""), 60),
    );
    text.push_str(&format!("    {}\n", state(message)));
    for feedback in &message.feedback {
        text.push_str(&format!("    {}\n", came_back(record, feedback)));
    }
    for reason in &record.reasons {
        text.push_str(&format!("    {}: {}\n", reason.code(), reason.sentence()));
    }
    text
}

/// `bo@example.net: bounced for good, 5.1.1, 550 5.1.1 No such user; complained`.
fn came_back(record: &MessageRecord, feedback: &RecipientFeedback) -> String {
    let who = record.recipients.iter().find(|known| known.index == feedback.recipient);
    let who = who.map_or_else(|| format!("recipient {}", feedback.recipient), |r| printable(&r.address));
    let said = feedback.bounce.map(|kind| {
        let words = match kind {
            FeedbackKind::Delayed => "is late",
            FeedbackKind::Soft => "bounced, may pass",
            FeedbackKind::Hard | FeedbackKind::Complaint => "bounced for good",
        };
        let status = feedback.status.as_deref().map(|status| format!(", {}", printable(status)));
        let words_of_theirs =
            feedback.diagnostic.as_deref().map(|words| format!(", {}", shortened(words, 80)));
        format!("{words}{}{}", status.unwrap_or_default(), words_of_theirs.unwrap_or_default())
    });
    let complained = feedback.complained_at.map(|at| format!("complained {}", local_time(at)));
    let all: Vec<String> = said.into_iter().chain(complained).collect();
    format!("{who}: {}", all.join("; "))
}

fn state(message: &MessageSummary) -> String {
    let record = &message.record;
    let answer = match record.code {
        0 => "no answer from the provider yet".to_owned(),
        code => format!("{} said {code} {}", record.upstream, shortened(&record.reply, 60)),
    };
    let tracked = match (record.pixel, record.links_tracked) {
        (false, 0) => return format!("{answer}; not tracked"),
        (true, 0) => "opens".to_owned(),
        (true, links) => format!("opens, {links} links"),
        (false, links) => format!("{links} links"),
    };
    let machines = message.opens_by_machines + message.clicks_by_machines;
    format!(
        "{answer}; tracked: {tracked}; opened {}, clicked {} (machines {machines})",
        times(message.opens_by_people),
        times(message.clicks_by_people),
    )
}

fn times(count: u64) -> String {
    match count {
        0 => "not yet".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}
