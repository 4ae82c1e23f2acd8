use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use envelope::{Clock, SystemClock};
use store::{SqliteStore, Suppression, SuppressionFilter, SuppressionReason, Suppressions};
use tokio::task::JoinSet;

use crate::check;
use crate::cli::{
    SuppressAddArgs, SuppressCommand, SuppressImportArgs, SuppressListArgs, SuppressRemoveArgs, Why,
};
use crate::exit::{self, Failure, Outcome};
use crate::messages::open;
use crate::output::{local_time, printable};
use crate::sender::{mailbox, open_or_make};

/// So many are read at once.
const PAGE: u32 = 1_000;
/// A million addresses.
const LARGEST_LIST_OCTETS: u64 = 64 << 20;
/// Writes under way at once; the store commits together what waits.
const AT_ONCE: usize = 256;
/// More mistakes than a person would mend at once.
const MOST_MISTAKES: usize = 20;

/// `waxseal suppress …`.
pub(crate) async fn suppress(command: SuppressCommand) -> Outcome {
    match command {
        SuppressCommand::List(args) => list(&args).await,
        SuppressCommand::Add(args) => add(&args).await,
        SuppressCommand::Remove(args) => remove(&args).await,
        SuppressCommand::Import(args) => import(&args).await,
    }
}

async fn list(args: &SuppressListArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let mut filter = SuppressionFilter { sender: args.sender.clone(), after: None, limit: PAGE };
    let mut out = io::stdout().lock();
    let mut listed = 0_u64;
    loop {
        let page = store.suppressions(filter.clone()).await.context("cannot read the list")?;
        let Some(last) = page.last() else { break };
        filter.after = Some((last.sender.clone().unwrap_or_default(), last.address.clone()));
        for entry in &page {
            listed += 1;
            if args.json {
                writeln!(out, "{}", serde_json::to_string(entry)?)?;
            } else {
                writeln!(out, "{}", line(entry))?;
            }
        }
    }
    drop(out);
    if listed == 0 && !args.json {
        eprintln!("Nobody is on the list.");
    }
    store.close().await;
    Ok(exit::OK)
}

fn line(entry: &Suppression) -> String {
    let whose = entry.sender.as_deref().map_or_else(|| "anybody".to_owned(), printable);
    let why = match entry.reason {
        SuppressionReason::Unsubscribed => "unsubscribed",
        SuppressionReason::Bounced => "bounced for good",
        SuppressionReason::Complaint => "reported it as spam",
        SuppressionReason::ByHand => "by hand",
    };
    let about = entry.message.map(|message| format!("  in {message}")).unwrap_or_default();
    format!("{}  no mail of {whose}  {why}  {}{about}", printable(&entry.address), local_time(entry.at))
}

async fn add(args: &SuppressAddArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let entry = Suppression {
        sender: args.sender.clone(),
        address: mailbox(&args.address)?.to_string(),
        reason: args.reason.into(),
        message: None,
        at: SystemClock.now(),
    };
    let store = open_or_make(&config.store.database)?;
    let whose = args.sender.as_deref().unwrap_or("anybody here").to_owned();
    store.suppress(entry).await.context("the address could not be put on the list")?;
    store.close().await;
    println!("{} gets no mail of {whose}", printable(&args.address));
    eprintln!("In force within two seconds, also for mail that waits in the queue.");
    Ok(exit::OK)
}

async fn remove(args: &SuppressRemoveArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let before = count(&store, &args.address, args.sender.as_deref()).await?;
    store.unsuppress(args.sender.as_deref(), &args.address).await.context("the list could not be changed")?;
    let whose = args.sender.as_deref().unwrap_or("anybody here");
    if before {
        println!("{} is off the list for mail of {whose}", printable(&args.address));
    } else {
        println!("{} was not on the list for mail of {whose}; nothing was changed", printable(&args.address));
        if args.sender.is_none() {
            eprintln!(
                "One who unsubscribed is on the list of one sender: add --sender, see waxseal suppress list."
            );
        }
    }
    store.close().await;
    Ok(exit::OK)
}

/// Is there exactly this entry? Not the one for all in place of a sender's own.
async fn count(store: &SqliteStore, address: &str, sender: Option<&str>) -> Result<bool, Failure> {
    // No sender is called so: only the entry for all is found.
    let found = store.suppression(sender.unwrap_or("*"), address).await.context("cannot read the list")?;
    Ok(found.is_some_and(|found| found.sender.is_some() == sender.is_some()))
}

/// All of the file or nothing of it.
async fn import(args: &SuppressImportArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let text = read(&args.from)?;
    let entries = entries(&text, args).map_err(|mistakes| {
        for mistake in &mistakes {
            eprintln!("{mistake}");
        }
        let error =
            anyhow!("{} holds lines that are no addresses; nothing was imported", args.from.display());
        Failure::new(exit::USAGE, error)
    })?;
    let store = open_or_make(&config.store.database)?;
    let count = entries.len();
    let mut writing = JoinSet::new();
    for entry in entries {
        if writing.len() >= AT_ONCE
            && let Some(written) = writing.join_next().await
        {
            written??;
        }
        let store = store.clone();
        writing.spawn(async move { store.suppress(entry).await });
    }
    while let Some(written) = writing.join_next().await {
        written?.context("the list could not be written to its end; importing it again does no harm")?;
    }
    store.close().await;
    println!("{count} addresses are on the list now; those that were there before stay as they were");
    Ok(exit::OK)
}

fn read(from: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = if from == Path::new("-") {
        io::stdin().lock().take(LARGEST_LIST_OCTETS).read_to_string(&mut text)
    } else {
        File::open(from).and_then(|file| file.take(LARGEST_LIST_OCTETS).read_to_string(&mut text))
    };
    let octets = read.with_context(|| format!("cannot read {}", from.display()))?;
    anyhow::ensure!(
        octets as u64 != LARGEST_LIST_OCTETS,
        "{} has more than {LARGEST_LIST_OCTETS} octets; import it in parts",
        from.display()
    );
    Ok(text)
}

/// `address`, `address,sender` or `address,sender,reason` a line.
fn entries(text: &str, args: &SuppressImportArgs) -> Result<Vec<Suppression>, Vec<String>> {
    let at = SystemClock.now();
    let (mut entries, mut mistakes) = (vec![], vec![]);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start_matches('\u{feff}').trim();
        // A header of a table, as other programs export it.
        if line.is_empty()
            || line.starts_with('#')
            || (number == 1 && line.to_ascii_lowercase().starts_with("address"))
        {
            continue;
        }
        let mut fields = line.split(',').map(|field| field.trim().trim_matches('"'));
        let address = fields.next().unwrap_or_default();
        let sender = fields.next().filter(|sender| !sender.is_empty());
        let reason = fields.next().filter(|reason| !reason.is_empty());
        let reason = match reason {
            None => Some(args.reason.into()),
            Some(code) => SuppressionReason::from_code(&code.replace('-', "_")),
        };
        match (mailbox(address), reason, fields.next()) {
            (Ok(address), Some(reason), None) => entries.push(Suppression {
                sender: sender.map(str::to_owned).or_else(|| args.sender.clone()),
                address: address.to_string(),
                reason,
                message: None,
                at,
            }),
            _ if mistakes.len() < MOST_MISTAKES => mistakes.push(format!(
                "line {number}: {:?} is not of the form address, sender (or nothing), reason (unsubscribed, bounced, complaint, by_hand, or nothing)",
                printable(line)
            )),
            _ => {}
        }
    }
    if mistakes.is_empty() { Ok(entries) } else { Err(mistakes) }
}

impl From<Why> for SuppressionReason {
    fn from(why: Why) -> Self {
        match why {
            Why::Unsubscribed => Self::Unsubscribed,
            Why::Bounced => Self::Bounced,
            Why::Complaint => Self::Complaint,
            Why::ByHand => Self::ByHand,
        }
    }
}
