use std::sync::OnceLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

/// The public list of crawlers' agents, without the patterns that catch people.
///
/// Built when first asked for: 1,500 patterns take 10 ms, and most programs that read the rules never judge.
#[derive(Debug)]
pub(crate) struct Crawlers {
    dropped: Vec<String>,
    set: OnceLock<RegexSet>,
}

/// One pattern a line; see `data/README.md` for licence and date.
const LIST: &str = include_str!("../data/crawler-user-agents.txt");

pub(crate) const NAME: &str = "crawler-user-agents";

impl Crawlers {
    /// `dropped` names patterns of the list as they stand in it.
    pub(crate) fn without(dropped: Vec<String>) -> Self {
        Self { dropped, set: OnceLock::new() }
    }

    pub(crate) fn has(pattern: &str) -> bool {
        LIST.lines().any(|line| line == pattern)
    }

    pub(crate) fn know(&self, agent: &str) -> bool {
        self.set.get_or_init(|| self.build()).is_match(agent.as_bytes())
    }

    fn build(&self) -> RegexSet {
        let patterns = LIST.lines().filter(|line| !self.dropped.iter().any(|dropped| dropped == line));
        RegexSetBuilder::new(patterns)
            .unicode(false)
            .size_limit(64 << 20)
            .dfa_size_limit(4 << 20)
            .build()
            // A test builds the list; a list that did not build would only make verdicts less certain.
            .unwrap_or_else(|_| RegexSet::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_builds_and_knows_its_own() {
        let all = Crawlers::without(Vec::new());
        assert!(all.know("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"));
        assert!(all.know("WhatsApp/2.23.20.0"));
        assert!(!all.know("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"));
        let some = Crawlers::without(vec!["WhatsApp".to_owned()]);
        assert!(!some.know("WhatsApp/2.23.20.0"));
        assert!(Crawlers::has("WhatsApp") && !Crawlers::has("Whatsapp"));
        assert_eq!(all.set.get().unwrap().len(), LIST.lines().count());
    }
}
