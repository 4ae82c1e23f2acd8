use envelope::{RelayId, Timestamp};
use hyper::header::USER_AGENT;
use hyper::http::request::Parts;
use seal::{LinkToken, PixelToken, Recipient};
use serde_json::json;
use store::Event;
use verdict::{Context, Evidence, Kind};

use crate::client_address::{Visitor, client_address, client_https};
use crate::endpoint::{Endpoint, KeepAddress, KeepAgent};

/// A user agent longer than this is cut: no honest one is, and rules and store should not carry it.
const MAX_AGENT_OCTETS: usize = 1_000;
/// Header fields whose presence says something about who asks.
const TELLING_NAMES: [&str; 22] = [
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
];
/// Names of header fields that are kept, all together.
const MAX_NAMES_OCTETS: usize = 1_000;

/// A pixel or a link of ours was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    kind: Kind,
    message: RelayId,
    recipient: Recipient,
    link: Option<u16>,
}

impl Hit {
    pub(crate) fn open(token: &PixelToken) -> Self {
        Self { kind: Kind::Open, message: token.message, recipient: token.recipient, link: None }
    }

    pub(crate) fn click(token: &LinkToken) -> Self {
        let link = Some(token.link);
        Self { kind: Kind::Click, message: token.message, recipient: token.recipient, link }
    }

    /// Judges the hit with all that is known, then keeps as much as may be kept.
    ///
    /// # Errors
    /// When the system has no random octets for its id.
    pub(crate) fn judged(
        self,
        at: Timestamp,
        visitor: Visitor,
        request: &Parts,
        endpoint: &Endpoint,
    ) -> Result<Event, getrandom::Error> {
        let mut random = [0; 10];
        getrandom::fill(&mut random)?;
        let evidence = self.evidence(at, visitor, request, endpoint);
        let judgement = endpoint.rules.judge(&evidence);
        let agent = evidence.user_agent.as_deref();
        let device = || agent.and_then(verdict::device).map(|device| device.to_string());
        Ok(Event {
            id: RelayId::new(at, random),
            at,
            kind: self.kind.into(),
            message: self.message,
            recipient: match self.recipient {
                Recipient::Index(index) => Some(index),
                Recipient::Shared => None,
            },
            link: self.link,
            about: None,
            place: None,
            device: match endpoint.keep_agent {
                KeepAgent::None => None,
                // Where the agent is not the person's own it must not be shown as if it were.
                KeepAgent::Family | KeepAgent::Full => judgement.trust.device.then(device).flatten(),
            },
            address: evidence.address.and_then(|address| match endpoint.keep_address {
                KeepAddress::None => None,
                KeepAddress::Truncated => Some(verdict::truncated(address)),
                KeepAddress::Full => Some(address.to_string()),
            }),
            user_agent: match endpoint.keep_agent {
                KeepAgent::None => None,
                KeepAgent::Family => device(),
                KeepAgent::Full => evidence.user_agent.clone(),
            },
            evidence: kept(&evidence),
            judgement: Some(judgement),
        })
    }

    fn evidence(self, at: Timestamp, visitor: Visitor, request: &Parts, endpoint: &Endpoint) -> Evidence {
        let (peer, headers, trusted) = (visitor.peer, &request.headers, &endpoint.trusted_proxies);
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        Evidence {
            method: request.method.to_string(),
            user_agent: headers.get(USER_AGENT).map(|agent| cut(text(agent.as_bytes()), MAX_AGENT_OCTETS)),
            address: client_address(peer, headers, trusted),
            since_accept_ms: Some(at.unix_millis().saturating_sub(made_at_millis(self.message))),
            headers: Some(headers.iter().map(|(n, v)| (n.as_str().to_owned(), text(v.as_bytes()))).collect()),
            context: Context {
                https: client_https(peer, visitor.tls, headers, trusted),
                ..Context::default()
            },
            ..Evidence::new(self.kind)
        }
    }
}

/// What of the evidence is stored beside address and agent: nothing that a person could be known by.
fn kept(evidence: &Evidence) -> String {
    let mut left = MAX_NAMES_OCTETS;
    let names: Vec<&str> = evidence
        .headers
        .iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        // Others say nothing to a verdict, and a client could fill the store with them.
        .filter(|name| TELLING_NAMES.contains(name))
        .take_while(|name| {
            let fits = left.checked_sub(name.len());
            left = fits.unwrap_or(0);
            fits.is_some()
        })
        .collect();
    json!({
        "method": evidence.method,
        "headers": names,
        "https": evidence.context.https,
        "since_accept_ms": evidence.since_accept_ms,
    })
    .to_string()
}

/// Milliseconds since 1970 at which an id was made: the first 48 bits (RFC 9562 §5.7).
fn made_at_millis(id: RelayId) -> i64 {
    id.as_bytes()[..6].iter().fold(0, |millis, octet| millis << 8 | i64::from(*octet))
}

/// The beginning of a text, at most so many octets of it.
fn cut(mut text: String, octets: usize) -> String {
    text.truncate(text.floor_char_boundary(octets));
    text
}
