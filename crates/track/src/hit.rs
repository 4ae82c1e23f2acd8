use std::sync::Arc;

use envelope::{RelayId, Timestamp};
use hyper::header::USER_AGENT;
use hyper::http::request::Parts;
use seal::{LinkToken, PixelToken, Recipient};
use store::Event;
use verdict::{Context, Evidence, Judgement, Kind, Verdict};

use crate::client_address::{Visitor, client_address, client_https};
use crate::endpoint::{Endpoint, KeepAddress, KeepAgent};
use crate::self_cookie::signed_in;
use crate::settling::KeptEvidence;
use crate::surroundings::{MessageFacts, Seen, Source};

/// A user agent longer than this is cut: no honest one is, and rules and store should not carry it.
const MAX_AGENT_OCTETS: usize = 1_000;

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

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn message(&self) -> RelayId {
        self.message
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
        message: Option<&MessageFacts>,
    ) -> Result<Event, getrandom::Error> {
        let mut random = [0; 10];
        getrandom::fill(&mut random)?;
        let id = RelayId::new(at, random);
        let mut evidence = self.evidence(at, visitor, request, endpoint);
        let signed_in = signed_in(&endpoint.self_cookie, &request.headers, at);
        evidence.context.self_cookie_valid =
            signed_in.zip(message).map(|(address, message)| message.is_sender(&address));
        let judgement = self.judgement(id, at, &mut evidence, endpoint, message);
        let agent = evidence.user_agent.as_deref();
        let device = match endpoint.keep_agent {
            KeepAgent::None => None,
            // Read once: that is dearer than all the rest of this.
            KeepAgent::Family | KeepAgent::Full => {
                agent.and_then(verdict::device).map(|device| device.to_string())
            }
        };
        Ok(Event {
            id,
            at,
            kind: self.kind.into(),
            message: self.message,
            recipient: self.recipient(),
            link: self.link,
            about: None,
            place: place(&evidence, &judgement, endpoint),
            // Where the agent is not the person's own it must not be shown as if it were.
            device: device.clone().filter(|_| judgement.trust.device),
            address: evidence.address.and_then(|address| match endpoint.keep_address {
                KeepAddress::None => None,
                KeepAddress::Truncated => Some(verdict::truncated(address)),
                KeepAddress::Full => Some(address.to_string()),
            }),
            user_agent: match endpoint.keep_agent {
                KeepAgent::None => None,
                KeepAgent::Family => device,
                KeepAgent::Full => evidence.user_agent.clone(),
            },
            evidence: KeptEvidence::of(&evidence, endpoint.keep_address, endpoint.keep_agent).to_json(),
            judgement: Some(judgement),
        })
    }

    /// With what others say about it by now; and others will hear of it.
    fn judgement(
        self,
        id: RelayId,
        at: Timestamp,
        evidence: &mut Evidence,
        endpoint: &Endpoint,
        message: Option<&MessageFacts>,
    ) -> Judgement {
        let Some(surroundings) = &endpoint.surroundings else { return endpoint.rules.judge(evidence) };
        let recipient = self.recipient();
        let mut seen = Seen {
            event: id,
            at: at.unix_millis(),
            kind: self.kind,
            message: self.message,
            recipient,
            link: self.link,
            source: evidence.address.map(Source::of),
            address: evidence.address.map(|address| address.to_canonical()),
            agent: evidence.user_agent.as_deref().map(Arc::from),
            reader: surroundings.reader(message.and_then(|message| message.recipient(recipient))),
            person: false,
            honeypot: false,
        };
        surroundings.fill(evidence, &seen, message, &endpoint.rules);
        let judgement = endpoint.rules.judge(evidence);
        seen.person = judgement.verdict == Verdict::Human;
        surroundings.saw(seen);
        judgement
    }

    fn recipient(self) -> Option<u16> {
        match self.recipient {
            Recipient::Index(index) => Some(index),
            Recipient::Shared => None,
        }
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

/// Where the person is, if the verdict can believe it.
fn place(evidence: &Evidence, judgement: &Judgement, endpoint: &Endpoint) -> Option<String> {
    let address = evidence.address.filter(|_| judgement.trust.place)?;
    endpoint.places.as_ref()?.look_up(address).map(|place| place.to_string())
}

/// Milliseconds since 1970 at which an id was made: the first 48 bits (RFC 9562 §5.7).
pub(crate) fn made_at_millis(id: RelayId) -> i64 {
    id.as_bytes()[..6].iter().fold(0, |millis, octet| millis << 8 | i64::from(*octet))
}

/// The beginning of a text, at most so many octets of it.
fn cut(mut text: String, octets: usize) -> String {
    text.truncate(text.floor_char_boundary(octets));
    text
}
