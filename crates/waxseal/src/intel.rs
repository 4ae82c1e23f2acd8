use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ::verdict::{ListInfo, Lists, Rules};
use anyhow::Context;
use envelope::{Clock, SystemClock, Timestamp};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::check;
use crate::cli::{IntelCommand, IntelListArgs, IntelUpdateArgs};
use crate::exit::{self, Failure, Outcome};
use crate::output::{printable, say};
use crate::rule_book::{self, Found, Trouble};

/// Shows and renews the lists by which people are told from machines.
pub(crate) fn intel(command: IntelCommand) -> Outcome {
    match command {
        IntelCommand::List(args) => list(&args),
        IntelCommand::Update(args) => update(&args),
        IntelCommand::Rules => {
            print!("{}", Rules::builtin_text());
            Ok(exit::OK)
        }
    }
}

/// Every list in use, with its date and where it is from.
fn list(args: &IntelListArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let folder = &config.intel.lists;
    let own = own_lists(folder)?;
    let rules = rule_book::read(config.intel.rules.as_deref(), folder.exists().then_some(folder.as_path()))
        .map_err(|troubles| refused(&troubles))?;
    let built_in = Lists::builtin().info();
    let lists = rules.lists().info();
    let own: Vec<String> = own.info().into_iter().map(|list| list.name).collect();
    let width = lists.iter().map(|list| list.name.len()).max().unwrap_or(0);
    if !args.json {
        say(&format!("rules {}: {}", printable(rules.version()), origin(config.intel.rules.as_deref())));
    }
    for list in &lists {
        let replaced = own.contains(&list.name);
        let newer = built_in
            .iter()
            .find(|known| known.name == list.name)
            .filter(|known| replaced && known.date > list.date);
        if args.json {
            let line = json!({
                "name": list.name,
                "entries": list.entries,
                "date": list.date,
                "source": list.source,
                "built_in": !replaced,
                "used": rules.list_names().contains(&list.name),
            });
            say(&line.to_string());
            continue;
        }
        let place = if replaced { folder.display().to_string() } else { "built in".to_owned() };
        let note = newer.map_or("", |_| "; the one built in is newer");
        say(&format!(
            "{:width$}  {:>6} entries  {:10}  {}  ({}{note})",
            printable(&list.name),
            list.entries,
            printable(list.date.as_deref().unwrap_or("no date")),
            printable(list.source.as_deref().unwrap_or("source not said")),
            printable(&place),
        ));
    }
    Ok(exit::OK)
}

/// Takes lists from a folder into use, once each is seen to be whole.
fn update(args: &IntelUpdateArgs) -> Outcome {
    let folder = match &args.to {
        Some(folder) => folder.clone(),
        None => check::read(&args.config.config)?.intel.lists,
    };
    let used = rules_names(args);
    let found = rule_book::find(&args.from)
        .with_context(|| format!("cannot read the folder {}", args.from.display()))
        .map_err(|error| Failure::new(exit::NO_INPUT, error))?;
    let (found, unused): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|list| used.contains(&list.name));
    for list in &unused {
        eprintln!("{}: not used by the rules, left alone", printable(&list.name));
    }
    if found.is_empty() {
        let error = anyhow::anyhow!(
            "there is no list in {}: a list is a file NAME.txt, NAME.ipv4_merged.txt or NAME.ipv6_merged.txt with one \
             of the names {}; or egress-ip-ranges.csv, or crawler-user-agents.json",
            args.from.display(),
            used.join(", ")
        );
        return Err(Failure::new(exit::NO_INPUT, error));
    }
    let mut current = Lists::builtin();
    let own = own_lists(&folder)?;
    for list in own.info() {
        current.take(&own, &list.name);
    }

    let mut fresh = Vec::new();
    let (mut troubles, mut doubtful) = (Vec::new(), false);
    for list in &found {
        match read(list, args, &current) {
            Ok(read) => {
                doubtful |= tell(list, &current, &read);
                fresh.push(read);
            }
            Err(wrong) => troubles.extend(wrong),
        }
    }
    if !troubles.is_empty() {
        return Err(refused(&troubles));
    }
    if doubtful && !args.force {
        let error = anyhow::anyhow!(
            "nothing was changed: see the lines above; where the lists are right all the same, add --force"
        );
        return Err(Failure::new(exit::FAILED, error));
    }
    if args.dry_run {
        eprintln!("nothing was changed (--dry-run)");
        return Ok(exit::OK);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for list in &fresh {
        write(&folder, list)
            .with_context(|| format!("cannot write {} into {}", list.name, folder.display()))?;
    }
    eprintln!(
        "{} lists are in {}; `waxseal run` uses them from its next start",
        fresh.len(),
        folder.display()
    );
    Ok(exit::OK)
}

/// A list as it came, read.
struct Fresh {
    name: String,
    text: String,
    lists: Lists,
    doubts: Vec<String>,
}

fn read(found: &Found, args: &IntelUpdateArgs, current: &Lists) -> Result<Fresh, Vec<Trouble>> {
    let mut troubles = Vec::new();
    let mut doubts = Vec::new();
    let (mut text, mut latest) = (String::new(), None);
    for file in &found.files {
        let entries = match rule_book::read_entries(&found.name, file) {
            Ok(entries) => entries,
            Err(text) => {
                troubles.push(Trouble { file: file.clone(), line: None, text });
                continue;
            }
        };
        if !entries.ends_with('\n') {
            let file = file.file_name().unwrap_or_default().to_string_lossy();
            doubts.push(format!("may have been cut: {file} does not end with a line end"));
        }
        if let Err(error) = Lists::default().put(&found.name, &entries, None) {
            troubles.push(Trouble {
                file: file.clone(),
                line: Some(error.line),
                text: error.what.to_owned(),
            });
        }
        latest = latest.max(changed_on(file));
        text += &entries;
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    // What the list says of itself is best; then what the person says; then when the file was written, which is no
    // news where nothing else is.
    let mut bare = Lists::default();
    let is_same = bare.put(&found.name, &text, None).is_ok() && {
        let change = current.change(&bare, &found.name);
        change.added == 0 && change.removed == 0
    };
    let known = current.info().into_iter().find(|list| list.name == found.name).filter(|_| is_same);
    let date = args.date.clone().or_else(|| known.as_ref()?.date.clone()).or(latest);
    if bare.info().first().is_none_or(|list| list.source.is_none()) {
        let source = known.and_then(|list| list.source).unwrap_or_else(|| args.from.display().to_string());
        text = format!("# source: {}\n{text}", source.replace('\n', " "));
    }
    let mut lists = Lists::default();
    if troubles.is_empty()
        && let Err(error) = lists.put(&found.name, &text, date.as_deref())
    {
        let text = error.what.to_owned();
        troubles.push(Trouble { file: PathBuf::from(&found.name), line: Some(error.line), text });
    }
    if troubles.is_empty() {
        Ok(Fresh { name: found.name.clone(), text, lists, doubts })
    } else {
        Err(troubles)
    }
}

/// Says what would change. True if something speaks against it.
fn tell(found: &Found, current: &Lists, fresh: &Fresh) -> bool {
    let change = current.change(&fresh.lists, &found.name);
    let date = |lists: &Lists| {
        let list = lists.info().into_iter().find(|list| list.name == found.name);
        list.and_then(|list| list.date).unwrap_or_else(|| "no date".to_owned())
    };
    say(&format!(
        "{}: {} → {} entries, {} added, {} removed ({} → {})",
        printable(&found.name),
        change.before,
        change.after,
        change.added,
        change.removed,
        printable(&date(current)),
        printable(&date(&fresh.lists)),
    ));
    let doubts: Vec<&String> = change.doubts.iter().chain(&fresh.doubts).collect();
    for doubt in &doubts {
        eprintln!("warning: {} {}", printable(&found.name), printable(doubt));
    }
    !doubts.is_empty()
}

/// All of it or nothing: the old file stays until the new one is on disk.
fn write(folder: &Path, list: &Fresh) -> anyhow::Result<()> {
    let info: Vec<ListInfo> = list.lists.info();
    let info = info.first().context("the list is gone")?;
    let mut text = format!("# {}\n", list.name);
    if let Some(date) = &info.date {
        text += &format!("# date: {date}\n");
    }
    if let Some(source) = &info.source {
        text += &format!("# source: {source}\n");
    }
    for line in list.text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        text += line.trim_start_matches('\u{feff}');
        text.push('\n');
    }
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    // The relay may run as another user than whoever brings the lists.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode)?;
    let target = folder.join(format!("{}.txt", list.name));
    file.persist(&target)?;
    // The same list in files of its families would come beside it.
    for found in rule_book::find(folder)?.into_iter().filter(|found| found.name == list.name) {
        for other in found.files.iter().filter(|other| **other != target) {
            fs::remove_file(other)?;
        }
    }
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// What is in the folder now; a folder that is not there holds nothing.
fn own_lists(folder: &Path) -> Result<Lists, Failure> {
    if !folder.exists() {
        return Ok(Lists::default());
    }
    rule_book::read_lists(folder).map_err(|troubles| refused(&troubles))
}

/// The names of the lists that the rules in use ask for.
fn rules_names(args: &IntelUpdateArgs) -> Vec<String> {
    let mut names: Vec<String> = Lists::names().map(str::to_owned).collect();
    // With --to there need be no configuration.
    if args.to.is_none()
        && let Ok(config) = check::read(&args.config.config)
        && let Ok(rules) = rule_book::read(config.intel.rules.as_deref(), None)
    {
        names.extend(rules.list_names());
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn origin(file: Option<&Path>) -> String {
    file.map_or_else(|| "built in".to_owned(), |file| printable(&file.display().to_string()))
}

/// The day a file was last written, in UTC; `None` if the system does not say, or says that it is to come.
fn changed_on(file: &Path) -> Option<String> {
    let changed = fs::metadata(file).ok()?.modified().ok()?;
    let millis = i64::try_from(changed.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()?;
    (Timestamp::from_unix_millis(millis) <= SystemClock.now()).then_some(())?;
    let at = jiff::Timestamp::from_millisecond(millis).ok()?;
    Some(at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string())
}

fn refused(troubles: &[Trouble]) -> Failure {
    for trouble in troubles {
        eprintln!("error: {}", printable(&trouble.to_string()));
    }
    eprintln!("nothing was changed");
    Failure::told(exit::FAILED)
}
