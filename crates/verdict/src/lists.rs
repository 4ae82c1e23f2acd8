use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crawlers;
use crate::prefix::Prefix;

/// Lists that others keep and that age: whose addresses are whose, and how crawlers call themselves.
///
/// Each is a text of one entry a line. Lines that begin with `#` are comments, and two of them are read:
/// `# date: 2026-08-22` and `# source: …`. A list that is missing makes verdicts less certain, never wrong.
/// Clones share their lists.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    networks: BTreeMap<String, Arc<NetworkList>>,
    crawlers: Option<Arc<CrawlerList>>,
}

/// Whose addresses.
#[derive(Debug)]
pub(crate) struct NetworkList {
    pub(crate) head: Head,
    pub(crate) prefixes: Vec<Prefix>,
}

/// Patterns of crawlers' agents.
#[derive(Debug)]
pub(crate) struct CrawlerList {
    head: Head,
    pub(crate) patterns: Vec<String>,
}

/// What a list says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) date: Option<String>,
    source: Option<String>,
}

/// One list, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListInfo {
    /// What a rules file calls it.
    pub name: String,
    /// Networks or patterns.
    pub entries: usize,
    /// When it was published: `2026-08-22`.
    pub date: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
}

/// A line of a list is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \"{text}\" {what}")]
pub struct ListError {
    /// Counted from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
    /// What is wrong with it.
    pub what: &'static str,
}

macro_rules! built_in {
    ($($name:literal: $($family:literal)+;)+) => {
        &[$(($name, concat!($(include_str!(concat!(
            "../../../config/networks/", $name, ".", $family, "_merged.txt"
        ))),+))),+]
    };
}

/// `config/networks/`: CC0, with its date in the README there.
const NETWORKS: &[(&str, &str)] = built_in! {
    "amazon": "ipv4" "ipv6";
    "apple-proxy": "ipv4" "ipv6";
    "digitalocean": "ipv4" "ipv6";
    "google": "ipv4" "ipv6";
    "linode": "ipv4" "ipv6";
    "microsoft": "ipv4" "ipv6";
    "oracle": "ipv4";
    "vultr": "ipv4" "ipv6";
};

/// What the files of `config/networks/` say of themselves together; a test compares.
const NETWORKS_DATE: &str = "2026-08-22";
const NETWORKS_SOURCE: &str = "lord-alfred/ipranges, CC0-1.0";

impl Lists {
    /// The lists this version was built with.
    pub fn builtin() -> Self {
        let mut lists = Self::default();
        let head = Head { date: Some(NETWORKS_DATE.to_owned()), source: Some(NETWORKS_SOURCE.to_owned()) };
        for (name, text) in NETWORKS {
            // A test reads each; a line that fails here would only make verdicts less certain.
            let prefixes = text.lines().filter_map(Prefix::parse).filter(|prefix| !prefix.is_for_examples());
            let list = NetworkList { head: head.clone(), prefixes: prefixes.collect() };
            lists.networks.insert((*name).to_owned(), Arc::new(list));
        }
        lists.crawlers = Some(Arc::new(CrawlerList {
            head: Head::read(crawlers::BUILT_IN),
            patterns: patterns(crawlers::BUILT_IN).map(|(_, line)| line.to_owned()).collect(),
        }));
        lists
    }

    /// The names the built-in rules use.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NETWORKS.iter().map(|(name, _)| *name).chain([crawlers::NAME])
    }

    /// Adds a list, or replaces the one of that name: of networks, or of crawlers' patterns where it is that name.
    ///
    /// Of a line of networks only what stands before the first comma is looked at, so that Apple's own
    /// `egress-ip-ranges.csv` can be read. A list without a date takes `date`.
    pub fn put(&mut self, name: &str, text: &str, date: Option<&str>) -> Result<(), ListError> {
        let mut head = Head::read(text);
        if head.date.is_none() {
            head.date = date.map(str::to_owned);
        }
        if name == crawlers::NAME {
            let list: Vec<String> = patterns(text).map(|(_, line)| line.to_owned()).collect();
            if let Some(at) = crawlers::first_wrong(&list) {
                let (line, text) = patterns(text).nth(at).unwrap_or_default();
                return Err(ListError::new(line, text, "is not a pattern"));
            }
            self.crawlers = Some(Arc::new(CrawlerList { head, patterns: list }));
            return Ok(());
        }
        let mut prefixes = Vec::new();
        for (at, line) in entries(text) {
            let first = line.split(',').next().unwrap_or_default().trim();
            let Some(prefix) = Prefix::parse(first) else {
                return Err(ListError::new(at, line, "is not an address or a prefix"));
            };
            if !prefix.is_for_examples() {
                prefixes.push(prefix);
            }
        }
        self.networks.insert(name.to_owned(), Arc::new(NetworkList { head, prefixes }));
        Ok(())
    }

    /// Every list there is.
    pub fn info(&self) -> Vec<ListInfo> {
        let networks = self.networks.iter().map(|(name, list)| list.head.info(name, list.prefixes.len()));
        let crawlers = self.crawlers.iter().map(|list| list.head.info(crawlers::NAME, list.patterns.len()));
        networks.chain(crawlers).collect()
    }

    pub(crate) fn network(&self, name: &str) -> Option<&Arc<NetworkList>> {
        self.networks.get(name)
    }

    pub(crate) fn crawlers(&self) -> Option<&Arc<CrawlerList>> {
        self.crawlers.as_ref()
    }
}

impl Head {
    fn read(text: &str) -> Self {
        let comments =
            || text.lines().map_while(|line| line.trim_start_matches('\u{feff}').strip_prefix('#'));
        let field = |name: &str| {
            comments().find_map(|comment| {
                let (found, value) = comment.split_once(':')?;
                (found.trim() == name).then(|| value.trim().chars().take(200).collect())
            })
        };
        Self { date: field("date"), source: field("source") }
    }

    fn info(&self, name: &str, entries: usize) -> ListInfo {
        ListInfo { name: name.to_owned(), entries, date: self.date.clone(), source: self.source.clone() }
    }
}

impl ListError {
    fn new(line: usize, text: &str, what: &'static str) -> Self {
        Self { line, text: text.chars().take(60).collect(), what }
    }
}

/// Every line that says something, with its number; blanks around it say nothing.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    patterns(text).map(|(at, line)| (at, line.trim()))
}

/// The same with the blanks, which belong to a pattern.
fn patterns(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim_start_matches('\u{feff}')))
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_built_in_lists_is_a_prefix() {
        let lists = Lists::builtin();
        for (name, text) in NETWORKS {
            let examples = if *name == "vultr" { 4 } else { 0 };
            assert_eq!(
                lists.network(name).unwrap().prefixes.len() + examples,
                entries(text).count(),
                "{name}"
            );
            assert!(text.ends_with('\n'), "{name}: concatenated files would run together");
        }
        assert!(include_str!("../../../config/networks/README.md").contains(NETWORKS_DATE));
        assert_eq!(lists.info().len(), Lists::names().count());
        assert!(lists.info().iter().all(|list| list.date.is_some() && list.source.is_some()));
    }

    #[test]
    fn a_bad_line_is_named() {
        let mut lists = Lists::default();
        let error = lists.put("mine", "# mine\n192.0.2.0/24\n\nnonsense\n", None).unwrap_err();
        assert_eq!(error.to_string(), "line 4: \"nonsense\" is not an address or a prefix");
        assert!(lists.network("mine").is_none());
        let error = lists.put(crawlers::NAME, "bot\n\n# one\n(crawl\n", None).unwrap_err();
        assert_eq!(error.to_string(), "line 4: \"(crawl\" is not a pattern");
        assert!(lists.crawlers().is_none());
    }

    #[test]
    fn lists_are_replaced_and_say_their_date() {
        let mut lists = Lists::default();
        lists.put("mine", "10.0.0.0/8\n10.0.0.0/9", None).unwrap();
        lists
            .put(
                "mine",
                "# date: 2026-11-01\n# source: me\n192.0.2.0/25\n2001:db8:1::/48\n192.0.0.0/16,GB,,London,",
                None,
            )
            .unwrap();
        assert_eq!(lists.network("mine").unwrap().prefixes, [Prefix::V4(0xC000_0000, 0xC000_FFFF)]);
        lists.put("undated", "\u{feff}10.0.0.0/8", Some("2026-10-01")).unwrap();
        let told: Vec<_> =
            lists.info().into_iter().map(|list| (list.name, list.entries, list.date)).collect();
        assert_eq!(
            told,
            [
                ("mine".to_owned(), 1, Some("2026-11-01".to_owned())),
                ("undated".to_owned(), 1, Some("2026-10-01".to_owned()))
            ]
        );
    }
}
