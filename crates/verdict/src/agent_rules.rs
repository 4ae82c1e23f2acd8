use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::Kind;
use crate::crawlers::{self, Crawlers};
use crate::finding::{Finding, Outcome};
use crate::lists::Lists;
use crate::networks::{Networks, Standing, Whereabouts};
use crate::reading::{Mistakes, Section, Step};
use crate::stage::Stage;

/// The `[[ua]]` blocks: what an agent's words say, together with where it comes from.
#[derive(Debug)]
pub(crate) struct AgentRules {
    rules: Vec<AgentRule>,
    set: RegexSet,
    crawlers: Option<Crawlers>,
}

#[derive(Debug)]
struct AgentRule {
    stage: Stage,
    kinds: Vec<Kind>,
    matcher: Matcher,
    /// A list of bots, which people inside apps must not be held against.
    is_bot_list: bool,
    action: Action,
}

#[derive(Debug)]
enum Matcher {
    /// Its number in the set.
    Pattern(usize),
    CrawlerList,
}

#[derive(Debug)]
enum Action {
    Judge(Box<Judging>),
    /// People inside apps: the bot lists are not asked.
    SkipBotLists,
}

#[derive(Debug)]
struct Judging {
    /// Networks the agent must come from; empty: any.
    networks: Vec<usize>,
    there: Outcome,
    near: Option<Outcome>,
    elsewhere: Option<Outcome>,
    unseen: Option<Outcome>,
}

/// Which blocks fit one agent.
#[derive(Debug)]
pub(crate) struct AgentMatches {
    fits: Vec<usize>,
    skip_bot_lists: bool,
}

impl AgentRules {
    pub(crate) fn read(
        sections: Vec<Section<'_>>,
        networks: &Networks,
        lists: &Lists,
        mistakes: &Mistakes,
    ) -> Self {
        let mut rules = Vec::new();
        let mut patterns = Patterns::default();
        let mut crawlers = None;
        for section in sections {
            if !section.has("stage") {
                section.wrong("stage", "is missing");
            }
            let stage = section
                .code("stage", |code| Stage::from_code(code).filter(|stage| stage.is_about_agents()))
                .unwrap_or(Stage::ScannerUa);
            let matcher = read_matcher(&section, lists, &mut patterns, &mut crawlers);
            let is_bot_list = section.optional("bot_list").unwrap_or(false);
            let kinds =
                section.codes("kinds", Kind::from_code).unwrap_or_else(|| vec![Kind::Open, Kind::Click]);
            let skips = section.optional::<String>("action").is_some_and(|action| {
                if action != "skip_bot_lists" {
                    section.wrong("action", "can only be \"skip_bot_lists\"");
                }
                true
            });
            let action = if skips {
                section.optional::<String>("reason");
                Action::SkipBotLists
            } else {
                Action::Judge(Box::new(Judging::read(&section, networks)))
            };
            if let Some(matcher) = matcher {
                rules.push(AgentRule { stage, kinds, matcher, is_bot_list, action });
            }
            section.finish();
        }
        Self { rules, set: patterns.build(mistakes), crawlers }
    }

    /// Every reason code these rules can give.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.rules
            .iter()
            .filter_map(|rule| match &rule.action {
                Action::Judge(judging) => Some(judging),
                Action::SkipBotLists => None,
            })
            .flat_map(|judging| {
                [
                    Some(&judging.there),
                    judging.near.as_ref(),
                    judging.elsewhere.as_ref(),
                    judging.unseen.as_ref(),
                ]
            })
            .flatten()
            .map(Outcome::reason)
    }

    pub(crate) fn matches(&self, agent: &str, kind: Kind) -> AgentMatches {
        let words = self.set.matches(agent.as_bytes());
        let mut skip_bot_lists = false;
        let mut fits = Vec::new();
        for (at, rule) in self.rules.iter().enumerate() {
            let fitting = match rule.matcher {
                Matcher::Pattern(number) => words.matched(number),
                Matcher::CrawlerList => true, // asked when its turn comes, if it comes
            };
            if fitting && rule.kinds.contains(&kind) {
                fits.push(at);
                skip_bot_lists |= matches!(rule.action, Action::SkipBotLists);
            }
        }
        AgentMatches { fits, skip_bot_lists }
    }

    /// The first block of the stage that fits and gives a verdict.
    pub(crate) fn look(
        &self,
        stage: Stage,
        matches: &AgentMatches,
        agent: &str,
        networks: &Networks,
        at: Whereabouts,
    ) -> Option<Finding> {
        matches.fits.iter().map(|number| &self.rules[*number]).filter(|rule| rule.stage == stage).find_map(
            |rule| {
                let Action::Judge(judging) = &rule.action else { return None };
                if rule.is_bot_list && matches.skip_bot_lists {
                    return None;
                }
                if matches!(rule.matcher, Matcher::CrawlerList)
                    && !self.crawlers.as_ref().is_some_and(|crawlers| crawlers.know(agent))
                {
                    return None;
                }
                judging.outcome(networks, at).map(Outcome::finding)
            },
        )
    }
}

impl Judging {
    fn read(section: &Section<'_>, networks: &Networks) -> Self {
        let mut required = Vec::new();
        for id in section.optional::<Vec<String>>("from").unwrap_or_default() {
            match networks.number(&id) {
                Some(number) => required.push(number),
                None => section.wrong("from", format_args!("there is no network \"{id}\"")),
            }
        }
        let judging = Self {
            networks: required,
            there: Outcome::read(section),
            near: Outcome::read_in(section, "near"),
            elsewhere: Outcome::read_in(section, "elsewhere"),
            unseen: Outcome::read_in(section, "unseen"),
        };
        if judging.networks.is_empty() {
            for key in ["near", "elsewhere", "unseen"] {
                if section.has(key) {
                    section.wrong(key, "needs a \"from\"");
                }
            }
        }
        judging
    }

    fn outcome(&self, networks: &Networks, at: Whereabouts) -> Option<&Outcome> {
        let mut best = Standing::Unseen;
        for number in &self.networks {
            match (networks.standing(*number, at), best) {
                (Standing::Inside, _) => return Some(&self.there),
                (Standing::Near, _) => best = Standing::Near,
                (Standing::Outside, Standing::Unseen) => best = Standing::Outside,
                _ => {}
            }
        }
        if self.networks.is_empty() {
            return Some(&self.there);
        }
        match best {
            Standing::Near => self.near.as_ref().or(self.elsewhere.as_ref()),
            Standing::Outside => self.elsewhere.as_ref(),
            Standing::Inside | Standing::Unseen => Some(self.unseen.as_ref().unwrap_or(&self.there)),
        }
    }
}

/// Reads the one of `exact`, `contains`, `regex` and `list` that a block has.
fn read_matcher(
    section: &Section<'_>,
    lists: &Lists,
    patterns: &mut Patterns,
    crawlers: &mut Option<Crawlers>,
) -> Option<Matcher> {
    let exact = section.optional::<Vec<String>>("exact");
    let contains = section.optional::<Vec<String>>("contains");
    let regex = section.optional::<String>("regex");
    let list = section.optional::<String>("list");
    let dropped = section.optional::<Vec<String>>("drop_patterns");
    if dropped.is_some() && list.is_none() {
        section.wrong("drop_patterns", "needs a \"list\"");
    }
    let alternatives =
        |texts: Vec<String>| texts.iter().map(|text| regex::escape(text)).collect::<Vec<_>>().join("|");
    let pattern = match (exact, contains, regex, list) {
        (Some(texts), None, None, None) => format!("^(?:{})$", alternatives(texts)),
        (None, Some(texts), None, None) => {
            if texts.iter().any(String::is_empty) {
                section.wrong("contains", "an empty text fits every agent");
            }
            alternatives(texts)
        }
        (None, None, Some(pattern), None) => pattern,
        (None, None, None, Some(name)) => {
            if name != crawlers::NAME {
                section.wrong("list", format_args!("there is no list \"{name}\""));
                return None;
            }
            // A list we have not got: verdicts get less certain, and that is all.
            let list = lists.crawlers()?;
            let dropped = dropped.unwrap_or_default();
            for pattern in dropped.iter().filter(|pattern| !Crawlers::has(list, pattern)) {
                section.wrong("drop_patterns", format_args!("\"{pattern}\" is not in the list"));
            }
            *crawlers = Some(Crawlers::without(list.clone(), dropped));
            return Some(Matcher::CrawlerList);
        }
        _ => {
            section.wrong("exact", "give one of exact, contains, regex and list");
            return None;
        }
    };
    patterns.0.push(Pattern {
        name: section.name_of("regex"),
        steps: section.steps_to("regex"),
        text: pattern,
    });
    Some(Matcher::Pattern(patterns.0.len() - 1))
}

/// Every block's pattern, with the place it stands at.
#[derive(Default)]
struct Patterns(Vec<Pattern>);

struct Pattern {
    name: String,
    steps: Vec<Step>,
    text: String,
}

impl Patterns {
    fn build(&self, mistakes: &Mistakes) -> RegexSet {
        // Agents are octets, mostly ASCII; and octet classes are quicker.
        let set = RegexSetBuilder::new(self.0.iter().map(|one| &one.text))
            .unicode(false)
            .size_limit(8 << 20)
            .build();
        set.unwrap_or_else(|together| {
            // One by one only now: it takes as long again.
            let wrong: Vec<_> =
                self.0.iter().filter_map(|one| Some((one, compile(&one.text).err()?))).collect();
            for (one, error) in &wrong {
                mistakes.add_at(one.steps.clone(), format_args!("{}: {}", one.name, one_line(error)));
            }
            if wrong.is_empty() {
                mistakes.add(format_args!("ua: all patterns together: {}", one_line(&together)));
            }
            RegexSet::empty()
        })
    }
}

pub(crate) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).size_limit(1 << 20).build()
}

/// The last line of a pattern's error says what is wrong; the ones before draw it.
pub(crate) fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
