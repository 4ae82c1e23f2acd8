use std::io::{self, Write};

use anyhow::{Context, bail, ensure};
use envelope::{Clock, Mailbox, SystemClock};
use store::{AppPassword, MOST_APP_PASSWORDS, Store};

use crate::check;
use crate::cli::{AppPasswordAddArgs, AppPasswordCommand, AppPasswordListArgs, AppPasswordRemoveArgs};
use crate::config::Config;
use crate::exit::{self, Outcome};
use crate::messages::open;
use crate::output::printable;
use crate::sender::{mailbox, open_or_make};

const LONGEST_LABEL: usize = 100;

/// `waxseal sender app-password …`.
pub(crate) async fn app_password(command: AppPasswordCommand) -> Outcome {
    match command {
        AppPasswordCommand::Add(args) => add(&args).await,
        AppPasswordCommand::List(args) => list(&args).await,
        AppPasswordCommand::Remove(args) => remove(&args).await,
    }
}

async fn add(args: &AppPasswordAddArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open_or_make(&config.store.database)?;
    let login = login(&config, &store, &mailbox(&args.address)?).await?;
    let kept = store.app_passwords(&login).await?;
    if kept.len() >= MOST_APP_PASSWORDS as usize {
        return Err(anyhow::anyhow!("{login} has {} app passwords: remove some first", kept.len()).into());
    }
    let label = label(args.label.as_deref(), &kept)?;
    let (password, record) = relay::new_app_password(&login, &label, SystemClock.now())?;
    store.save_app_password(record).await.context("the app password could not be added")?;
    store.close().await;
    println!("{}", password.expose());
    eprintln!(
        "The app password \"{}\" of {login}, in force now. It is not shown again; for another program make another.",
        printable(&label)
    );
    Ok(exit::OK)
}

async fn list(args: &AppPasswordListArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let login = login(&config, &store, &mailbox(&args.address)?).await?;
    let mut out = io::stdout().lock();
    for password in store.app_passwords(&login).await? {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&password).context("no JSON")?)?;
        } else {
            writeln!(out, "{}  {}", password.made_at, printable(&password.label))?;
        }
    }
    store.close().await;
    Ok(exit::OK)
}

async fn remove(args: &AppPasswordRemoveArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let login = login(&config, &store, &mailbox(&args.address)?).await?;
    let kept = store.app_passwords(&login).await?;
    if !kept.iter().any(|password| password.label.eq_ignore_ascii_case(&args.label)) {
        return Err(anyhow::anyhow!(
            "{login} has no app password {:?}; waxseal sender app-password list {login}",
            args.label
        )
        .into());
    }
    store.remove_app_password(&login, &args.label).await.context("the app password could not be removed")?;
    store.close().await;
    eprintln!("The app password \"{}\" of {login} is right no longer.", printable(&args.label));
    Ok(exit::OK)
}

/// The login behind an address or alias, of the file or of the store.
pub(crate) async fn login(config: &Config, store: &impl Store, address: &Mailbox) -> anyhow::Result<String> {
    let declared = config.senders.iter().find(|sender| {
        std::iter::once(&sender.address).chain(&sender.aliases).any(|own| own.same_mailbox(address))
    });
    if let Some(sender) = declared {
        return Ok(sender.address.to_string());
    }
    match store.sender(address.as_str()).await? {
        Some(sender) => Ok(sender.address),
        None => bail!("there is no sender {address}; waxseal sender add {address}"),
    }
}

/// What was asked for, or the first free number.
fn label(wanted: Option<&str>, kept: &[AppPassword]) -> anyhow::Result<String> {
    let is_taken = |label: &str| kept.iter().any(|password| password.label.eq_ignore_ascii_case(label));
    let Some(label) = wanted else {
        let mut numbers = (1..).map(|number: u32| format!("app-{number}"));
        return numbers.find(|label| !is_taken(label)).context("all numbers are taken");
    };
    ensure!(
        !label.trim().is_empty()
            && label.chars().count() <= LONGEST_LABEL
            && !label.chars().any(char::is_control),
        "a label is a line of at most {LONGEST_LABEL} characters"
    );
    ensure!(
        !is_taken(label),
        "there is an app password \"{label}\" already: remove it, or choose another label"
    );
    Ok(label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::Timestamp;

    #[test]
    fn labels() {
        let kept: Vec<AppPassword> = ["app-1", "Phone"]
            .map(|label| {
                relay::new_app_password("a@b.example", label, Timestamp::from_unix_millis(0)).unwrap().1
            })
            .into();
        assert_eq!(label(None, &kept).unwrap(), "app-2");
        assert_eq!(label(Some("desk 1"), &kept).unwrap(), "desk 1");
        for wrong in ["", " ", "phone", "a\nb", &"x".repeat(101)] {
            assert!(label(Some(wrong), &kept).is_err(), "{wrong:?}");
        }
    }
}
