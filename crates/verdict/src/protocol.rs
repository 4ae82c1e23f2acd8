use regex::bytes::Regex;

use crate::agent_rules::{compile, one_line};
use crate::finding::{Finding, Outcome};
use crate::reading::Section;
use crate::sight::Sight;

/// The `[[protocol]]` blocks: what the request itself gives away.
#[derive(Debug)]
pub(crate) struct ProtocolRules(Vec<ProtocolRule>);

/// One block; every condition it has must hold.
#[derive(Debug)]
struct ProtocolRule {
    methods_not: Option<Vec<String>>,
    agent: Option<Regex>,
    /// Any of these headers with a fitting value.
    headers: Vec<(String, Regex)>,
    before_s: Option<f64>,
    outcome: Outcome,
}

impl ProtocolRules {
    pub(crate) fn read(sections: Vec<Section<'_>>) -> Self {
        Self(sections.into_iter().map(ProtocolRule::read).collect())
    }

    pub(crate) fn look(&self, sight: &Sight<'_>) -> Option<Finding> {
        self.0.iter().find(|rule| rule.holds(sight)).map(|rule| rule.outcome.finding())
    }

    pub(crate) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|rule| rule.outcome.reason())
    }
}

impl ProtocolRule {
    fn read(section: Section<'_>) -> Self {
        let agent = section.optional::<String>("regex").and_then(|pattern| {
            compile(&pattern).map_err(|error| section.wrong("regex", one_line(&error))).ok()
        });
        let mut headers = Vec::new();
        if let Some(table) = section.optional_section("headers") {
            for (name, pattern) in table.texts() {
                match compile(&pattern) {
                    Ok(regex) => headers.push((name, regex)),
                    Err(error) => table.wrong(&name, one_line(&error)),
                }
            }
        }
        let rule = Self {
            methods_not: section.optional("methods_not"),
            before_s: section.optional("before_s"),
            outcome: Outcome::read(&section),
            agent,
            headers,
        };
        if !["methods_not", "before_s", "regex", "headers"].iter().any(|key| section.has(key)) {
            section.wrong("reason", "the block has no condition, so it would fit everything");
        }
        section.finish();
        rule
    }

    fn holds(&self, sight: &Sight<'_>) -> bool {
        let method_holds = self.methods_not.as_ref().is_none_or(|methods| {
            !methods.iter().any(|method| method.eq_ignore_ascii_case(sight.evidence.method.trim()))
        });
        let agent_holds = self.agent.as_ref().is_none_or(|regex| regex.is_match(sight.agent_text.as_bytes()));
        let header_holds = self.headers.is_empty()
            || self.headers.iter().any(|(name, regex)| {
                sight.header(name).is_some_and(|value| regex.is_match(value.trim().as_bytes()))
            });
        let clock_holds =
            self.before_s.is_none_or(|before| sight.since_s.is_some_and(|since| since < before));
        method_holds && agent_holds && header_holds && clock_holds
    }
}
