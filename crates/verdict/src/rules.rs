use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::agent_rules::AgentRules;
use crate::burst::Burst;
use crate::finding::Finding;
use crate::lists::Lists;
use crate::networks::{Class, NetworkMatch, Networks, is_local};
use crate::protocol::ProtocolRules;
use crate::reading::Mistake;
use crate::scoring::Scoring;
use crate::sight::Sight;
use crate::stage::Stage;
use crate::timing::{TimingRules, Waits};
use crate::{Confidence, Evidence, Judgement, Trust, Verdict};

/// The rules by which hits are judged: a data file, read once. Clones share it.
#[derive(Clone, Debug)]
pub struct Rules(Arc<RuleBook>);

/// Why a rules file is refused: every mistake in it, not only the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
pub struct RulesError {
    /// In the order of the file.
    pub mistakes: Vec<Mistake>,
}

/// What the file says, resolved.
#[derive(Debug)]
pub(crate) struct RuleBook {
    pub(crate) version: String,
    pub(crate) order: Vec<Stage>,
    pub(crate) waits: Waits,
    pub(crate) honeypot_fold_s: f64,
    pub(crate) networks: Networks,
    pub(crate) protocol: ProtocolRules,
    pub(crate) agents: AgentRules,
    pub(crate) burst: Burst,
    pub(crate) timing: TimingRules,
    pub(crate) scoring: Scoring,
    pub(crate) trust: Vec<(Verdict, Trust)>,
    pub(crate) sentences: BTreeMap<String, String>,
    pub(crate) lists: Lists,
}

const BUILT_IN: &str = include_str!("../../../config/verdicts.toml");

impl Rules {
    /// The rules this version was built with: `config/verdicts.toml`. Read on the first call only.
    pub fn builtin() -> Self {
        static BUILT: OnceLock<Rules> = OnceLock::new();
        BUILT
            .get_or_init(|| Self::parse(BUILT_IN).expect("a test holds that the built-in rules parse"))
            .clone()
    }

    /// The text of the built-in rules, for an operator to start from.
    pub fn builtin_text() -> &'static str {
        BUILT_IN
    }

    /// Reads a rules file, with the lists this version was built with.
    pub fn parse(toml: &str) -> Result<Self, RulesError> {
        Self::parse_with(toml, &Lists::builtin())
    }

    /// Reads a rules file, with other lists.
    pub fn parse_with(toml: &str, lists: &Lists) -> Result<Self, RulesError> {
        RuleBook::read(toml, lists)
            .map(|book| Self(Arc::new(book)))
            .map_err(|mistakes| RulesError { mistakes })
    }

    /// Their version, stored with each verdict.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// How long to wait for what: for whoever counts, folds back and settles.
    pub fn waits(&self) -> Waits {
        self.0.waits
    }

    /// The sentence of a reason code: the file's own, else the built-in one.
    pub fn sentence(&self, code: &str) -> Option<&str> {
        self.0.sentences.get(code).map(String::as_str).or_else(|| crate::sentence(code))
    }

    /// Which networks of the rules hold an address or an origin AS, and what tells so. For a person who asks.
    pub fn networks_of(&self, address: Option<IpAddr>, asn: Option<u32>) -> Vec<NetworkMatch> {
        self.0.networks.explain(address, asn, &self.0.lists)
    }

    /// The names of the lists these rules ask for.
    pub fn list_names(&self) -> Vec<String> {
        let mut names = self.0.networks.list_names();
        names.push(crate::crawlers::NAME.to_owned());
        names
    }

    /// The lists these rules were read with.
    pub fn lists(&self) -> &Lists {
        &self.0.lists
    }

    /// Do many people come from this one address: is it an image proxy, a relay, a web gateway, a mail filter?
    pub fn carries_many(&self, address: IpAddr) -> bool {
        let networks = &self.0.networks;
        networks.carries_many(networks.locate(Some(address), None))
    }

    /// Judges one hit. Total: whatever the evidence, there is a verdict.
    pub fn judge(&self, evidence: &Evidence) -> Judgement {
        let book = &*self.0;
        let sight = Sight::new(evidence, &book.agents, &book.networks);
        let mut found: Option<Finding> = None;
        for stage in &book.order {
            let Some(finding) = book.look(*stage, &sight) else { continue };
            match &mut found {
                None => found = Some(finding),
                // Why a machine is one is worth telling in full.
                Some(first) if first.verdict == finding.verdict => first.support(finding),
                Some(_) => {}
            }
            if found.as_ref().is_some_and(|first| first.verdict != Verdict::Scanner) {
                break;
            }
        }
        let mut finding =
            found.unwrap_or_else(|| Finding::new(Verdict::Unknown, Confidence::Weak, "undecided"));
        if finding.verdict.counts_as_person() && shares_sender_network(&sight) {
            finding = Finding::new(Verdict::Unknown, Confidence::Weak, "shared_network");
        }
        let trust = book.trust(finding.verdict, &sight);
        Judgement {
            verdict: finding.verdict,
            confidence: finding.confidence,
            reasons: finding.reasons,
            trust,
            rules: book.version.clone(),
        }
    }
}

impl RuleBook {
    fn look(&self, stage: Stage, sight: &Sight<'_>) -> Option<Finding> {
        match stage {
            Stage::Oneself => self.oneself(sight),
            Stage::Protocol => self.protocol.look(sight),
            Stage::Honeypot => self.honeypot(sight),
            Stage::MailFilterNet => self
                .networks
                .holds(sight.at, Class::MailFilter, sight.kind)
                .then(|| Finding::new(Verdict::Scanner, Confidence::Certain, "mailfilter_net")),
            Stage::ProxyUa | Stage::PreviewUa | Stage::InAppAllow | Stage::ScannerUa => {
                self.agents.look(stage, &sight.matches, sight.agent_text, &self.networks, sight.at)
            }
            Stage::Burst => self.burst.look(sight),
            Stage::CrossRecipient => self.burst.look_across(sight, &self.networks),
            Stage::Timing => self.timing.look(sight, &self.networks),
            Stage::Scored => Some(self.scoring.look(sight, &self.networks)),
        }
    }

    /// The sender: by token, by address, by a cookie of the console, by the network they submitted from.
    fn oneself(&self, sight: &Sight<'_>) -> Option<Finding> {
        let context = sight.context();
        let certain = [
            (context.self_token, "self_token"),
            (context.recipient_is_sender, "recipient_is_sender"),
            (context.self_cookie_valid, "self_cookie"),
        ];
        if let Some((_, reason)) = certain.into_iter().find(|(known, _)| *known == Some(true)) {
            return Some(Finding::new(Verdict::Oneself, Confidence::Certain, reason));
        }
        // Relays, web gateways and proxies give one address to many people.
        let crowds = [Class::Relay, Class::WebGateway, Class::ImageProxy];
        let in_crowd = crowds.iter().any(|class| self.networks.holds(sight.at, *class, sight.kind));
        let alone = context.recipient_shares_sender_network != Some(true) && !in_crowd;
        (alone && is_sender_network(sight))
            .then(|| Finding::new(Verdict::Oneself, Confidence::Probable, "sender_network"))
    }

    fn honeypot(&self, sight: &Sight<'_>) -> Option<Finding> {
        let context = sight.context();
        if context.is_honeypot_link == Some(true) {
            return Some(Finding::new(Verdict::Scanner, Confidence::Certain, "honeypot_link"));
        }
        context
            .same_source_honeypot_hit_within_s
            .is_some_and(|apart| apart.abs() <= self.honeypot_fold_s)
            .then(|| Finding::new(Verdict::Scanner, Confidence::Certain, "honeypot_source"))
    }

    fn trust(&self, verdict: Verdict, sight: &Sight<'_>) -> Trust {
        let mut trust = self
            .trust
            .iter()
            .find(|(known, _)| *known == verdict)
            .map(|(_, trust)| *trust)
            .unwrap_or_default();
        // A person, but the address is a relay's, a gateway's or a rented computer's.
        let elsewhere =
            [Class::Relay, Class::WebGateway, Class::Cloud, Class::ImageProxy, Class::MailSecurity];
        if elsewhere.iter().any(|class| self.networks.holds(sight.at, *class, sight.kind)) {
            trust.place = false;
        }
        trust
    }
}

/// The same address, or the same /64: an IPv6 host changes the rest of its address by itself.
fn is_sender_network(sight: &Sight<'_>) -> bool {
    let Some(address) = sight.evidence.address.map(|address| address.to_canonical()) else { return false };
    // Behind a proxy nobody declared, everybody comes from this computer.
    if address.is_loopback() {
        return false;
    }
    sight.context().sender_ips.iter().any(|sender| match (sender.to_canonical(), address) {
        (IpAddr::V6(sender), IpAddr::V6(address)) if !is_local(address.into()) => {
            sender.segments()[..4] == address.segments()[..4]
        }
        (sender, address) => sender == address,
    })
}

fn shares_sender_network(sight: &Sight<'_>) -> bool {
    sight.context().recipient_shares_sender_network == Some(true) && is_sender_network(sight)
}
