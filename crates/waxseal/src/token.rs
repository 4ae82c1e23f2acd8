use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use console::{NewToken, Scope, new_token};
use envelope::{Clock, SystemClock};
use store::{ApiTokens, MOST_API_TOKENS};

use crate::app_password::login;
use crate::check;
use crate::cli::{TokenAddArgs, TokenCommand, TokenListArgs, TokenRemoveArgs};
use crate::exit::{self, Outcome};
use crate::messages::open;
use crate::output::printable;
use crate::sender::{mailbox, open_or_make};

const LONGEST_LABEL: usize = 100;
const DAY: Duration = Duration::from_hours(24);

/// `waxseal token …`.
pub(crate) async fn token(command: TokenCommand) -> Outcome {
    match command {
        TokenCommand::Add(args) => add(&args).await,
        TokenCommand::List(args) => list(&args).await,
        TokenCommand::Remove(args) => remove(&args).await,
    }
}

async fn add(args: &TokenAddArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let scopes = args.scope.iter().map(|word| scope(word)).collect::<anyhow::Result<Vec<_>>>()?;
    let label = label(&args.label)?;
    let store = open_or_make(&config.store.database)?;
    let owner = login(&config, &store, &mailbox(&args.address)?).await?;
    if store.api_tokens(Some(&owner)).await?.len() >= MOST_API_TOKENS as usize {
        return Err(anyhow!("{owner} has {MOST_API_TOKENS} tokens: remove some first").into());
    }
    let made_at = SystemClock.now();
    let ends_at = args.days.map(|days| made_at.plus(DAY * days));
    let (token, kept) = new_token(&NewToken { owner: &owner, label, scopes: &scopes, made_at, ends_at })?;
    let name = kept.name.clone();
    store.save_api_token(kept).await.context("the token could not be kept")?;
    store.close().await;
    println!("{}", token.expose());
    eprintln!(
        "Token {name} of {owner}, in force now. It is not shown again; waxseal token remove {name} ends it."
    );
    if config.console.is_none() {
        eprintln!("There is no API yet: `console.listen` is not set.");
    }
    Ok(exit::OK)
}

async fn list(args: &TokenListArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let owner = match &args.address {
        Some(address) => Some(login(&config, &store, &mailbox(address)?).await?),
        None => None,
    };
    let mut out = io::stdout().lock();
    for token in store.api_tokens(owner.as_deref()).await? {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&token).context("no JSON")?)?;
        } else {
            let end = token.ends_at.map(|end| format!(", until {end}")).unwrap_or_default();
            writeln!(
                out,
                "{}  {}  \"{}\"  {}, since {}{end}",
                token.name,
                printable(&token.owner),
                printable(&token.label),
                token.scopes,
                token.made_at
            )?;
        }
    }
    store.close().await;
    Ok(exit::OK)
}

async fn remove(args: &TokenRemoveArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    if store.api_token(&args.name).await?.is_none() {
        return Err(anyhow!("there is no token {:?}; waxseal token list", args.name).into());
    }
    store.remove_api_token(&args.name).await.context("the token could not be removed")?;
    store.close().await;
    eprintln!("The token {} is right no longer.", args.name);
    Ok(exit::OK)
}

fn scope(word: &str) -> anyhow::Result<Scope> {
    let Some(scope) = Scope::from_code(word.trim()) else {
        let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.code()).collect();
        bail!("{word:?} is no scope: {}", known.join(", "));
    };
    Ok(scope)
}

fn label(wanted: &str) -> anyhow::Result<&str> {
    let label = wanted.trim();
    let sound =
        !label.is_empty() && label.chars().count() <= LONGEST_LABEL && !label.chars().any(char::is_control);
    ensure!(sound, "a label is 1 to {LONGEST_LABEL} characters on one line");
    Ok(label)
}
