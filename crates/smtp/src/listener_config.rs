use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::Limits;
use crate::session_config::{AuthPolicy, SessionConfig, TlsOffer};

/// One door: what [`crate::serve`] offers on a socket.
#[derive(Clone)]
pub struct ListenerConfig {
    /// What [`crate::Client::listener`] says.
    pub name: String,
    /// Our name in the greeting and in the answer to EHLO. ASCII.
    pub hostname: String,
    /// How TLS begins.
    pub tls: TlsMode,
    /// Who may send.
    pub auth: AuthPolicy,
    /// Take passwords without TLS from this machine, over a loopback address.
    pub allow_plain_auth: bool,
    /// Access tokens are taken too: XOAUTH2 and OAUTHBEARER (RFC 7628). For those who can pass them on.
    pub oauth: bool,
    /// Messages may ask for TLS all the way (REQUIRETLS, RFC 8689). For those who can keep that.
    pub require_tls: bool,
    /// Largest content, in octets.
    pub max_message_octets: u64,
    /// Recipients of one message, refused ones included.
    pub max_recipients: usize,
    /// Longest command line with its CRLF, in octets.
    pub max_line_octets: usize,
    /// How long we wait, and for what.
    pub deadlines: Deadlines,
    /// Shared by all listeners.
    pub limits: Arc<Limits>,
    /// Who may connect; `None` means everybody.
    pub allow_from: Option<AllowFrom>,
}

/// Says whether an address may connect.
pub type AllowFrom = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// How TLS begins.
#[derive(Clone)]
pub enum TlsMode {
    /// Never.
    None,
    /// With the connection (RFC 8314 §3.3, port 465).
    Implicit(Arc<rustls::ServerConfig>),
    /// With STARTTLS (RFC 3207, port 587).
    StartTls(Arc<rustls::ServerConfig>),
}

/// How long we wait, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For a whole command line. RFC 5321 §4.5.3.2.7 asks for five minutes.
    pub command: Duration,
    /// From the first octet to the end of the login, handshake included, where a login is required; time spent
    /// asking whether the login is right does not count.
    pub login: Duration,
    /// For as much content as [`Deadlines::content_rate`] brings in this time; time spent waiting for room with
    /// us does not count. RFC 5321 §4.5.3.2.5 asks for three minutes.
    pub content_read: Duration,
    /// The same while others wait for room: who holds some and brings nothing must not keep them out.
    pub content_read_when_full: Duration,
    /// The slowest line we wait for, in octets a second. It bounds the time for a whole content: for the largest
    /// that is taken, and for one that is too large, that one's octets by this rate, and one `content_read`.
    pub content_rate: u64,
    /// For the client to take our replies.
    pub write: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For room in the budget of octets; after it the content is let go and gets 452.
    pub room: Duration,
    /// At shutdown, for contents and handlers that are under way.
    pub grace: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            command: Duration::from_mins(5),
            login: Duration::from_mins(1),
            content_read: Duration::from_mins(3),
            content_read_when_full: Duration::from_secs(10),
            content_rate: 2_000,
            write: Duration::from_mins(1),
            handshake: Duration::from_secs(30),
            room: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }
}

impl ListenerConfig {
    /// The defaults of [`SessionConfig::new`] and [`Deadlines`], no TLS, open to everybody who can log in.
    pub fn new(name: impl Into<String>, hostname: impl Into<String>, limits: Arc<Limits>) -> Self {
        let defaults = SessionConfig::new(hostname);
        Self {
            name: name.into(),
            hostname: defaults.hostname,
            tls: TlsMode::None,
            auth: defaults.auth,
            allow_plain_auth: false,
            oauth: defaults.oauth,
            require_tls: defaults.require_tls,
            max_message_octets: defaults.max_message_octets,
            max_recipients: defaults.max_recipients,
            max_line_octets: defaults.max_line_octets,
            deadlines: Deadlines::default(),
            limits,
            allow_from: None,
        }
    }

    pub(crate) fn allows(&self, ip: IpAddr) -> bool {
        self.allow_from.as_ref().is_none_or(|allows| allows(ip.to_canonical()))
    }

    /// `stays_here`: both ends of the connection are loopback addresses.
    pub(crate) fn session(&self, stays_here: bool) -> SessionConfig {
        SessionConfig {
            tls: match self.tls {
                TlsMode::None => TlsOffer::None,
                TlsMode::Implicit(_) => TlsOffer::Active,
                TlsMode::StartTls(_) => TlsOffer::StartTls,
            },
            auth: self.auth,
            auth_without_tls: self.allow_plain_auth && stays_here,
            oauth: self.oauth,
            require_tls: self.require_tls,
            max_message_octets: self.max_message_octets,
            max_recipients: self.max_recipients,
            max_line_octets: self.max_line_octets,
            ..SessionConfig::new(self.hostname.clone())
        }
    }
}

impl fmt::Debug for ListenerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerConfig").field("name", &self.name).finish_non_exhaustive()
    }
}
