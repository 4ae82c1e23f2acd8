use std::collections::BTreeMap;
use std::time::Duration;

use toml::Table;

use crate::agent_rules::AgentRules;
use crate::burst::Burst;
use crate::lists::Lists;
use crate::networks::Networks;
use crate::protocol::ProtocolRules;
use crate::reading::{Mistake, Mistakes, Section};
use crate::rules::RuleBook;
use crate::scoring::Scoring;
use crate::stage::Stage;
use crate::timing::{TimingRules, Waits};
use crate::{Trust, Verdict};

/// The schema this version reads.
const SCHEMA: u32 = 1;

impl RuleBook {
    /// Reads a whole rules file, or says everything that is wrong with it.
    pub(crate) fn read(toml: &str, lists: &Lists) -> Result<Self, Vec<Mistake>> {
        let table: Table = match toml.parse() {
            Ok(table) => table,
            Err(error) => return Err(vec![not_toml(toml, &error)]),
        };
        let mistakes = Mistakes::default();
        let file = Section::root(&table, &mistakes);
        let book = Self::read_sections(&file, lists, &mistakes);
        file.finish();
        let mistakes = mistakes.into_list(toml);
        match book {
            Some(book) if mistakes.is_empty() => Ok(book),
            _ => Err(mistakes),
        }
    }

    fn read_sections(file: &Section<'_>, lists: &Lists, mistakes: &Mistakes) -> Option<Self> {
        let schema: u32 = file.required("schema");
        if schema != SCHEMA && file.has("schema") {
            file.wrong("schema", format_args!("is {schema}; this version reads {SCHEMA}"));
        }
        let version: String = file.required("version");
        let sentences: BTreeMap<_, _> = file
            .optional_section("sentences")
            .map(|section| section.texts().into_iter().collect())
            .unwrap_or_default();

        // Every section is looked at even if one is missing, so that all mistakes come at once.
        let stages = file.required_section("stages");
        let clock = file.required_section("clock");
        let dedupe = file.required_section("dedupe");
        let settling = file.required_section("settling");
        let fold_back = file.required_section("fold_back");
        let honeypot = file.required_section("honeypot");
        let cross = file.required_section("cross_recipient");
        let scored = file.required_section("scored");
        let gateway = file.required_section("gateway_mx");
        let trust = file.required_section("trust");

        let networks = Networks::read(file.sections("net", "id"), lists, mistakes);
        let protocol = ProtocolRules::read(file.sections("protocol", "reason"));
        let agents = AgentRules::read(file.sections("ua", "reason"), &networks, lists, mistakes);
        let timing = TimingRules::read(file.sections("timing", "reason"), &networks);
        let bursts = file.sections("burst", "links");

        let (stages, clock, dedupe, settling) = (stages?, clock?, dedupe?, settling?);
        let (fold_back, honeypot, cross) = (fold_back?, honeypot?, cross?);
        let (scored, gateway, trust) = (scored?, gateway?, trust?);

        let waits = Waits {
            same_open: duration(&dedupe, "open_same_source_s"),
            same_click: duration(&dedupe, "click_same_source_s"),
            settling: duration(&settling, "wait_s"),
            fold_back_open: duration(&fold_back, "open_s"),
            fold_back_honeypot: duration(&honeypot, "fold_window_s"),
        };
        let gateway_mx: Vec<String> = gateway.required("suffixes");
        let book = Self {
            version,
            order: stage_order(&stages),
            waits,
            honeypot_fold_s: honeypot.required("fold_window_s"),
            burst: Burst::read(bursts, &fold_back, &cross, mistakes),
            scoring: Scoring::read(&scored, &clock, gateway_mx),
            trust: Verdict::ALL.into_iter().map(|verdict| (verdict, read_trust(&trust, verdict))).collect(),
            networks,
            protocol,
            agents,
            timing,
            sentences,
            lists: lists.clone(),
        };
        book.check_sentences(mistakes);
        for section in [stages, clock, dedupe, settling, fold_back, honeypot, cross, scored, gateway, trust] {
            section.finish();
        }
        Some(book)
    }

    /// Whatever reason the file gives must be sayable.
    fn check_sentences(&self, mistakes: &Mistakes) {
        let reasons = self.protocol.reasons().chain(self.agents.reasons()).chain(self.timing.reasons());
        let mut unsaid: Vec<&str> = reasons
            .filter(|code| crate::sentence(code).is_none() && !self.sentences.contains_key(*code))
            .collect();
        unsaid.sort_unstable();
        unsaid.dedup();
        for code in unsaid {
            mistakes.add(format_args!("sentences: the reason \"{code}\" has no sentence"));
        }
    }
}

fn not_toml(toml: &str, error: &toml::de::Error) -> Mistake {
    let before = error.span().and_then(|span| toml.get(..span.start));
    Mistake {
        line: before.map(|before| before.bytes().filter(|octet| *octet == b'\n').count() + 1),
        text: format!("this is not TOML: {}", error.message()),
    }
}

fn stage_order(section: &Section<'_>) -> Vec<Stage> {
    if !section.has("order") {
        section.wrong("order", "is missing");
    }
    let order = section.codes("order", Stage::from_code).unwrap_or_default();
    if let Some(at) = (1..order.len()).find(|at| order[..*at].contains(&order[*at])) {
        section.wrong("order", format_args!("its {}. stage is there twice", at + 1));
    }
    order
}

fn duration(section: &Section<'_>, key: &'static str) -> Duration {
    let seconds: f64 = section.required(key);
    Duration::try_from_secs_f64(seconds).unwrap_or_else(|_| {
        section.wrong(key, "is not a time to wait");
        Duration::ZERO
    })
}

fn read_trust(section: &Section<'_>, verdict: Verdict) -> Trust {
    let Some(row) = section.required_section(verdict.code()) else { return Trust::default() };
    let trust =
        Trust { time: row.required("time"), place: row.required("place"), device: row.required("device") };
    row.finish();
    trust
}
