use std::collections::{BTreeMap, BTreeSet};
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

/// How a newer list differs from the one in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListChange {
    /// Entries before.
    pub before: usize,
    /// Entries now.
    pub after: usize,
    /// Entries that were not there.
    pub added: usize,
    /// Entries that are gone.
    pub removed: usize,
    /// What speaks against it, in words that go on from the list's name; empty if nothing does.
    pub doubts: Vec<String>,
}

/// A list rarely loses half of its entries; a file that was cut does.
const PLAUSIBLE_REMAINDER: usize = 2;
/// Nobody has a wider network than a /8 of IPv4 or a /16 of IPv6.
const WIDEST: (u32, u128) = (1 << 24, 1 << 112);

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

    /// What would change if `newer`'s list of this name took the place of ours.
    pub fn change(&self, newer: &Self, name: &str) -> ListChange {
        let mut change = if name == crawlers::NAME {
            let of =
                |lists: &Self| lists.crawlers.as_ref().map(|list| list.patterns.clone()).unwrap_or_default();
            ListChange::between(&of(self), &of(newer))
        } else {
            let of =
                |lists: &Self| lists.networks.get(name).map(|list| list.prefixes.clone()).unwrap_or_default();
            let (before, after) = (of(self), of(newer));
            let mut change = ListChange::between(&before, &after);
            let has_v6 = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| matches!(prefix, Prefix::V6(..)));
            let has_v4 = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| matches!(prefix, Prefix::V4(..)));
            if has_v4(&before) && !has_v4(&after) {
                change.doubts.push("has lost all of IPv4".to_owned());
            }
            if has_v6(&before) && !has_v6(&after) {
                change.doubts.push("has lost all of IPv6".to_owned());
            }
            if after.iter().any(|prefix| prefix.is_wider_than(WIDEST)) {
                change.doubts.push("holds a network wider than anybody's".to_owned());
            }
            change
        };
        if change.after == 0 {
            change.doubts = vec!["is empty".to_owned()];
        } else if change.after * PLAUSIBLE_REMAINDER < change.before {
            change.doubts.push(format!("has only {} of {} entries left", change.after, change.before));
        }
        let date =
            |lists: &Self| lists.info().into_iter().find(|list| list.name == name).and_then(|list| list.date);
        if let (Some(before), Some(after)) = (date(self), date(newer))
            && after < before
        {
            change.doubts.push(format!("is of {after}, older than the one in use ({before})"));
        }
        change
    }

    /// Takes over a list of another's.
    pub fn take(&mut self, other: &Self, name: &str) {
        if name == crawlers::NAME {
            self.crawlers.clone_from(&other.crawlers);
        } else if let Some(list) = other.networks.get(name) {
            self.networks.insert(name.to_owned(), list.clone());
        }
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

impl ListChange {
    fn between<T: Ord>(before: &[T], after: &[T]) -> Self {
        let (old, new): (BTreeSet<&T>, BTreeSet<&T>) = (before.iter().collect(), after.iter().collect());
        Self {
            before: old.len(),
            after: new.len(),
            added: new.difference(&old).count(),
            removed: old.difference(&new).count(),
            doubts: Vec::new(),
        }
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

    #[test]
    fn changes_and_what_speaks_against_them() {
        let with = |name: &str, text: &str| {
            let mut lists = Lists::default();
            lists.put(name, text, None).unwrap();
            lists
        };
        let old =
            with("mine", "# date: 2026-08-22\n192.0.0.0/24\n192.0.1.0/24\n198.18.0.0/24\n2001:db9::/32\n");
        for (text, added, removed, doubts) in [
            ("# date: 2026-09-01\n192.0.0.0/24\n192.0.1.0/24\n2001:db9::/32\n2001:dba::/32\n", 1, 1, vec![]),
            ("# a comment\n", 0, 4, vec!["is empty"]),
            ("192.0.0.0/24\n", 0, 3, vec!["has lost all of IPv6", "has only 1 of 4 entries left"]),
            (
                "192.0.0.0/24\n192.0.1.0/24\n0.0.0.0/0\n2001:db9::/32\n",
                1,
                1,
                vec!["holds a network wider than anybody's"],
            ),
            (
                "# date: 2026-08-01\n192.0.0.0/24\n192.0.1.0/24\n198.18.0.0/24\n2001:db9::/32\n",
                0,
                0,
                vec!["is of 2026-08-01, older than the one in use (2026-08-22)"],
            ),
        ] {
            let change = old.change(&with("mine", text), "mine");
            assert_eq!(
                (change.added, change.removed, change.doubts),
                (added, removed, doubts.into_iter().map(str::to_owned).collect()),
                "{text}"
            );
        }
        let (old, new) = (with(crawlers::NAME, "abot\nbbot\n"), with(crawlers::NAME, "bbot\ncbot\n"));
        let change = old.change(&new, crawlers::NAME);
        assert_eq!((change.before, change.after, change.added, change.removed), (2, 2, 1, 1));
        assert!(change.doubts.is_empty());
        let mut taken = old.clone();
        taken.take(&new, crawlers::NAME);
        assert_eq!(taken.info(), new.info());
    }
}
