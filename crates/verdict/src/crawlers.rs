use std::sync::{Arc, OnceLock};

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::lists::CrawlerList;

/// The public list of crawlers' agents, without the patterns that catch people.
///
/// Built when first asked for: 1,500 patterns take 10 ms, and most programs that read the rules never judge.
#[derive(Debug)]
pub(crate) struct Crawlers {
    list: Arc<CrawlerList>,
    dropped: Vec<String>,
    set: OnceLock<RegexSet>,
}

/// One pattern a line; see `data/README.md` for its licence.
pub(crate) const BUILT_IN: &str = include_str!("../data/crawler-user-agents.txt");

pub(crate) const NAME: &str = "crawler-user-agents";

impl Crawlers {
    /// `dropped` names patterns of the list as they stand in it.
    pub(crate) fn without(list: Arc<CrawlerList>, dropped: Vec<String>) -> Self {
        Self { list, dropped, set: OnceLock::new() }
    }

    /// Whether this list, or the one we were built with, has the pattern: a newer list may have let it go.
    pub(crate) fn has(list: &CrawlerList, pattern: &str) -> bool {
        list.patterns.iter().any(|known| known == pattern) || BUILT_IN.lines().any(|known| known == pattern)
    }

    pub(crate) fn know(&self, agent: &str) -> bool {
        self.set.get_or_init(|| self.build()).is_match(agent.as_bytes())
    }

    fn build(&self) -> RegexSet {
        let kept = self.list.patterns.iter().filter(|pattern| !self.dropped.contains(pattern));
        // Whoever put the list in tried it; one that did not build would only make verdicts less certain.
        build(kept).unwrap_or_else(|_| RegexSet::empty())
    }
}

fn build<'a>(patterns: impl Iterator<Item = &'a String>) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(patterns).unicode(false).size_limit(64 << 20).dfa_size_limit(4 << 20).build()
}

/// The number of the first pattern that cannot be built, if they cannot all be.
pub(crate) fn first_wrong(patterns: &[String]) -> Option<usize> {
    if build(patterns.iter()).is_ok() {
        return None;
    }
    // One by one only now: it takes as long again.
    Some(patterns.iter().position(|pattern| build(std::iter::once(pattern)).is_err()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lists;

    #[test]
    fn the_list_builds_and_knows_its_own() {
        let list = Lists::builtin().crawlers().unwrap().clone();
        let all = Crawlers::without(list.clone(), Vec::new());
        assert!(all.know("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"));
        assert!(all.know("WhatsApp/2.23.20.0"));
        assert!(!all.know("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"));
        let some = Crawlers::without(list.clone(), vec!["WhatsApp".to_owned()]);
        assert!(!some.know("WhatsApp/2.23.20.0"));
        assert!(Crawlers::has(&list, "WhatsApp") && !Crawlers::has(&list, "Whatsapp"));
        assert_eq!(all.set.get().unwrap().len(), list.patterns.len());
        assert!(list.patterns.len() > 1_000);
        assert_eq!(first_wrong(&list.patterns), None);
    }
}
