use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

use crate::{Context, Evidence, Kind};

/// [`Evidence`] as people and other programs write it, one JSON object a line. Keys it does not know are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// `open` or `click`.
    pub kind: Kind,
    /// `GET` if absent.
    #[serde(default)]
    pub method: Option<String>,
    /// The `User-Agent` field.
    #[serde(default)]
    pub ua: Option<String>,
    /// The client's address.
    #[serde(default)]
    pub ip: Option<IpAddr>,
    /// Its origin AS.
    #[serde(default)]
    pub asn: Option<u32>,
    /// Seconds since the upstream accepted the message.
    #[serde(default)]
    pub since_accept_s: Option<f64>,
    /// Header fields by name, or as pairs; null: not known.
    #[serde(default)]
    pub headers: Option<Headers>,
    /// What else is known.
    #[serde(default, deserialize_with = "null_is_nothing")]
    pub context: Context,
}

/// Header fields in either notation.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Headers {
    /// `{"accept": "…"}`
    Named(BTreeMap<String, String>),
    /// `[["accept", "…"]]`
    Pairs(Vec<(String, String)>),
}

impl From<Record> for Evidence {
    fn from(record: Record) -> Self {
        let headers = record.headers.map(|headers| match headers {
            Headers::Named(named) => named.into_iter().collect(),
            Headers::Pairs(pairs) => pairs,
        });
        Self {
            kind: record.kind,
            method: record.method.unwrap_or_else(|| "GET".to_owned()),
            user_agent: record.ua,
            address: record.ip,
            asn: record.asn,
            since_accept_ms: record.since_accept_s.map(millis),
            headers: headers.map(|headers: Vec<(String, String)>| {
                headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
            }),
            context: record.context,
        }
    }
}

/// Saturates at the ends of time.
#[allow(clippy::cast_possible_truncation, reason = "a float cast saturates, which is what is wanted")]
fn millis(seconds: f64) -> i64 {
    // Down, not to nearest: what came before acceptance must stay before it.
    (seconds * 1000.0).floor() as i64
}

fn null_is_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Context, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_and_strange_keys() {
        let line = r#"{"id":"x","kind":"click","ua":"A","ip":"::ffff:192.0.2.1","asn":64500,"since_accept_s":-0.0004,
            "headers":{"Accept":"text/html"},"context":{"links_in_message":3,"sender_ips":null,"moon":"full"}}"#;
        let evidence: Evidence = serde_json::from_str::<Record>(line).unwrap().into();
        assert_eq!(evidence.since_accept_ms, Some(-1));
        assert_eq!(evidence.headers, Some(vec![("accept".to_owned(), "text/html".to_owned())]));
        assert_eq!(evidence.context.links_in_message, Some(3));
        assert_eq!(evidence.method, "GET");

        let line = r#"{"kind":"open","headers":[["X-Moz","prefetch"]],"context":null}"#;
        let evidence: Evidence = serde_json::from_str::<Record>(line).unwrap().into();
        assert_eq!(evidence.headers, Some(vec![("x-moz".to_owned(), "prefetch".to_owned())]));
        assert_eq!(evidence.context, Context::default());

        assert!(serde_json::from_str::<Record>(r#"{"kind":"look"}"#).is_err());
    }
}
