//! The configuration file: what may stand in it, what is wrong with it, what it means.
//!
//! [`load`] reads downward: the text becomes a TOML tree with positions, the tree is walked against the one
//! table of keys, the rules that look at several keys follow, and either a [`Config`] comes out or every
//! mistake at once. Nothing of the file is ever printed that is not known to be harmless.

mod address_pattern;
mod document;
mod endpoint;
mod example;
mod forms;
mod geo;
mod handing_on;
mod keys;
mod listening;
mod network;
mod privacy;
mod problems;
mod reading;
mod resolving;
mod settings;
mod source;
mod suggestion;
mod surroundings;
#[cfg(test)]
mod tests;
mod units;
mod unsubscribing;

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::de::DeTable;

use document::Document;
use problems::Complaint;
use resolving::Resolving;
use source::Source;
use surroundings::{Surroundings, read_whole};

pub use address_pattern::AddressPattern;
pub use example::example;
pub use network::Network;
pub use problems::{ProblemKind, Problems};
pub use settings::*;

/// Some 5,000 senders; more belong into the store.
const LARGEST_CONFIG_OCTETS: u64 = 1 << 20;
const READABLE_BY_ALL: u32 = 0o004;

/// Reads and checks the configuration in `path`. Changes nothing; opens the files that it names, and no port.
///
/// # Errors
/// Every mistake at once; [`Problems::kind`] says whether the file could be read at all.
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_for(path, true)
}

/// The same for a node that redirects and hands no mail on: it needs no upstream.
///
/// # Errors
/// As [`load`].
pub fn load_for_tracking(path: &Path) -> Result<Config, Problems> {
    load_for(path, false)
}

fn load_for(path: &Path, hands_on: bool) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
    let mode = file.metadata().map_err(|error| unreadable(&name, &error))?.permissions().mode();
    let octets = read_whole(&file, LARGEST_CONFIG_OCTETS).map_err(|error| unreadable(&name, &error))?;
    let base = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let surroundings = Surroundings {
        file: &name,
        base,
        readable_by_all: mode & READABLE_BY_ALL != 0,
        hands_on,
        environment: &|name| std::env::var_os(name),
    };
    let text = std::str::from_utf8(&octets).map_err(|error| {
        let line = octets[..error.valid_up_to()].split(|octet| *octet == b'\n').count();
        let message = format!("the file is not text in UTF-8: line {line} holds other octets");
        Problems::unreadable(&name, ProblemKind::Config, message, None)
    })?;
    check(text, &name, &surroundings)
}

/// Checks `text`, which `name` stands for in messages; relative paths in it start from the folder `base`.
///
/// A password in it is taken to be well kept: whoever reads a file uses [`load`].
///
/// # Errors
/// Every mistake at once.
pub fn parse(text: &str, name: &str, base: &Path) -> Result<Config, Problems> {
    let environment = |name: &str| std::env::var_os(name);
    let surroundings =
        Surroundings { file: name, base, readable_by_all: false, hands_on: true, environment: &environment };
    check(text, name, &surroundings)
}

fn check(text: &str, name: &str, surroundings: &Surroundings<'_>) -> Result<Config, Problems> {
    let mut source = Source::new(text);
    let mut complaints = Vec::new();
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What cannot be read cannot be told apart from a secret: no line of such a file is shown, and
        // names in it may be parts of a value whose quotation mark is missing.
        complaints.extend(errors.iter().enumerate().map(|(number, error)| syntax_error(error, number == 0)));
        return Err(Problems::new(name, complaints, &source));
    }
    let document = Document::walk(table.get_ref(), &mut source, &mut complaints);
    let config = Resolving { document: &document, surroundings, complaints: &mut complaints }.config();
    match config {
        Some(config) if complaints.is_empty() => return Ok(config),
        // Without a word there would be nothing to act on.
        None if complaints.is_empty() => {
            complaints.push(Complaint::new("Waxseal cannot use this file and does not know why"));
        }
        _ => {}
    }
    Err(Problems::new(name, complaints, &source))
}

const NEEDS_QUOTES: &str = "text stands between two quotation marks: host = \"smtp.provider.example\"";
const REST_LATER: &str = "The rest of the file is checked once it can be read";

/// The words of the TOML parser are its own, never the file's.
fn syntax_error(error: &toml::de::Error, is_first: bool) -> Complaint {
    let complaint = Complaint::new(format!("this is not TOML: {}", error.message()));
    let complaint = match error.span() {
        Some(span) => complaint.at(span, ""),
        None => complaint,
    };
    let unquoted = error.message().contains("must be quoted") || error.message().starts_with("invalid ");
    match (unquoted, is_first) {
        (true, true) => complaint.help(format!("{NEEDS_QUOTES}. {REST_LATER}")),
        (true, false) => complaint.help(NEEDS_QUOTES),
        (false, true) => complaint.help(REST_LATER),
        (false, false) => complaint,
    }
}

fn unreadable(name: &str, error: &io::Error) -> Problems {
    let (kind, why) = match error.kind() {
        io::ErrorKind::NotFound => (ProblemKind::NotFound, "there is no such file".to_owned()),
        io::ErrorKind::PermissionDenied => (ProblemKind::NoPermission, "not permitted".to_owned()),
        io::ErrorKind::FileTooLarge => {
            (ProblemKind::Config, format!("it has more than {LARGEST_CONFIG_OCTETS} octets"))
        }
        _ => (ProblemKind::Config, error.to_string()),
    };
    let help = match kind {
        ProblemKind::NotFound => Some("say where it is with -c FILE".to_owned()),
        ProblemKind::NoPermission => Some("run as the user that Waxseal runs as".to_owned()),
        ProblemKind::Config => None,
    };
    Problems::unreadable(name, kind, format!("the configuration cannot be read: {why}"), help)
}
