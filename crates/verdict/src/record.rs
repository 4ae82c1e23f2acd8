use std::net::IpAddr;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::lenient;
use crate::{Context, Evidence, Kind};

/// [`Evidence`] as people and other programs write it, one JSON object a line. Keys it does not know are ignored,
/// numbers may be texts, null is unknown.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// `open` or `click`.
    #[serde(deserialize_with = "kind")]
    pub kind: Kind,
    /// `GET` if absent.
    #[serde(default, deserialize_with = "lenient::text")]
    pub method: Option<String>,
    /// The `User-Agent` field; if absent, the one among the headers.
    #[serde(default, deserialize_with = "lenient::text")]
    pub ua: Option<String>,
    /// The client's address.
    #[serde(default, deserialize_with = "lenient::address")]
    pub ip: Option<IpAddr>,
    /// Its origin AS.
    #[serde(default, deserialize_with = "lenient::asn")]
    pub asn: Option<u32>,
    /// Seconds since the upstream accepted the message.
    #[serde(default, deserialize_with = "lenient::number")]
    pub since_accept_s: Option<f64>,
    /// Header fields by name, or as pairs, names in lower case; null: not known.
    #[serde(default, deserialize_with = "lenient::headers")]
    pub headers: Option<Vec<(String, String)>>,
    /// What else is known.
    #[serde(default, deserialize_with = "null_is_nothing")]
    pub context: Context,
}

impl From<Record> for Evidence {
    fn from(record: Record) -> Self {
        let among_headers = || {
            let headers = record.headers.as_ref()?;
            headers.iter().find(|(name, _)| name == "user-agent").map(|(_, value)| value.clone())
        };
        let method = record.method.filter(|method| !method.is_empty());
        Self {
            kind: record.kind,
            method: method.unwrap_or_else(|| "GET".to_owned()),
            user_agent: record.ua.or_else(among_headers),
            address: record.ip,
            asn: record.asn,
            since_accept_ms: record.since_accept_s.map(millis),
            headers: record.headers,
            context: record.context,
        }
    }
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    let code = String::deserialize(deserializer)?;
    Kind::from_code(&code.trim().to_ascii_lowercase())
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&code), &"\"open\" or \"click\""))
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

    fn read(line: &str) -> Evidence {
        serde_json::from_str::<Record>(line).unwrap_or_else(|error| panic!("{error}: {line}")).into()
    }

    #[test]
    fn strange_keys_are_ignored() {
        let evidence = read(
            r#"{"id":"x","kind":"click","ua":"A","ip":"::ffff:192.0.2.1","asn":64500,"since_accept_s":-0.0004,
            "headers":{"Accept":"text/html"},"context":{"links_in_message":3,"sender_ips":null,"moon":"full"}}"#,
        );
        assert_eq!(evidence.since_accept_ms, Some(-1));
        assert_eq!(evidence.headers, Some(vec![("accept".to_owned(), "text/html".to_owned())]));
        assert_eq!(evidence.context.links_in_message, Some(3));
        assert_eq!(evidence.method, "GET");
    }

    #[test]
    fn headers_in_every_notation() {
        let fields = |text: &str| read(&format!(r#"{{"kind":"open","headers":{text}}}"#)).headers;
        let expected = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        for (text, pairs) in [
            (
                r#"{"X-Moz":"prefetch","DNT":1,"Accept":null}"#,
                [("x-moz", "prefetch"), ("dnt", "1")].as_slice(),
            ),
            (r#"[["X-Moz","prefetch"],["accept",null]]"#, &[("x-moz", "prefetch")]),
            (r#"[{"name":"X-Moz","value":"prefetch","odd":[]}]"#, &[("x-moz", "prefetch")]),
            (r#"["X-Moz: prefetch"]"#, &[("x-moz", "prefetch")]),
            (r#"{"accept":["a","b"]}"#, &[("accept", "a, b")]),
            ("{}", &[]),
            ("[]", &[]),
        ] {
            assert_eq!(fields(text), expected(pairs), "{text}");
        }
        assert_eq!(fields("null"), None);
    }

    #[test]
    fn numbers_flags_and_addresses_as_others_write_them() {
        let evidence = read(
            r#"{"kind":" Open ","ua":null,"method":null,"ip":"[2001:db8::1]:443","asn":15169.0,"since_accept_s":"41",
            "headers":{"User-Agent":"A"},
            "context":{"links_in_message":4.0,"distinct_links_within_1s":"2","self_cookie_valid":1,
            "recipient_is_sender":"false","is_honeypot_link":null,"sender_ips":"192.0.2.1, ::ffff:192.0.2.2",
            "recipient_mx":null,"earlier_click_other_source_s":12}}"#,
        );
        assert_eq!(evidence.kind, Kind::Open);
        assert_eq!(evidence.user_agent.as_deref(), Some("A"));
        assert_eq!(evidence.address, "2001:db8::1".parse().ok());
        assert_eq!((evidence.asn, evidence.since_accept_ms), (Some(15169), Some(41_000)));
        let context = &evidence.context;
        assert_eq!((context.links_in_message, context.distinct_links_within_1s), (Some(4), Some(2)));
        assert_eq!((context.self_cookie_valid, context.recipient_is_sender), (Some(true), Some(false)));
        assert_eq!(context.sender_ips.len(), 2);
        assert_eq!(context.earlier_click_other_source_s, Some(12.0));
        for (text, expected) in
            [(r#""AS15169""#, Some(15169)), (r#""15169""#, Some(15169)), ("null", None), (r#""""#, None)]
        {
            assert_eq!(read(&format!(r#"{{"kind":"open","asn":{text}}}"#)).asn, expected, "{text}");
        }
        for (text, expected) in [
            (r#""192.0.2.7:1234""#, Some("192.0.2.7")),
            (r#""192.0.2.0/24""#, Some("192.0.2.0")),
            (r#""fe80::1%eth0""#, Some("fe80::1")),
            (r#""""#, None),
            ("null", None),
        ] {
            let address = read(&format!(r#"{{"kind":"open","ip":{text}}}"#)).address;
            assert_eq!(address, expected.map(|text| text.parse().unwrap()), "{text}");
        }
        assert_eq!(read(r#"{"kind":"open","context":null}"#).context, Context::default());
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for line in [
            r#"{"kind":"look"}"#,
            r#"{"ua":"A"}"#,
            r#"{"kind":null}"#,
            r#"{"kind":"open","ip":"nowhere"}"#,
            r#"{"kind":"open","ip":"192.0.2.0/x"}"#,
            r#"{"kind":"open","asn":-1}"#,
            r#"{"kind":"open","asn":"ASX"}"#,
            r#"{"kind":"open","asn":true}"#,
            r#"{"kind":"open","since_accept_s":"soon"}"#,
            r#"{"kind":"open","since_accept_s":"inf"}"#,
            r#"{"kind":"open","headers":"Accept: x"}"#,
            r#"{"kind":"open","headers":[["accept"]]}"#,
            r#"{"kind":"open","headers":{"accept":{}}}"#,
            r#"{"kind":"open","context":{"links_in_message":1.5}}"#,
            r#"{"kind":"open","context":{"self_cookie_valid":"perhaps"}}"#,
            r#"{"kind":"open","context":{"sender_ips":["x"]}}"#,
            r#"{"kind":"open","context":3}"#,
            "[]",
            "3",
        ] {
            assert!(serde_json::from_str::<Record>(line).is_err(), "{line}");
        }
    }
}
