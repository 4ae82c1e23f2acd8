//! The rules that hits are judged by, from the operator's files or built in.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::verdict::{Lists, Rules};

/// Apple's own list has 12 MB; no list is larger than this.
const LARGEST_FILE_OCTETS: u64 = 64 << 20;
/// What the lists of crawlers are called; theirs is JSON.
const CRAWLERS: &str = "crawler-user-agents";

/// One thing that is wrong with the operator's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) file: PathBuf,
    /// Counted from 1.
    pub(crate) line: Option<usize>,
    /// One sentence.
    pub(crate) text: String,
}

/// The files of one list, as they are found in a folder.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) files: Vec<PathBuf>,
}

/// The rules of `file`, or the built-in ones, with the lists of `folder` in the place of those of the same name.
///
/// # Errors
/// Everything that is wrong with the files, at once.
pub(crate) fn read(file: Option<&Path>, folder: Option<&Path>) -> Result<Rules, Vec<Trouble>> {
    let mut troubles = Vec::new();
    let mut lists = Lists::builtin();
    let mut replaced = false;
    if let Some(folder) = folder {
        match read_lists(folder) {
            Ok(found) => {
                for list in found.info() {
                    lists.take(&found, &list.name);
                    replaced = true;
                }
            }
            Err(found) => troubles.extend(found),
        }
    }
    let text = match file.map(|file| (file, read_text(file))) {
        None if !replaced && troubles.is_empty() => return Ok(Rules::builtin()),
        None => Rules::builtin_text().to_owned(),
        Some((_, Ok(text))) => text,
        Some((file, Err(why))) => {
            troubles.push(Trouble::of(file, why));
            return Err(troubles);
        }
    };
    match Rules::parse_with(&text, &lists) {
        Ok(rules) if troubles.is_empty() => return Ok(rules),
        Ok(_) => {}
        Err(error) => {
            let file = file.unwrap_or(Path::new("(built in)"));
            troubles.extend(error.mistakes.into_iter().map(|mistake| Trouble {
                file: file.to_owned(),
                line: mistake.line,
                text: mistake.text,
            }));
        }
    }
    Err(troubles)
}

/// The lists of a folder.
///
/// # Errors
/// Everything that is wrong with its files, at once.
pub(crate) fn read_lists(folder: &Path) -> Result<Lists, Vec<Trouble>> {
    let mut lists = Lists::default();
    let mut troubles = Vec::new();
    let found = find(folder).map_err(|error| vec![Trouble::of(folder, why(&error))])?;
    for Found { name, files } in found {
        let mut text = String::new();
        for file in files {
            match read_entries(&name, &file) {
                Ok(more) => {
                    // Each alone first: only then is it known which file is wrong.
                    if let Err(error) = Lists::default().put(&name, &more, None) {
                        // Not the line itself: whoever names the wrong folder may have secrets there.
                        troubles.push(Trouble { file, line: Some(error.line), text: error.what.to_owned() });
                    }
                    text += &more;
                    if !text.ends_with('\n') {
                        text.push('\n');
                    }
                }
                Err(why) => troubles.push(Trouble::of(&file, why)),
            }
        }
        if troubles.is_empty() && lists.put(&name, &text, None).is_err() {
            troubles.push(Trouble::of(folder, format!("the files of {name} do not go together")));
        }
    }
    if troubles.is_empty() { Ok(lists) } else { Err(troubles) }
}

/// The lists that are in a folder: `NAME.txt`, `NAME.ipv4.txt` with `NAME.ipv6.txt` (or `ipv4_merged` and so on, as
/// lord-alfred/ipranges has them), Apple's `egress-ip-ranges.csv` and `crawler-user-agents.json`.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn find(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = list_name(file_name) else { continue };
        if path.is_file() {
            found.entry(name).or_default().push(path);
        }
    }
    let lists = found.into_iter().map(|(name, mut files)| {
        files.sort();
        Found { name, files }
    });
    Ok(lists.collect())
}

/// Which list a file is of.
fn list_name(file: &str) -> Option<String> {
    if file == "egress-ip-ranges.csv" {
        return Some("apple-proxy".to_owned());
    }
    if file == "crawler-user-agents.json" {
        return Some(CRAWLERS.to_owned());
    }
    let stem = file.strip_suffix(".txt")?;
    let name = ["ipv4_merged", "ipv6_merged", "ipv4", "ipv6"]
        .iter()
        .find_map(|family| stem.strip_suffix(family)?.strip_suffix('.'))
        .unwrap_or(stem);
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    plain.then(|| name.to_owned())
}

/// A list's text, one entry a line; JSON of crawlers is written out.
pub(crate) fn read_entries(name: &str, file: &Path) -> Result<String, String> {
    let text = read_text(file)?;
    if name != CRAWLERS || file.extension().is_none_or(|extension| extension != "json") {
        return Ok(text);
    }
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| format!("it is not a list in JSON: {error}"))?;
    let mut lines = String::new();
    for (at, entry) in entries.iter().enumerate() {
        let pattern = entry.get("pattern").and_then(serde_json::Value::as_str);
        let pattern = pattern.filter(|pattern| !pattern.trim().is_empty() && !pattern.contains('\n'));
        let Some(pattern) = pattern else { return Err(format!("entry {} has no \"pattern\"", at + 1)) };
        lines += pattern;
        lines.push('\n');
    }
    Ok(lines)
}

fn read_text(file: &Path) -> Result<String, String> {
    let read = || {
        // Opening a pipe would wait for somebody to write into it.
        if !fs::metadata(file)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut octets = Vec::new();
        File::open(file)?.take(LARGEST_FILE_OCTETS + 1).read_to_end(&mut octets)?;
        Ok(octets)
    };
    let octets = read().map_err(|error| why(&error))?;
    if octets.len() as u64 > LARGEST_FILE_OCTETS {
        return Err("it is too large".to_owned());
    }
    String::from_utf8(octets).map_err(|_| "it holds something else than text".to_owned())
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "we may not read it".to_owned(),
        io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
        _ => error.to_string(),
    }
}

impl Trouble {
    fn of(file: &Path, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, text: text.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.text),
            None => write!(f, "{}: {}", self.file.display(), self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_lists() {
        for (file, expected) in [
            ("apple-proxy.ipv4_merged.txt", Some("apple-proxy")),
            ("apple-proxy.ipv6.txt", Some("apple-proxy")),
            ("google.txt", Some("google")),
            ("egress-ip-ranges.csv", Some("apple-proxy")),
            ("crawler-user-agents.json", Some("crawler-user-agents")),
            ("README.md", None),
            (".txt", None),
            (".ipv4.txt", None),
            ("a b.txt", None),
            ("google.txt.part", None),
        ] {
            assert_eq!(list_name(file).as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn files_take_the_place_of_what_is_built_in() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("apple-proxy.ipv4_merged.txt", "# date: 2026-11-01\n198.18.7.0/24\n");
        write("apple-proxy.ipv6_merged.txt", "2001:db9::/32\n");
        write("crawler-user-agents.json", r#"[{"pattern": "wombat", "url": "x"}]"#);
        write("LICENSE", "words");
        let rules = read(None, Some(folder.path())).unwrap();
        let told = rules.networks_of("198.18.7.9".parse().ok(), None);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            rules.networks_of("104.28.42.1".parse().ok(), None).iter().all(|net| net.id != "apple_relay")
        );
        let mut evidence = ::verdict::Evidence::new(::verdict::Kind::Click);
        evidence.user_agent = Some("wombat/1".to_owned());
        assert_eq!(rules.judge(&evidence).reasons[0], "bot_list");
        assert_eq!(rules.lists().info().len(), Lists::names().count());

        write("google.txt", "198.18.0.0/24\nnonsense\n");
        write("amazon.txt", "1.2.3.4/99\n");
        let troubles = read(Some(&folder.path().join("none.toml")), Some(folder.path())).unwrap_err();
        let told: Vec<String> = troubles
            .iter()
            .map(|trouble| trouble.to_string().replace(&format!("{}/", folder.path().display()), ""))
            .collect();
        assert_eq!(
            told,
            [
                "amazon.txt:1: is not an address or a prefix",
                "google.txt:2: is not an address or a prefix",
                "none.toml: it is not there",
            ]
        );
    }

    #[test]
    fn a_missing_folder_is_told() {
        let troubles = read(None, Some(Path::new("/nonexistent/waxseal"))).unwrap_err();
        assert_eq!(troubles[0].to_string(), "/nonexistent/waxseal: it is not there");
    }
}
