use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use envelope::Clock;
use seal::{Keys, SelfCookie};
use store::{Recorder, Store};
use verdict::Rules;

use crate::keeping::Keeping;
use crate::network::Network;
use crate::places::Places;
use crate::recipient_page::About;
use crate::revoked::Revoked;
use crate::surroundings::Surroundings;

/// What [`crate::serve`] answers with.
#[derive(Clone)]
pub struct Endpoint {
    /// Open the tokens.
    pub keys: Arc<Keys>,
    /// Judge who it was.
    pub rules: Arc<Rules>,
    /// Records what happened. `None`: this node has the keys only, it answers and records nothing.
    pub recorder: Option<Arc<Recorder>>,
    /// What else is known about a hit. `None`: it is judged by its request alone.
    pub surroundings: Option<Arc<Surroundings>>,
    /// Opens the cookie of senders who are signed in at the console.
    pub self_cookie: SelfCookie,
    /// Where it is written that somebody unsubscribed. `None`: nobody can here.
    pub store: Option<Arc<dyn Store>>,
    /// Links that are to lead nowhere any more.
    pub revoked: Arc<Revoked>,
    /// The time of events.
    pub clock: Arc<dyn Clock>,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// Their connections begin with a header of the PROXY protocol, version 1 or 2; one that does not is
    /// closed. A stranger's connection that does is not believed: to it the header is a malformed request.
    pub proxy_protocol: bool,
    /// `mailto:` or `https:`: whom to tell about a weakness (RFC 9116). `None`: there is no security.txt.
    pub contact: Option<String>,
    /// What may be kept about whom.
    pub keeping: Keeping,
    /// Where addresses are. `None`: nobody says.
    pub places: Option<Arc<Places>>,
    /// What recipients are told on the host's pages, and that they can refuse. `None`: there are no such pages.
    pub about: Option<About>,
    /// How much of a client's address is stored.
    pub keep_address: KeepAddress,
    /// How much of a client's user agent is stored.
    pub keep_agent: KeepAgent,
    /// How much is borne at once.
    pub limits: Limits,
    /// How long we wait, and for what.
    pub deadlines: Deadlines,
}

/// How much of a client's address is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAddress {
    /// Nothing.
    None,
    /// The network: /24 of IPv4, /48 of IPv6.
    #[default]
    Truncated,
    /// All of it.
    Full,
}

/// How much of a client's user agent is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAgent {
    /// Nothing.
    None,
    /// Program and system in words, as far as it is a person's.
    #[default]
    Family,
    /// The field, cut at 1,000 octets.
    Full,
}

/// How much is borne at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections. For a further one the one that has been idle for longest has to go.
    pub max_connections: usize,
    /// Connections of one address (of IPv6: one /64) that does not carry others. For a further one its own
    /// that has been idle for longest has to go.
    pub max_connections_per_address: usize,
    /// Requests on one connection; the last is told that it is closed.
    pub max_requests_per_connection: u32,
    /// A request's line and header fields, in octets; more is answered with 431. 8,192 at least. A tracking
    /// host below the sender's own domain is sent that domain's cookies too, so the default is generous.
    pub max_header_octets: usize,
    /// Events on their way to the store. One more waits for its turn, then is answered without being
    /// recorded; the log says so.
    pub max_recordings: usize,
    /// Hits of one address (of IPv6: one /64) that are recorded; those beyond are answered all the same, and
    /// the log says so. Not for addresses that the rules know to carry many people: image proxies, relays,
    /// web gateways, mail filters.
    pub per_address: Option<Quota>,
    /// Hits of one pixel or link that are recorded, so that one URL cannot fill the disk.
    pub per_url: Option<Quota>,
}

/// So many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many.
    pub requests: u32,
    /// In which time. Counting begins anew after it.
    pub per: Duration,
}

/// How long we wait, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the PROXY protocol's header, and again for the TLS handshake.
    pub handshake: Duration,
    /// For a request, from when we begin to wait for it to the end of its header. So it is also how long a
    /// connection may stay idle.
    pub request: Duration,
    /// For the client to take some of our answer.
    pub write: Duration,
    /// For the event to be recorded. Then the answer leaves all the same, while recording goes on.
    pub recording: Duration,
    /// At shutdown, for answers and recordings that are under way.
    pub grace: Duration,
}

impl Endpoint {
    /// An endpoint with the built-in rules and every default: no proxy is trusted, addresses are
    /// truncated, agents reduced to their family.
    pub fn new(keys: Arc<Keys>, recorder: Option<Arc<Recorder>>, clock: Arc<dyn Clock>) -> Self {
        Self {
            surroundings: None,
            self_cookie: SelfCookie::new(&keys),
            keys,
            rules: Arc::new(Rules::builtin()),
            recorder,
            store: None,
            revoked: Arc::default(),
            clock,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            contact: None,
            keeping: Keeping::default(),
            places: None,
            about: None,
            keep_address: KeepAddress::default(),
            keep_agent: KeepAgent::default(),
            limits: Limits::default(),
            deadlines: Deadlines::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_connections_per_address: 128,
            max_requests_per_connection: 1_000,
            max_header_octets: 32_768,
            max_recordings: 1_024,
            per_address: Some(Quota { requests: 120, per: Duration::from_mins(1) }),
            per_url: Some(Quota { requests: 2_000, per: Duration::from_hours(1) }),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(15),
            write: Duration::from_secs(10),
            recording: Duration::from_millis(300),
            grace: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("keys", &self.keys)
            .field("records", &self.recorder.is_some())
            .field("trusted_proxies", &self.trusted_proxies)
            .field("proxy_protocol", &self.proxy_protocol)
            .field("contact", &self.contact)
            .field("keeping", &self.keeping)
            .field("keep_address", &self.keep_address)
            .field("keep_agent", &self.keep_agent)
            .field("limits", &self.limits)
            .field("deadlines", &self.deadlines)
            .finish_non_exhaustive()
    }
}
