use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use envelope::{Mailbox, Secret};
use store::{SenderRecord, SqliteStore, Store};

use crate::app_password;
use crate::check;
use crate::cli::{SenderAddArgs, SenderArgs, SenderCommand, SenderListArgs};
use crate::exit::{self, Outcome};
use crate::messages::open;
use crate::output::printable;
use crate::wiring;

const SHORTEST_PASSWORD: usize = 8;

/// `waxseal sender …`.
pub(crate) async fn sender(command: SenderCommand) -> Outcome {
    match command {
        SenderCommand::Add(args) => add(&args).await,
        SenderCommand::List(args) => list(&args).await,
        SenderCommand::Passwd(args) => passwd(&args).await,
        SenderCommand::AppPassword(command) => app_password::app_password(command).await,
        SenderCommand::Hash => {
            println!("{}", relay::hash_password(&new_password()?)?);
            Ok(exit::OK)
        }
    }
}

async fn add(args: &SenderAddArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let address = mailbox(&args.address)?;
    let aliases: Vec<Mailbox> = args.aliases.iter().map(|alias| mailbox(alias)).collect::<Result<_, _>>()?;
    for own in std::iter::once(&address).chain(&aliases) {
        if wiring::declares(&config, own) {
            return Err(anyhow::anyhow!("{own} is a [[sender]] of the configuration file already").into());
        }
    }
    let store = open_or_make(&config.store.database)?;
    if store.sender(address.as_str()).await?.is_some() {
        return Err(
            anyhow::anyhow!("{address} is there already; for a new password: waxseal sender passwd").into()
        );
    }
    let password_hash = Some(relay::hash_password(&new_password()?)?);
    let aliases = aliases.iter().map(ToString::to_string).collect();
    let record = SenderRecord { address: address.to_string(), aliases, password_hash, disabled: false };
    store.save_sender(record).await.context("the sender could not be added")?;
    store.close().await;
    eprintln!(
        "{address} can log in now. Nothing is tracked for a new sender until switched on: send one\n\
        message with the header field `X-Waxseal-Track: opens, links`, or set tracking.defaults."
    );
    Ok(exit::OK)
}

async fn passwd(args: &SenderArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let address = mailbox(&args.address)?;
    if wiring::declares(&config, &address) {
        return Err(anyhow::anyhow!(
            "{address} is a [[sender]] of the configuration file: change its password_hash there (waxseal sender hash)"
        )
        .into());
    }
    let store = open_or_make(&config.store.database)?;
    let Some(mut record) = store.sender(address.as_str()).await? else {
        return Err(anyhow::anyhow!("there is no sender {address}; waxseal sender add {address}").into());
    };
    record.password_hash = Some(relay::hash_password(&new_password()?)?);
    store.save_sender(record).await.context("the password could not be set")?;
    store.close().await;
    eprintln!("The new password of {address} is in force now.");
    Ok(exit::OK)
}

async fn list(args: &SenderListArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let mut senders: Vec<(SenderRecord, &str)> = config
        .senders
        .iter()
        .map(|sender| {
            let aliases = sender.aliases.iter().map(ToString::to_string).collect();
            let address = sender.address.to_string();
            let record = SenderRecord {
                address,
                aliases,
                password_hash: sender.password_hash.as_ref().map(|hash| hash.expose().to_owned()),
                disabled: false,
            };
            (record, "file")
        })
        .collect();
    if config.store.database.exists() {
        let store = open(&config.store.database)?;
        senders.extend(store.senders().await?.into_iter().map(|record| (record, "store")));
        store.close().await;
    }
    let mut out = io::stdout().lock();
    for (record, origin) in senders {
        if args.json {
            let line = serde_json::json!({
                "address": record.address, "aliases": record.aliases, "origin": origin,
                "can_log_in": record.password_hash.is_some() && !record.disabled,
            });
            writeln!(out, "{line}")?;
        } else {
            let aliases = if record.aliases.is_empty() {
                String::new()
            } else {
                format!("  also {}", record.aliases.join(", "))
            };
            writeln!(out, "{}{}  ({origin})", printable(&record.address), printable(&aliases))?;
        }
    }
    Ok(exit::OK)
}

pub(crate) fn mailbox(text: &str) -> anyhow::Result<Mailbox> {
    Mailbox::parse(text).with_context(|| format!("{text:?} is not an address"))
}

pub(crate) fn open_or_make(path: &Path) -> anyhow::Result<SqliteStore> {
    SqliteStore::open(path).with_context(|| format!("cannot open the store {}", path.display()))
}

/// From the prompt, or the first line of standard input: never from the command line, which others can see.
fn new_password() -> anyhow::Result<Secret> {
    let password = if io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ").context("no password could be read")?;
        let second = rpassword::prompt_password("Once more: ").context("no password could be read")?;
        if first != second {
            bail!("the two passwords differ");
        }
        first
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).context("no password could be read from standard input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    ensure!(
        password.chars().count() >= SHORTEST_PASSWORD,
        "a password needs at least {SHORTEST_PASSWORD} characters: it guards somebody's outgoing mail"
    );
    ensure!(!password.contains('\0'), "a password cannot hold a NUL");
    Ok(Secret::new(password))
}
