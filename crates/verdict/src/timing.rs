use std::time::Duration;

use crate::Kind;
use crate::finding::{Finding, Outcome};
use crate::networks::{Class, Networks, Standing};
use crate::reading::Section;
use crate::sight::Sight;

/// The `[[timing]]` blocks: a network that means one thing at one time and another later.
#[derive(Debug)]
pub(crate) struct TimingRules(Vec<TimingRule>);

/// One block; every condition it has must hold.
#[derive(Debug)]
struct TimingRule {
    kinds: Vec<Kind>,
    class: Option<Class>,
    network: Option<usize>,
    from_s: Option<f64>,
    until_s: Option<f64>,
    outcome: Outcome,
}

/// How long whoever counts hits and tells people should wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Opens from one source within this are one open.
    pub same_open: Duration,
    /// Clicks on one link from one source within this are one click.
    pub same_click: Duration,
    /// Nobody is told before a hit is this old: a burst may still fold back over it.
    pub settling: Duration,
    /// Opens this long before a burst from the same source are judged anew.
    pub fold_back_open: Duration,
    /// Hits this far from a honeypot hit of the same source are judged anew.
    pub fold_back_honeypot: Duration,
}

impl TimingRules {
    pub(crate) fn read(sections: Vec<Section<'_>>, networks: &Networks) -> Self {
        Self(sections.into_iter().map(|section| TimingRule::read(section, networks)).collect())
    }

    pub(crate) fn look(&self, sight: &Sight<'_>, networks: &Networks) -> Option<Finding> {
        self.0.iter().find(|rule| rule.holds(sight, networks)).map(|rule| rule.outcome.finding())
    }

    pub(crate) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|rule| rule.outcome.reason())
    }
}

impl TimingRule {
    fn read(section: Section<'_>, networks: &Networks) -> Self {
        let network = section.optional::<String>("net").and_then(|id| {
            let number = networks.number(&id);
            if number.is_none() {
                section.wrong("net", format_args!("there is no network \"{id}\""));
            }
            number
        });
        let rule = Self {
            kinds: section.codes("kinds", Kind::from_code).unwrap_or_else(|| vec![Kind::Open, Kind::Click]),
            class: section.code("class", Class::from_code),
            from_s: section.optional("from_s"),
            until_s: section.optional("until_s"),
            outcome: Outcome::read(&section),
            network,
        };
        if !["class", "net", "from_s", "until_s"].iter().any(|key| section.has(key)) {
            section.wrong("reason", "the block has no condition, so it would fit everything");
        }
        section.finish();
        rule
    }

    fn holds(&self, sight: &Sight<'_>, networks: &Networks) -> bool {
        self.kinds.contains(&sight.kind)
            && self.class.is_none_or(|class| networks.holds(sight.at, class, sight.kind))
            && self.network.is_none_or(|net| networks.standing(net, sight.at) == Standing::Inside)
            && sight.is_between(self.from_s, self.until_s)
    }
}
