use crate::agent::Agent;
use crate::agent_rules::{AgentMatches, AgentRules};
use crate::networks::{Networks, Whereabouts};
use crate::{Context, Evidence, Kind};

/// Evidence read once, so that every stage asks the same question the same way.
pub(crate) struct Sight<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) kind: Kind,
    /// Trimmed; empty if there was none.
    pub(crate) agent_text: &'a str,
    pub(crate) agent: Agent<'a>,
    pub(crate) matches: AgentMatches,
    pub(crate) at: Whereabouts,
    /// Seconds since the upstream accepted the message.
    pub(crate) since_s: Option<f64>,
}

/// Longer agents are nobody's; the rest of one is not looked at.
const MAX_AGENT_OCTETS: usize = 2048;

impl<'a> Sight<'a> {
    pub(crate) fn new(evidence: &'a Evidence, agents: &AgentRules, networks: &Networks) -> Self {
        let agent_text = evidence.user_agent.as_deref().unwrap_or_default();
        let agent_text = agent_text[..agent_text.floor_char_boundary(MAX_AGENT_OCTETS)].trim();
        // What access logs write for a missing one.
        let agent_text = if agent_text == "-" { "" } else { agent_text };
        Self {
            evidence,
            kind: evidence.kind,
            agent_text,
            agent: Agent::read(agent_text),
            matches: agents.matches(agent_text, evidence.kind),
            at: networks.locate(evidence.address, evidence.asn),
            since_s: evidence.since_accept_ms.map(seconds),
        }
    }

    pub(crate) fn context(&self) -> &'a Context {
        &self.evidence.context
    }

    /// Whether the header block is known at all.
    pub(crate) fn headers_known(&self) -> bool {
        self.evidence.headers.is_some()
    }

    /// A header's value; `None` if it is absent or nothing is known.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let headers = self.evidence.headers.as_ref()?;
        headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether it came between two moments after acceptance, both in seconds and included.
    pub(crate) fn is_between(&self, from_s: Option<f64>, until_s: Option<f64>) -> bool {
        match self.since_s {
            Some(since) => {
                from_s.is_none_or(|from| since >= from) && until_s.is_none_or(|until| since <= until)
            }
            None => from_s.is_none() && until_s.is_none(),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "exact up to 285,000 years of milliseconds")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
