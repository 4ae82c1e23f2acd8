use anyhow::{Context, anyhow};
use envelope::Mailbox;
use serde::Serialize;
use store::{Privacy, Queue, QueuedMessage, RecipientState, SqliteQueue, Traces};

use crate::check;
use crate::cli::{ExportArgs, ForgetArgs};
use crate::config::Config;
use crate::exit::{self, Failure, Outcome};
use crate::messages::open;
use crate::output::printable;

/// Messages of the queue that are looked at together.
const PAGE: u32 = 1_000;

/// Everything that is stored about an address.
#[derive(Serialize)]
struct Export<'a> {
    address: &'a str,
    #[serde(flatten)]
    traces: &'a Traces,
    /// Mail that waits to be handed on to it.
    queued: &'a [QueuedMessage],
}

/// What `forget` touched.
#[derive(Serialize)]
struct Forgotten<'a> {
    address: &'a str,
    dry_run: bool,
    messages: usize,
    events: usize,
    last_opens: usize,
    /// Texts in which it stood, by table and column.
    texts: Vec<String>,
    /// Where it stays: a sender's own account, and who gets no mail.
    stays: Vec<String>,
    /// Mail that still waits for it.
    queued: Vec<String>,
    /// It refused to be tracked, and that goes on.
    refused: bool,
    /// It stands in the store's files all the same, in a row that is in use; `null`: nobody looked.
    remains: Option<bool>,
}

/// `waxseal export`.
pub(crate) async fn export(args: &ExportArgs) -> Outcome {
    let address = mailbox(&args.address)?;
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let traces = store.traces(&address).await.context("the store could not be read")?;
    store.close().await;
    let queued = queued_for(&config, &address).await?;
    println!(
        "{}",
        serde_json::to_string_pretty(&Export { address: &address, traces: &traces, queued: &queued })?
    );
    Ok(exit::OK)
}

/// `waxseal forget`.
pub(crate) async fn forget(args: &ForgetArgs) -> Outcome {
    let address = mailbox(&args.address)?;
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let traces = if args.dry_run { store.traces(&address).await } else { store.forget(&address).await };
    let traces = traces.context("the address could not be forgotten; say it again")?;
    let mut remains = None;
    if !args.dry_run {
        let mut found = false;
        for form in [address.clone(), address.replace('@', "%40")] {
            let looked = store.remains(&form).await;
            found |=
                looked.context("it is forgotten, but the files could not be looked through; say it again")?;
        }
        remains = Some(found);
    }
    store.close().await;
    let queued = queued_for(&config, &address).await?;
    let places = |stays: bool| {
        let of = traces.named.iter().filter(|named| named.stays == stays);
        let mut places: Vec<String> = of.map(|named| format!("{}.{}", named.table, named.column)).collect();
        places.sort();
        places.dedup();
        places
    };
    let forgotten = Forgotten {
        address: &address,
        dry_run: args.dry_run,
        messages: traces.messages.len(),
        events: traces.events.len(),
        last_opens: traces.last_opens.len(),
        texts: places(false),
        stays: places(true),
        queued: queued.iter().map(|message| message.id.to_string()).collect(),
        refused: traces.refused,
        remains,
    };
    if args.json {
        println!("{}", serde_json::to_string(&forgotten)?);
    } else {
        print!("{}", told(&forgotten));
    }
    Ok(exit::OK)
}

fn told(forgotten: &Forgotten<'_>) -> String {
    let address = printable(forgotten.address);
    let nothing = forgotten.messages == 0 && forgotten.texts.is_empty();
    let mut text = match (nothing, forgotten.dry_run) {
        (true, _) => format!("Nothing is known of {address}.\n"),
        (false, true) => format!(
            "Would forget {address}: {} messages keep a line without the address, {} events are deleted, links keep working.\n",
            forgotten.messages, forgotten.events
        ),
        (false, false) => format!(
            "Forgot {address}: {} messages keep a line without the address, {} events are deleted, links keep working.\n",
            forgotten.messages, forgotten.events
        ),
    };
    if !forgotten.texts.is_empty() {
        text += &format!("It stood in {}.\n", forgotten.texts.join(", "));
    }
    if !forgotten.stays.is_empty() {
        text += &format!(
            "It stays in {}: a sender's own account and mail, or the list of those who get no mail (waxseal suppress).\n",
            forgotten.stays.join(", ")
        );
    }
    if !forgotten.queued.is_empty() {
        text += &format!(
            "Mail to it still waits and will be handed on: {}. To delete it: waxseal queue delete ID\n",
            forgotten.queued.join(", ")
        );
    }
    if forgotten.refused {
        text += "It has refused to be tracked, and that goes on: only a hash of it is kept for that.\n";
    }
    if forgotten.remains == Some(true) && forgotten.stays.is_empty() {
        text += "It still stands in the store's files: another program reads them just now. Say it again later.\n";
    }
    text
}

/// Mail in the queue that has it among its recipients and was not handed on to it yet.
async fn queued_for(config: &Config, address: &str) -> Result<Vec<QueuedMessage>, Failure> {
    let spool = &config.store.spool;
    if !SqliteQueue::is_in(spool) {
        return Ok(vec![]);
    }
    let queue = SqliteQueue::open_beside(spool)
        .with_context(|| format!("cannot open the queue in {}", spool.display()))?;
    let (mut found, mut after) = (vec![], None);
    loop {
        let page = queue.messages(after, PAGE).await.context("cannot read the queue")?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        found.extend(page.into_iter().filter(|message| {
            message.recipients.iter().any(|recipient| {
                let is_his = recipient.forward_path.mailbox();
                let is_his = is_his.is_some_and(|mailbox| mailbox.as_str().eq_ignore_ascii_case(address));
                recipient.state == RecipientState::Waiting && is_his
            })
        }));
    }
    queue.close().await;
    Ok(found)
}

fn mailbox(text: &str) -> Result<String, Failure> {
    match Mailbox::parse(text.trim()) {
        Ok(mailbox) => Ok(mailbox.as_str().to_owned()),
        Err(_) => {
            let error = anyhow!("{text:?} is not a mail address; write it like this: bo@example.net");
            Err(Failure::new(exit::USAGE, error))
        }
    }
}
