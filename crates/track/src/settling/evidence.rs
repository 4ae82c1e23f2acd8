use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use verdict::{Context, Evidence, Kind};

use crate::endpoint::{KeepAddress, KeepAgent};
use crate::surroundings::Source;

/// What a hit is judged by, as it is stored until it is settled, or longer if that is configured.
///
/// Of the header fields the names, and the values of those that only say how a program loads things; never a cookie,
/// never where somebody came from. The address is as long as addresses may be kept. The agent is whole, unless none
/// may be kept at all: without it a restart would take everybody for a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptEvidence {
    method: String,
    /// Names, in lower case.
    headers: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    values: BTreeMap<String, String>,
    #[serde(default)]
    https: Option<bool>,
    #[serde(default)]
    since_accept_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    /// What others said about it, without what is not known.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    context: Map<String, Value>,
}

/// Header fields whose presence says something about who asks.
const TELLING_NAMES: [&str; 24] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "cookie",
    "dnt",
    "from",
    "pragma",
    "purpose",
    "range",
    "referer",
    "sec-ch-ua",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-gpc",
    "sec-purpose",
    "upgrade-insecure-requests",
    "user-agent",
    "x-moz",
    "x-purpose",
];
/// Those of which rules look at the value, and no value says anything about a person.
const TELLING_VALUES: [&str; 10] = [
    "accept",
    "purpose",
    "sec-ch-ua",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-purpose",
    "x-moz",
];
const MAX_VALUE_OCTETS: usize = 200;
/// Stands for a value that was there and is not kept.
const NOT_KEPT: &str = "*";
/// Names of header fields that are kept, all together.
const MAX_NAMES_OCTETS: usize = 1_000;

impl KeptEvidence {
    pub(crate) fn of(evidence: &Evidence, keep: KeepAddress, keep_agent: KeepAgent) -> Self {
        let mut left = MAX_NAMES_OCTETS;
        let headers: Vec<&(String, String)> = evidence
            .headers
            .iter()
            .flatten()
            // Others say nothing to a verdict, and a client could fill the store with them.
            .filter(|(name, _)| TELLING_NAMES.contains(&name.as_str()))
            .take_while(|(name, _)| {
                let fits = left.checked_sub(name.len());
                left = fits.unwrap_or(0);
                fits.is_some()
            })
            .collect();
        let telling = headers.iter().filter(|(name, _)| TELLING_VALUES.contains(&name.as_str()));
        let context = Context { https: None, ..evidence.context.clone() };
        Self {
            method: evidence.method.clone(),
            headers: headers.iter().map(|(name, _)| name.clone()).collect(),
            values: telling.map(|(name, value)| (name.clone(), cut(value, MAX_VALUE_OCTETS))).collect(),
            https: evidence.context.https,
            since_accept_ms: evidence.since_accept_ms,
            agent: evidence.user_agent.clone().filter(|_| keep_agent != KeepAgent::None),
            address: evidence.address.and_then(|address| match keep {
                KeepAddress::None => None,
                KeepAddress::Truncated => Some(Source::of(address).first()),
                KeepAddress::Full => Some(address),
            }),
            context: without_nothing(&context),
        }
    }

    /// The same, with what others say by now.
    pub(crate) fn with(mut self, evidence: &Evidence) -> Self {
        self.context = without_nothing(&Context { https: None, ..evidence.context.clone() });
        self.since_accept_ms = evidence.since_accept_ms;
        self
    }

    pub(crate) fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The agent that judged, until then.
    pub(crate) fn agent(&self) -> Option<String> {
        self.agent.clone()
    }

    /// There was one, kept or not.
    pub(crate) fn had_agent(&self) -> bool {
        self.headers.iter().any(|name| name == "user-agent")
    }

    /// Rules look at single addresses too.
    pub(crate) fn has_whole_address(&self) -> bool {
        self.address.is_some_and(|address| Source::of(address).first() != address)
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }

    /// As far as it was kept, what it was.
    pub(crate) fn evidence(&self, kind: Kind) -> Evidence {
        let context: Context =
            serde_json::from_value(Value::Object(self.context.clone())).unwrap_or_default();
        let value = |name: &String| self.values.get(name).map_or(NOT_KEPT, String::as_str).to_owned();
        Evidence {
            method: self.method.clone(),
            user_agent: self.agent.clone(),
            address: self.address,
            since_accept_ms: self.since_accept_ms,
            headers: Some(self.headers.iter().map(|name| (name.clone(), value(name))).collect()),
            context: Context { https: self.https, ..context },
            ..Evidence::new(kind)
        }
    }
}

/// Of twenty things that could be known most are not.
fn without_nothing(context: &Context) -> Map<String, Value> {
    let Ok(Value::Object(mut all)) = serde_json::to_value(context) else { return Map::new() };
    all.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
    all
}

/// The beginning of a text, at most so many octets of it.
fn cut(text: &str, octets: usize) -> String {
    text[..text.floor_char_boundary(octets)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        let headers = [
            ("user-agent", "Mozilla/5.0"),
            ("cookie", "secret=1"),
            ("referer", "https://mail.example/inbox/4711"),
            ("accept", "text/html"),
            ("accept-language", "nl-BE"),
            ("sec-fetch-user", "?1"),
            ("x-secret", "1"),
        ];
        Evidence {
            user_agent: Some("Mozilla/5.0".to_owned()),
            address: "203.0.113.77".parse().ok(),
            since_accept_ms: Some(-7),
            headers: Some(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()),
            context: Context {
                https: Some(true),
                links_in_message: Some(3),
                sender_ips: vec!["192.0.2.1".parse().unwrap()],
                ..Context::default()
            },
            ..Evidence::new(Kind::Click)
        }
    }

    #[test]
    fn what_is_kept_judges_alike_and_tells_nothing_of_the_person() {
        let kept = KeptEvidence::of(&evidence(), KeepAddress::Truncated, KeepAgent::Family);
        let json = kept.to_json();
        for secret in ["secret", "4711", "nl-BE", "203.0.113.77", "null"] {
            assert!(!json.contains(secret), "{secret} in {json}");
        }
        assert_eq!(KeptEvidence::read(&json).as_ref(), Some(&kept));
        let read = kept.evidence(Kind::Click);
        let rules = verdict::Rules::builtin();
        assert_eq!(rules.judge(&read), rules.judge(&evidence()));
        assert_eq!(read.address, "203.0.113.0".parse().ok());
        assert_eq!(read.context, evidence().context);
        assert_eq!(read.since_accept_ms, Some(-7));

        let address =
            |keep| KeptEvidence::of(&evidence(), keep, KeepAgent::None).evidence(Kind::Click).address;
        assert_eq!(address(KeepAddress::None), None);
        assert_eq!(address(KeepAddress::Full), evidence().address);
        let kept = KeptEvidence::of(&evidence(), KeepAddress::Full, KeepAgent::None);
        assert_eq!((kept.agent(), kept.had_agent()), (None, true));
    }

    #[test]
    fn what_an_earlier_version_kept_is_read() {
        let kept =
            KeptEvidence::read(r#"{"method":"GET","headers":["accept"],"https":null,"since_accept_ms":41}"#);
        assert_eq!(kept.unwrap().evidence(Kind::Open).since_accept_ms, Some(41));
        for text in ["", "{}", "[]", "{\"method\":7}"] {
            assert_eq!(KeptEvidence::read(text), None, "{text}");
        }
    }
}
