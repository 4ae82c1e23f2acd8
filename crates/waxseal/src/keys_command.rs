use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use envelope::{Clock, SystemClock};
use seal::{KeyInfo, Keys};

use crate::check;
use crate::cli::{
    ConfigArg, KeysCommand, KeysExportArgs, KeysImportArgs, KeysListArgs, KeysRotateArgs, Part,
};
use crate::config::Config;
use crate::exit::{self, Failure, Outcome};
use crate::key_file::{self, Changing};
use crate::output::local_time;

/// A key file of a hundred thousand keys is larger than any; what is longer is another file.
const LARGEST_KEY_FILE: u64 = 10 << 20;

/// `waxseal keys …`.
pub(crate) fn keys(command: KeysCommand) -> Outcome {
    match command {
        KeysCommand::List(args) => list(&args),
        KeysCommand::Rotate(args) => rotate(&args),
        KeysCommand::Export(args) => export(&args),
        KeysCommand::Import(args) => import(&args),
    }
}

/// Also a file that is only for a node that redirects.
fn read(args: &ConfigArg) -> Result<Config, Failure> {
    check::read_for(&args.config, Some(Part::Track))
}

fn list(args: &KeysListArgs) -> Outcome {
    let config = read(&args.config)?;
    let file = &config.store.signing_key_file;
    let keys = existing(file)?;
    let mut out = io::stdout().lock();
    if !args.json {
        writeln!(out, "{}", file.display())?;
    }
    for key in keys.list() {
        if args.json {
            let made_at = key.made_at.map(|at| at.to_string());
            let line = serde_json::json!({
                "id": key.id, "signs": key.signs, "made_at": made_at, "file": file.display().to_string(),
            });
            writeln!(out, "{line}")?;
        } else {
            let made = key.made_at.map_or_else(|| "at an unknown time".to_owned(), local_time);
            let does = if key.signs { "signs new links" } else { "opens old links" };
            writeln!(out, "  {}  made {made:<19}  {does}", key.id)?;
        }
    }
    Ok(exit::OK)
}

fn rotate(args: &KeysRotateArgs) -> Outcome {
    let config = read(&args.config)?;
    let changing = Changing::begin(&config.store.signing_key_file)?;
    let Some(mut keys) = changing.keys()? else { return Err(no_keys(changing.path())) };
    let now = SystemClock.now();
    if let Some(days) = args.if_older_than {
        let young = |at: envelope::Timestamp| now.since(at).as_secs() < u64::from(days) * 86_400;
        if let Some(signing) = signing(&keys).filter(|key| key.made_at.is_some_and(young)) {
            println!("{} signs already and is younger than {days} days; nothing was changed", signing.id);
            return Ok(exit::OK);
        }
    }
    let (signed, listed) = (signing(&keys).map(|key| key.id), keys.list().len());
    match &args.to {
        Some(id) => match keys.sign_with(id) {
            Some(true) => {}
            Some(false) => {
                println!("{id} signs already; nothing was changed");
                return Ok(exit::OK);
            }
            None => bail_usage(&format!("there is no key {id}; `waxseal keys list` shows those there are"))?,
        },
        None if args.prepare => {
            if let Some(key) = prepared(&keys) {
                println!("{} is prepared already; nothing was changed", key.id);
                return Ok(exit::OK);
            }
            keys.prepare(key_file::secret()?, now);
        }
        None => keys.rotate_at(key_file::secret()?, now),
    }
    let backup = changing.replace(&keys)?;
    let (now_signs, signed) =
        (signing(&keys).map(|key| key.id).unwrap_or_default(), signed.unwrap_or_default());
    if args.prepare {
        let new = keys.list().get(listed).map(|key| key.id.clone()).unwrap_or_default();
        println!("{new} is prepared; {signed} goes on signing");
        eprintln!(
            "Give it to every other node (waxseal keys export, then import there) and restart them; then let it sign:\n\
             waxseal keys rotate --to {new}"
        );
    } else {
        println!("{now_signs} signs from the next start on; {signed} goes on opening");
        eprintln!(
            "A process that runs now signs with {signed} until it is restarted, and its links go on working.\n\
             Nodes that only redirect need the new key before the relay is restarted: waxseal keys export, then import there."
        );
    }
    tell_backup(backup.as_deref());
    Ok(exit::OK)
}

fn export(args: &KeysExportArgs) -> Outcome {
    let config = read(&args.config)?;
    let text = existing(&config.store.signing_key_file)?.to_text();
    let to_file = args.to.as_deref().filter(|file| *file != Path::new("-"));
    match to_file {
        Some(file) => write_new(file, &text)?,
        None if io::stdout().is_terminal() && !args.yes => {
            bail_usage("these are secrets, and this is a terminal: name a file, or add --yes")?;
        }
        None => io::stdout().lock().write_all(text.as_bytes())?,
    }
    eprintln!(
        "Secret: whoever has these keys can make links that look like yours. Move them over an encrypted way only,\n\
         and delete every copy that is neither a node's nor a backup's."
    );
    Ok(exit::OK)
}

fn import(args: &KeysImportArgs) -> Outcome {
    let config = read(&args.config)?;
    let theirs = read_from(&args.from)?;
    let changing = Changing::begin(&config.store.signing_key_file)?;
    let (keys, added) = if let Some(mut ours) = changing.keys()? {
        let added = ours.merge(&theirs);
        (ours, added)
    } else {
        // What a backup or another node signs with, this one does too.
        let added = theirs.list().len();
        (theirs, added)
    };
    if added == 0 {
        println!("all of them are there already; nothing was changed");
        return Ok(exit::OK);
    }
    let backup = changing.replace(&keys)?;
    let plural = if added == 1 { "key" } else { "keys" };
    let signs = signing(&keys).map(|key| key.id).unwrap_or_default();
    println!("{added} {plural} added to {}; {signs} signs", changing.path().display());
    eprintln!("A process that runs now opens with them once it is restarted.");
    tell_backup(backup.as_deref());
    Ok(exit::OK)
}

/// The keys, which a command that looks at them does not make.
fn existing(file: &Path) -> Result<Keys, Failure> {
    if file.try_exists().unwrap_or(true) { Ok(key_file::read(file)?) } else { Err(no_keys(file)) }
}

fn no_keys(file: &Path) -> Failure {
    let error = anyhow::anyhow!(
        "there are no keys at {} yet: `waxseal run` makes them, `waxseal keys import` brings those of another node or a backup",
        file.display()
    );
    Failure::new(exit::NO_INPUT, error)
}

fn signing(keys: &Keys) -> Option<KeyInfo> {
    keys.list().into_iter().find(|key| key.signs)
}

/// The youngest key, made after the one that signs: it has not signed yet.
fn prepared(keys: &Keys) -> Option<KeyInfo> {
    let signs = signing(keys).and_then(|key| key.made_at);
    keys.list().into_iter().filter(|key| key.made_at > signs).max_by_key(|key| key.made_at)
}

fn tell_backup(backup: Option<&Path>) {
    if let Some(backup) = backup {
        eprintln!("What was there before is in {}.", backup.display());
    }
}

/// For its owner only. A file with another content that is there stays: it may be the only copy of something.
fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read_to_string(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let write = || {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} is there already and holds something else; name another file", file.display())
        }
        written => written.with_context(|| format!("cannot write {}", file.display())),
    }
}

fn read_from(file: &Path) -> anyhow::Result<Keys> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(LARGEST_KEY_FILE).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(LARGEST_KEY_FILE).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    Keys::parse(&text).with_context(|| format!("{} is not a key file", file.display()))
}

fn bail_usage(text: &str) -> Result<(), Failure> {
    Err(Failure::new(exit::USAGE, anyhow::anyhow!(text.to_owned())))
}
