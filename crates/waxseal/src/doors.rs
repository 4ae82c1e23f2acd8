//! The sockets of `waxseal run`: all are open before anything is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use relay::{Door, FeedbackDoor, Intake, Relay, Submitter};
use rustls::ServerConfig;
use smtp::{AuthPolicy, Deadlines, Limits, ListenerConfig, TlsMode};
use tokio::net::TcpListener;

use crate::config;
use crate::config::{Config, Encryption, Listener, LoginPlace, Role, UpstreamLogin};

/// A mail listener that is open.
pub(crate) struct MailDoor {
    pub(crate) socket: TcpListener,
    pub(crate) config: Arc<ListenerConfig>,
    pub(crate) door: Behind,
}

/// What answers behind a listener.
pub(crate) enum Behind {
    /// The relay takes senders' mail.
    Relay(Arc<Door>),
    /// Bounces and complaints are read.
    Feedback(Arc<FeedbackDoor>),
}

/// Opens the socket of every `[[smtp]]`.
pub(crate) async fn mail_doors(
    config: &Config,
    certificate: Option<&Arc<ServerConfig>>,
    relay: &Arc<Relay>,
    intake: &Intake,
) -> anyhow::Result<Vec<MailDoor>> {
    let limits = &config.limits;
    let in_flight = usize::try_from(limits.in_flight_octets).unwrap_or(usize::MAX);
    let shared = Limits::new(limits.connections, limits.connections_per_address, in_flight);
    let mut doors = Vec::new();
    for listener in &config.listeners {
        let socket = bind(listener.listen).await?;
        let submitter = match (&listener.sender, listener.login_required) {
            (_, true) => Submitter::Authenticated,
            (Some(address), false) => Submitter::Address(address.clone()),
            (None, false) => Submitter::ReversePath,
        };
        doors.push(MailDoor {
            socket,
            config: Arc::new(listener_config(config, listener, certificate, shared.clone())?),
            door: match listener.role {
                Role::Submission => Behind::Relay(Arc::new(Door::new(relay.clone(), submitter))),
                Role::Feedback => Behind::Feedback(Arc::new(FeedbackDoor::new(Arc::new(intake.clone())))),
            },
        });
    }
    Ok(doors)
}

/// Opens one socket.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Opens the socket of the plain listener, if there is to be one.
pub(crate) async fn plain_http(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.tracking.plain_http else { return Ok(None) };
    let socket = bind(address).await;
    socket.map(Some).context("plain HTTP: set tracking.plain_http_listen, or tracking.plain_http = \"off\"")
}

fn listener_config(
    config: &Config,
    listener: &Listener,
    certificate: Option<&Arc<ServerConfig>>,
    limits: Arc<Limits>,
) -> anyhow::Result<ListenerConfig> {
    let certificate = || certificate.cloned().context("a listener speaks TLS and there is no certificate");
    let networks = listener.allow_from.clone();
    Ok(ListenerConfig {
        tls: match listener.tls {
            Encryption::None => TlsMode::None,
            Encryption::Implicit => TlsMode::Implicit(certificate()?),
            Encryption::StartTls => TlsMode::StartTls(certificate()?),
        },
        auth: if listener.login_required { AuthPolicy::Required } else { AuthPolicy::None },
        // The configuration allows plain text on loopback only; the listener looks at each connection.
        allow_plain_auth: listener.tls == Encryption::None,
        oauth: takes_tokens(config),
        // Each upstream is asked again at MAIL, and one that does not offer it refuses the message.
        require_tls: config.upstreams.iter().any(|upstream| upstream.tls != Encryption::None),
        max_message_octets: config.limits.message_octets,
        max_recipients: config.limits.recipients,
        deadlines: Deadlines { grace: config.limits.shutdown_grace, ..Deadlines::default() },
        allow_from: networks.map(|networks| -> smtp::AllowFrom {
            Arc::new(move |ip| networks.iter().any(|network| network.contains(ip)))
        }),
        ..ListenerConfig::new(listener.listen.to_string(), config.hostname.clone(), limits)
    })
}

/// Raises the limit of open files to what the configuration can take, as far as the system lets us.
pub(crate) fn make_room_for_connections(config: &Config) {
    // A client's connection and its provider's; what the tracking endpoint, the store and the log have open.
    let needed = (config.limits.connections as u64).saturating_mul(2).saturating_add(OTHER_FILES);
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit < needed => tracing::warn!(
            limit,
            needed,
            "the system allows fewer open files than `limits.connections` may need: raise LimitNOFILE= or lower it"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files could not be read"),
    }
}

/// 512 connections of the tracking endpoint, those that are on their way out, and the rest.
const OTHER_FILES: u64 = 1_000;

/// A token is right if a provider takes it, so one must be there to be asked.
fn takes_tokens(config: &Config) -> bool {
    let passes_through = |upstream: &config::UpstreamConfig| upstream.login == UpstreamLogin::PassThrough;
    config.login_order.contains(&LoginPlace::Upstream) && config.upstreams.iter().any(passes_through)
}

/// How long after the grace the rest of the program may take.
pub(crate) const TIME_TO_CLOSE: Duration = Duration::from_secs(5);
