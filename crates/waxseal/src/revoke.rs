use std::io::{self, Write};

use anyhow::{Context, anyhow};
use envelope::{Clock, RelayId, SystemClock};
use seal::LINK_PATH;
use store::{MessageRecord, Revocation, Revocations, SqliteStore, Store};

use crate::check;
use crate::cli::{RevokeArgs, RevokeCommand, RevokeListArgs};
use crate::config::Config;
use crate::exit::{self, Failure, Outcome};
use crate::key_file;
use crate::messages::open;
use crate::output::{local_time, printable};

/// `waxseal revoke`.
pub(crate) async fn revoke(args: &RevokeArgs) -> Outcome {
    if let Some(RevokeCommand::List(args)) = &args.command {
        return list(args).await;
    }
    let config = check::read(&args.config.config)?;
    let (message, link) = named(args, &config)?;
    let store = open(&config.store.database)?;
    let known = store.message(message).await.context("cannot read the message")?.map(|found| found.record);
    let what = Revocation {
        message,
        recipient: args.recipient.as_deref().map(|text| recipient(text, known.as_ref())).transpose()?,
        link: link.map(|number| link_of(number, known.as_ref())).transpose()?,
    };
    let is_revoked = |store: &SqliteStore| {
        let store = store.clone();
        async move { Ok::<_, Failure>(store.revocations().await?.iter().any(|stored| stored.what == what)) }
    };
    let before = is_revoked(&store).await?;
    if args.undo {
        store.unrevoke(what).await.context("it could not be taken back")?;
    } else {
        store.revoke(what, SystemClock.now()).await.context("it could not be revoked")?;
    }
    store.close().await;
    let said = match (args.undo, before) {
        (false, true) => "is revoked already; nothing was changed",
        (false, false) => "is revoked: a link leads to a page that says so, an open is not recorded",
        (true, true) => "works again",
        (true, false) => "was not revoked as such; nothing was changed (see waxseal revoke list)",
    };
    println!("{} {said}", in_words(&what, known.as_ref()));
    if known.is_none() && !args.undo && !before {
        eprintln!(
            "The store does not know the message; if its links are out all the same, they are stopped."
        );
    }
    if !before && !args.undo {
        eprintln!(
            "It is in force within a second or two, on every node that has this store; one with the keys alone does not see it."
        );
    }
    Ok(exit::OK)
}

async fn list(args: &RevokeListArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let revocations = store.revocations().await.context("cannot read what is revoked")?;
    let mut out = io::stdout().lock();
    for stored in &revocations {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(stored)?)?;
        } else {
            let known = store.message(stored.what.message).await.unwrap_or_default();
            let words = in_words(&stored.what, known.map(|found| found.record).as_ref());
            writeln!(out, "{}  {words}", local_time(stored.at))?;
        }
    }
    drop(out);
    if revocations.is_empty() && !args.json {
        eprintln!("Nothing is revoked.");
    }
    store.close().await;
    Ok(exit::OK)
}

/// A message by its id, or by the address of one of its links, as a report of abuse has it: then that link.
fn named(args: &RevokeArgs, config: &Config) -> Result<(RelayId, Option<u16>), Failure> {
    let text = args.message.as_deref().unwrap_or_default().trim();
    if let Ok(id) = text.to_ascii_lowercase().parse::<RelayId>() {
        return Ok((id, args.link));
    }
    if let Some((_, token)) = text.split_once(LINK_PATH) {
        let token = token.split(['?', '#']).next().unwrap_or_default();
        let opened = key_file::read(&config.store.signing_key_file)?.open_link(token);
        let opened = opened.ok_or_else(|| {
            Failure::new(exit::USAGE, anyhow!("this link was not signed with the keys of this installation"))
        })?;
        return Ok((opened.message, args.link.or(Some(opened.link))));
    }
    let error = anyhow!(
        "{text:?} is neither the id of a message (waxseal messages shows them) nor a tracked link of ours"
    );
    Err(Failure::new(exit::USAGE, error))
}

/// By number, or by address.
fn recipient(text: &str, message: Option<&MessageRecord>) -> Result<u16, Failure> {
    let recipients = message.map(|message| message.recipients.as_slice()).unwrap_or_default();
    if let Ok(number) = text.parse::<u16>() {
        if message.is_none() || recipients.iter().any(|recipient| recipient.index == number) {
            return Ok(number);
        }
    } else if let Some(found) = recipients.iter().find(|known| known.address.eq_ignore_ascii_case(text)) {
        return Ok(found.index);
    }
    let known: Vec<String> = recipients
        .iter()
        .take(20)
        .map(|known| format!("{} ({})", printable(&known.address), known.index))
        .collect();
    let known = if known.is_empty() { "nobody that the store knows".to_owned() } else { known.join(", ") };
    Err(Failure::new(exit::USAGE, anyhow!("{text:?} is no recipient of that message; it went to {known}")))
}

fn link_of(number: u16, message: Option<&MessageRecord>) -> Result<u16, Failure> {
    let Some(message) = message else { return Ok(number) };
    let tracked = || message.links.iter().filter(|link| link.kept.is_none());
    if tracked().any(|link| link.index == number) {
        return Ok(number);
    }
    let known: Vec<String> = tracked()
        .take(20)
        .map(|link| format!("{} ({})", link.index, printable(link.target.as_deref().unwrap_or(&link.href))))
        .collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(Failure::new(exit::USAGE, anyhow!("the message has no tracked link {number}; it has {known}")))
}

fn in_words(what: &Revocation, message: Option<&MessageRecord>) -> String {
    let mut text = what.message.to_string();
    if let Some(number) = what.link {
        let target = message.and_then(|message| message.links.iter().find(|link| link.index == number));
        let target = target.and_then(|link| link.target.as_deref());
        text.push_str(&format!(", link {number}"));
        if let Some(target) = target {
            text.push_str(&format!(" to {}", printable(target)));
        }
    }
    if let Some(number) = what.recipient {
        let address =
            message.and_then(|message| message.recipients.iter().find(|known| known.index == number));
        let address =
            address.map_or_else(|| format!("recipient {number}"), |known| printable(&known.address));
        text.push_str(&format!(", for {address}"));
    }
    if let Some(subject) = message.and_then(|message| message.subject.as_deref()) {
        text.push_str(&format!(" \"{}\"", crate::output::shortened(subject, 40)));
    }
    text
}
