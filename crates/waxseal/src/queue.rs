use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use envelope::{Clock, RelayId, SystemClock};
use store::{Queue, QueueState, QueuedMessage, QueuedRecipient, RecipientState, SqliteQueue, StoreError};

use crate::check;
use crate::cli::{ConfigArg, QueueArgs, QueueCommand, QueueDeleteArgs, QueueListArgs, QueueShowArgs};
use crate::damaged;
use crate::exit::{self, Failure, Outcome};
use crate::output::{local_time, printable, shortened};

/// `waxseal queue …`: whether the relay runs or not. It notices within a second.
pub(crate) async fn queue(command: QueueCommand) -> Outcome {
    match command {
        QueueCommand::List(args) => list(&args).await,
        QueueCommand::Show(args) => show(&args).await,
        QueueCommand::Retry(args) => retry(&args).await,
        QueueCommand::Hold(args) => hold(&args).await,
        QueueCommand::Release(args) => release(&args).await,
        QueueCommand::Delete(args) => delete(&args).await,
        QueueCommand::Restore(args) => damaged::restore(&args).await,
        QueueCommand::Flush(config) => flush(&config).await,
    }
}

/// Messages looked at together.
const PAGE: u32 = 1_000;

async fn list(args: &QueueListArgs) -> Outcome {
    let queue = open(&args.config)?;
    let mut out = io::stdout().lock();
    let (mut listed, mut after) = (0, None);
    'pages: loop {
        let page = queue.messages(after, PAGE).await.context("cannot read the queue")?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for message in &page {
            if args.sender.as_ref().is_some_and(|sender| !sender.eq_ignore_ascii_case(&message.sender)) {
                continue;
            }
            if listed == args.limit {
                break 'pages;
            }
            listed += 1;
            if args.json {
                writeln!(out, "{}", serde_json::to_string(message)?)?;
            } else {
                write!(out, "{}", lines(message))?;
            }
        }
    }
    if args.sender.is_none() {
        damaged::list(&queue, &mut out, args.json).await?;
    }
    drop(out);
    if !args.json {
        let counts = queue.counts().await.context("cannot read the queue")?;
        eprintln!("{}", summary(&counts));
    }
    queue.close().await;
    Ok(exit::OK)
}

async fn show(args: &QueueShowArgs) -> Outcome {
    let queue = open(&args.message.config)?;
    let message = find(&queue, &args.message.id).await?;
    let mut out = io::stdout().lock();
    if args.content {
        let (octets, damage) = match queue.content(message.id).await {
            Ok(octets) => (octets, None),
            Err(error @ StoreError::Damaged { .. }) => {
                (queue.octets_as_they_are(message.id).await?.unwrap_or_default(), Some(error))
            }
            Err(error) => return Err(anyhow::Error::new(error).context("cannot read the message").into()),
        };
        out.write_all(&octets)?;
        out.flush()?;
        if let Some(damage) = damage {
            return Err(anyhow!("{damage}; what is there was printed").into());
        }
    } else if args.json {
        writeln!(out, "{}", serde_json::to_string(&message)?)?;
    } else {
        write!(out, "{}", details(&message))?;
    }
    drop(out);
    queue.close().await;
    Ok(exit::OK)
}

async fn retry(args: &QueueArgs) -> Outcome {
    let queue = open(&args.config)?;
    let message = find(&queue, &args.id).await?;
    refuse_damaged(&message)?;
    there(queue.retry(message.id, SystemClock.now()).await, message.id)?;
    match message.state {
        QueueState::Held => eprintln!(
            "{} is held; it is tried as soon as it is released: waxseal queue release {0}",
            message.id
        ),
        _ => eprintln!("{} is tried next, if the relay runs.", message.id),
    }
    queue.close().await;
    Ok(exit::OK)
}

async fn hold(args: &QueueArgs) -> Outcome {
    let queue = open(&args.config)?;
    let message = find(&queue, &args.id).await?;
    refuse_damaged(&message)?;
    there(queue.hold(message.id).await, message.id)?;
    eprintln!(
        "{} is held. An attempt that is under way still ends. To go on: waxseal queue release {0}",
        message.id
    );
    queue.close().await;
    Ok(exit::OK)
}

async fn release(args: &QueueArgs) -> Outcome {
    let queue = open(&args.config)?;
    let message = find(&queue, &args.id).await?;
    refuse_damaged(&message)?;
    if message.state == QueueState::Waiting {
        eprintln!("{} was not held.", message.id);
    } else {
        there(queue.release(message.id).await, message.id)?;
        eprintln!("{} is no longer held.", message.id);
    }
    queue.close().await;
    Ok(exit::OK)
}

async fn delete(args: &QueueDeleteArgs) -> Outcome {
    let queue = open(&args.message.config)?;
    let message = find(&queue, &args.message.id).await?;
    if !args.yes && !confirmed(&message)? {
        eprintln!("Nothing was deleted.");
        return Ok(exit::FAILED);
    }
    there(queue.delete(message.id).await, message.id)?;
    eprintln!("{} is deleted. An attempt that is under way may still hand it on.", message.id);
    queue.close().await;
    Ok(exit::OK)
}

async fn flush(config: &ConfigArg) -> Outcome {
    let queue = open(config)?;
    let flushed = queue.flush(SystemClock.now()).await.context("the queue could not be flushed")?;
    match flushed {
        0 => eprintln!("Nothing waits."),
        count => eprintln!("{} tried next, if the relay runs.", are(count, "message")),
    }
    queue.close().await;
    Ok(exit::OK)
}

/// The queue of a configuration; never makes one.
pub(crate) fn open(config: &ConfigArg) -> Result<SqliteQueue, Failure> {
    let spool = check::read(&config.config)?.store.spool;
    if !SqliteQueue::is_in(&spool) {
        let error = anyhow!(
            "there is no queue in {} yet; `waxseal run` makes it when an upstream has delivery = \"queue\"",
            spool.display()
        );
        return Err(Failure::new(exit::NO_INPUT, error));
    }
    Ok(open_beside(&spool)?)
}

fn open_beside(spool: &Path) -> anyhow::Result<SqliteQueue> {
    SqliteQueue::open_beside(spool).map_err(|error| {
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        anyhow::Error::new(error).context(format!("cannot open the queue in {}{hint}", spool.display()))
    })
}

/// By its id, or by the last digits of it, which replies and logs quote.
pub(crate) async fn find(queue: &SqliteQueue, text: &str) -> Result<QueuedMessage, Failure> {
    let text = text.trim().to_ascii_lowercase();
    if let Ok(id) = text.parse::<RelayId>() {
        let message = queue.message(id).await.context("cannot read the message")?;
        return message.ok_or_else(|| Failure::from(anyhow!("there is no message {id} in the queue")));
    }
    if text.len() != 8 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        let error = anyhow!("{text:?} is not the id of a message; `waxseal queue list` shows them");
        return Err(Failure::new(exit::USAGE, error));
    }
    let (mut found, mut after): (Option<QueuedMessage>, _) = (None, None);
    loop {
        let page = queue.messages(after, PAGE).await.context("cannot read the queue")?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for message in page.into_iter().filter(|message| message.id.short() == text) {
            if let Some(first) = &found {
                let error = anyhow!("{} and {} both end in {text}: give the whole id", first.id, message.id);
                return Err(error.into());
            }
            found = Some(message);
        }
    }
    found.ok_or_else(|| Failure::from(anyhow!("there is no message …{text} in the queue")))
}

/// It may have left while we looked.
fn there(found: Result<bool, StoreError>, id: RelayId) -> Result<(), Failure> {
    if found.context("the queue could not be changed")? {
        return Ok(());
    }
    Err(anyhow!("{id} has just left the queue").into())
}

fn refuse_damaged(message: &QueuedMessage) -> anyhow::Result<()> {
    let QueueState::SetAside(why) = &message.state else { return Ok(()) };
    Err(anyhow!(
        "{} is damaged and set aside: {}. What is there of it: waxseal queue show --content {0}. To send it all the \
         same: waxseal queue restore {0}",
        message.id,
        printable(why)
    ))
}

/// Asks on the terminal. Without one nobody can say yes.
fn confirmed(message: &QueuedMessage) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        let error = anyhow!("nobody is here to ask: say --yes to delete {} for good", message.id);
        return Err(Failure::new(exit::USAGE, error));
    }
    eprint!("{}Delete it for good? Nobody will be told. [y/N] ", lines(message));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn lines(message: &QueuedMessage) -> String {
    let to = match message.recipients.as_slice() {
        [one] => printable(&one.forward_path.to_string()),
        several => format!("{} people", several.len()),
    };
    format!(
        "{}  {}  {} → {to}  {}\n    {}\n",
        local_time(message.queued_at),
        message.id,
        printable(&message.sender),
        size(message.octets),
        standing(message),
    )
}

/// How it stands, in a few words.
fn standing(message: &QueuedMessage) -> String {
    match &message.state {
        QueueState::SetAside(why) => return format!("damaged, set aside: {}", printable(why)),
        QueueState::Held => return format!("held; for {}", printable(&message.upstream)),
        QueueState::Waiting => {}
    }
    let waiting: Vec<&QueuedRecipient> =
        message.recipients.iter().filter(|one| one.state == RecipientState::Waiting).collect();
    let attempts = waiting.iter().map(|one| one.attempts).max().unwrap_or(0);
    let Some(next) = waiting.iter().min_by_key(|one| one.due_at) else { return "done".to_owned() };
    let upstream = printable(&message.upstream);
    let due = if next.due_at <= SystemClock.now() {
        "due now".to_owned()
    } else {
        format!("next {}", local_time(next.due_at))
    };
    match attempts {
        0 => format!("waits for {upstream}, {due}"),
        _ => format!("waits for {upstream}, tried {}, {due}; {}", times(attempts), answer(next)),
    }
}

fn answer(recipient: &QueuedRecipient) -> String {
    let reply = shortened(&recipient.reply, 100);
    match recipient.code {
        0 if reply.is_empty() => "no answer yet".to_owned(),
        0 => reply,
        code => format!("{code} {reply}"),
    }
}

fn details(message: &QueuedMessage) -> String {
    let mut text = format!(
        "{}\n  from       {} ({})\n  taken over {}\n  size       {}\n  upstream   {}\n  state      {}\n",
        message.id,
        printable(&message.reverse_path.to_path()),
        printable(&message.sender),
        local_time(message.queued_at),
        size(message.octets),
        printable(&message.upstream),
        standing(message),
    );
    if let store::Copies::Each { .. } = message.copies {
        text.push_str("  copies     one for each recipient\n");
    }
    if message.delay_told {
        text.push_str("  delay      the sender was told\n");
    }
    for recipient in &message.recipients {
        let stands = match recipient.state {
            RecipientState::Waiting => format!("waits, next {}", local_time(recipient.due_at)),
            RecipientState::HandedOn => "handed on".to_owned(),
            RecipientState::Failed => "failed".to_owned(),
        };
        text.push_str(&format!(
            "  to         {}\n             {stands}; tried {}; {}\n",
            printable(&recipient.forward_path.to_path()),
            times(recipient.attempts),
            answer(recipient),
        ));
    }
    text
}

fn summary(counts: &store::QueueCounts) -> String {
    if counts.waiting + counts.held + counts.set_aside == 0 {
        return "The queue is empty.".to_owned();
    }
    format!(
        "{} waiting, {} held, {} damaged and set aside; {}.",
        counts.waiting,
        counts.held,
        counts.set_aside,
        size(counts.octets)
    )
}

fn times(count: u32) -> String {
    match count {
        0 => "not yet".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn are(count: u64, word: &str) -> String {
    if count == 1 { format!("1 {word} is") } else { format!("{count} {word}s are") }
}

/// A KB is 1,000 octets, as in the configuration file.
pub(crate) fn size(octets: u64) -> String {
    match octets {
        0..10_000 => format!("{octets} octets"),
        10_000..10_000_000 => format!("{} KB", octets / 1_000),
        _ => format!("{} MB", octets / 1_000_000),
    }
}
