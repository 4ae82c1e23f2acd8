use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use envelope::SystemClock;
use relay::{Intake, IntakeError, Taken};
use serde_json::json;

use crate::backstage::as_json;
use crate::check;
use crate::cli::IngestArgs;
use crate::exit::{self, Failure, Outcome};
use crate::key_file;
use crate::messages::open;
use crate::output::printable;
use crate::wiring;

/// A report brings back a message at most, and some words. A longer one is cut: what counts stands at its beginning.
const MOST_OCTETS: u64 = 50 << 20;

/// `waxseal ingest`: bounces and complaints from standard input, files or a Maildir.
///
/// Statuses are those a mail server knows from a program it pipes mail to (sysexits): 65 what is no report about
/// our mail, 75 try again later.
pub(crate) async fn ingest(args: &IngestArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let keys = Arc::new(key_file::read_or_make(&config.store.signing_key_file)?);
    let intake = wiring::intake(&config, Arc::new(store.clone()), keys, Arc::new(SystemClock));
    let outcome = match (&args.maildir, args.files.is_empty()) {
        (Some(maildir), _) => of_maildir(&intake, maildir, args.json).await,
        (None, true) => one(&intake, "standard input", &octets_of(io::stdin().lock())?, args.json).await,
        (None, false) => of_files(&intake, &args.files, args.json).await,
    };
    store.close().await;
    outcome
}

async fn of_files(intake: &Intake, files: &[PathBuf], json: bool) -> Outcome {
    let mut worst = exit::OK;
    for file in files {
        let octets = read(file)?;
        worst = worst.max(one(intake, &file.display().to_string(), &octets, json).await?);
    }
    Ok(worst)
}

/// What was taken moves from `new` to `cur` and is marked as seen there; what was not stays where it is.
async fn of_maildir(intake: &Intake, maildir: &Path, json: bool) -> Outcome {
    let (new, cur) = (maildir.join("new"), maildir.join("cur"));
    if !cur.is_dir() {
        let error = anyhow!("{} is no Maildir: it has no folder \"cur\"", maildir.display());
        return Err(Failure::new(exit::NO_INPUT, error));
    }
    let entries = std::fs::read_dir(&new).with_context(|| format!("cannot list {}", new.display()));
    let entries = entries.map_err(|error| Failure::new(exit::NO_INPUT, error))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.is_file());
    files.sort();
    let mut worst = exit::OK;
    for file in &files {
        let status = one(intake, &file.display().to_string(), &read(file)?, json).await?;
        worst = worst.max(status);
        if status == exit::OK
            && let Some(name) = file.file_name().and_then(|name| name.to_str())
        {
            let seen = cur.join(format!("{}:2,S", name.split(":2,").next().unwrap_or(name)));
            std::fs::rename(file, &seen).with_context(|| format!("cannot move {}", file.display()))?;
        }
    }
    Ok(worst)
}

async fn one(intake: &Intake, name: &str, octets: &[u8], json: bool) -> Outcome {
    match intake.take(octets).await {
        Ok(taken) => {
            tell(name, &taken, json)?;
            Ok(exit::OK)
        }
        Err(IntakeError::Store(error)) => {
            Err(Failure::new(exit::TEMPORARY, anyhow!("{name}: the report could not be recorded: {error}")))
        }
        Err(refused) => {
            if json {
                println!("{}", json!({ "source": name, "error": refused.to_string() }));
            }
            eprintln!("{}: {refused}", printable(name));
            Ok(exit::DATA)
        }
    }
}

fn tell(name: &str, taken: &Taken, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let mut line = as_json(taken);
        line["source"] = name.into();
        return writeln!(out, "{line}");
    }
    if taken.items.is_empty() {
        writeln!(out, "{}: about message {}, nothing bad", printable(name), taken.message)?;
    }
    for item in &taken.items {
        let address = item.address.as_deref().unwrap_or("one of its recipients");
        let status = item.status.as_deref().map(|status| format!(" ({status})")).unwrap_or_default();
        writeln!(
            out,
            "{}: message {}, {}: {}{}",
            printable(name),
            taken.message,
            printable(address),
            item.kind,
            printable(&status)
        )?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()));
    octets_of(opened.map_err(|error| Failure::new(exit::NO_INPUT, error))?)
}

fn octets_of(source: impl Read) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let read = source.take(MOST_OCTETS).read_to_end(&mut octets).context("cannot read the report");
    read.map_err(|error| Failure::new(exit::NO_INPUT, error))?;
    Ok(octets)
}
