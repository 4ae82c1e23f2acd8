//! What became of a damaged queue: named, and put back.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use envelope::{
    Clock, ForwardPath, MailParameters, Mailbox, RcptParameters, RelayId, ReversePath, SystemClock,
};
use serde_json::json;
use store::{
    Copies, NewMessage, Queue, QueueState, QueuedMessage, QueuedRecipient, RecipientState, SqliteQueue,
    StoreError,
};

use crate::check;
use crate::cli::QueueRestoreArgs;
use crate::config::Config;
use crate::exit::{self, Failure, Outcome};
use crate::output::printable;
use crate::queue::{find, open, size};

/// The files of which nobody knows whose they are, each with what its header says.
pub(crate) async fn list(queue: &SqliteQueue, out: &mut impl Write, as_json: bool) -> anyhow::Result<()> {
    let files = queue.strays().await.context("cannot read the folder of damaged messages")?;
    for file in &files {
        let content = read(file)?;
        let fields = ["From", "To", "Subject"].map(|name| field(&content, name));
        if as_json {
            let [from, to, subject] = fields;
            let line = json!({
                "file": file, "octets": content.len(), "from": from, "to": to, "subject": subject,
            });
            writeln!(out, "{line}")?;
        } else {
            let [from, to, subject] = fields.map(|text| text.unwrap_or_else(|| "?".to_owned()));
            writeln!(
                out,
                "{}  {}\n    damaged, and its envelope is lost; its header says: from {from}, to {to}, {subject:?}\n    \
                 To send it: waxseal queue restore FILE --from ADDRESS --to ADDRESS",
                file.display(),
                size(content.len() as u64),
            )?;
        }
    }
    Ok(())
}

/// By id: a message that is whole, and was set aside because nobody knows what has become of it. By file: its octets,
/// to whom the command line says.
pub(crate) async fn restore(args: &QueueRestoreArgs) -> Outcome {
    let queue = open(&args.config)?;
    let restored = if Path::new(&args.what).is_file() {
        restore_file(&queue, args).await?
    } else if args.from.is_some() {
        return Err(Failure::new(exit::NO_INPUT, anyhow!("there is no file {:?}", args.what)));
    } else {
        restore_message(&queue, &args.what).await?
    };
    eprintln!("{restored} is in the queue again, and tried next, if the relay runs.");
    queue.close().await;
    Ok(exit::OK)
}

async fn restore_message(queue: &SqliteQueue, text: &str) -> Result<RelayId, Failure> {
    let message = find(queue, text).await?;
    let id = message.id;
    if !matches!(message.state, QueueState::SetAside(_)) {
        return Err(anyhow!("{id} was not set aside").into());
    }
    if message.recipients.is_empty() {
        let error = anyhow!(
            "whom {id} was for is lost. Save it with `waxseal queue show --content {id} > FILE`, then say whom it is \
             for: waxseal queue restore FILE --from ADDRESS --to ADDRESS"
        );
        return Err(error.into());
    }
    match queue.restore(id, SystemClock.now()).await {
        Ok(true) => Ok(id),
        Ok(false) => Err(anyhow!("{id} has just left the queue").into()),
        Err(error @ StoreError::Damaged { .. }) => Err(anyhow!(
            "{error}. What is there of it: waxseal queue show --content {id}. To send that all the same, save it in a \
             file and say whom it is for: waxseal queue restore FILE --from ADDRESS --to ADDRESS"
        )
        .into()),
        Err(error) => Err(anyhow::Error::new(error).context("the queue could not be changed").into()),
    }
}

async fn restore_file(queue: &SqliteQueue, args: &QueueRestoreArgs) -> Result<RelayId, Failure> {
    let file = PathBuf::from(&args.what);
    let config = check::read(&args.config.config)?;
    let usage = |error| Failure::new(exit::USAGE, error);
    let Some(from) = &args.from else {
        let error = anyhow!(
            "whose message {} is was lost: say --from ADDRESS, and --to ADDRESS for each recipient",
            file.display()
        );
        return Err(usage(error));
    };
    let content = read(&file)?;
    if content.is_empty() || !has_lines_of_mail(&content) {
        let error = anyhow!("{} is no whole message: its lines must end in CR LF", file.display());
        return Err(error.into());
    }
    let address = |text: &str| Mailbox::parse(text).map_err(|_| usage(anyhow!("{text:?} is not an address")));
    let from = address(from)?;
    let now = SystemClock.now();
    let mut recipients = vec![];
    for (to, index) in args.to.iter().zip(0..) {
        recipients.push(QueuedRecipient {
            index,
            forward_path: ForwardPath::Mailbox(address(to)?),
            parameters: RcptParameters::default(),
            state: RecipientState::Waiting,
            attempts: 0,
            due_at: now,
            code: 0,
            reply: String::new(),
        });
    }
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|e| anyhow!("the system gives no random octets: {e}"))?;
    let message = QueuedMessage {
        id: RelayId::new(now, random),
        queued_at: now,
        sender: from.to_string(),
        upstream: upstream(&config, args.upstream.as_deref()).map_err(usage)?,
        reverse_path: ReversePath::Mailbox(from),
        parameters: MailParameters::default(),
        copies: Copies::Shared,
        octets: content.len() as u64,
        state: QueueState::Waiting,
        delay_told: false,
        recipients,
    };
    let id = message.id;
    let new = NewMessage { message, content: Arc::new(content) };
    queue.put(new).await.context("the queue did not take the message")?;
    // One of ours is in the queue now; one from elsewhere is not ours to remove.
    let strays = queue.strays().await.unwrap_or_default();
    let is_same = |stray: &PathBuf| stray.canonicalize().ok() == file.canonicalize().ok();
    if let Some(stray) = strays.iter().find(|stray| is_same(stray)) {
        std::fs::remove_file(stray).with_context(|| format!("cannot remove {}", stray.display()))?;
    }
    Ok(id)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let octets = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(SqliteQueue::content_in_file(octets))
}

fn upstream(config: &Config, name: Option<&str>) -> anyhow::Result<String> {
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    match (name, names.as_slice()) {
        (Some(name), _) if names.contains(&name) => Ok(name.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (Some(name), _) => Err(anyhow!("there is no upstream {name:?}; there are: {}", names.join(", "))),
        (None, _) => Err(anyhow!("say which upstream it goes to, --upstream NAME: {}", names.join(", "))),
    }
}

fn has_lines_of_mail(content: &[u8]) -> bool {
    let mut before = None;
    content.iter().all(|octet| {
        let fits = (*octet == b'\n') == (before == Some(b'\r'));
        before = Some(*octet);
        fits
    }) && content.ends_with(b"\r\n")
}

/// The body of the first field of this name, on one line, fit for a terminal.
fn field(content: &[u8], name: &str) -> Option<String> {
    const MOST_OCTETS: usize = 64 << 10;
    let head = String::from_utf8_lossy(&content[..content.len().min(MOST_OCTETS)]);
    let mut lines = head.split("\r\n").take_while(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let Some((found, body)) = line.split_once(':') else { continue };
        if !found.trim_end().eq_ignore_ascii_case(name) {
            continue;
        }
        let mut text = body.trim().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
            text.push(' ');
            text.push_str(more.trim());
        }
        return Some(printable(&text));
    }
    None
}
