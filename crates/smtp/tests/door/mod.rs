//! A listener on a socket of this machine, a handler that writes down what it hears, and a client.
// A test binary has no outside; `pub` says what its modules are for.
#![allow(unreachable_pub, clippy::unwrap_used)]

mod client;
mod office;
mod paper;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use waxseal_smtp::{AuthPolicy, Limits, ListenerConfig, TlsMode, serve};

pub use client::Client;
use office::{Diary, Office};
pub use paper::Paper;

/// How long a test waits for what must come. Only a test that fails waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Room enough for what tests send, where the test is not about it.
pub const MANY_OCTETS: usize = 10_000_000;

/// A running listener.
pub struct Door {
    pub address: SocketAddr,
    pub limits: Arc<Limits>,
    diary: Arc<Diary>,
    shutdown: Option<watch::Sender<bool>>,
    serving: JoinHandle<()>,
    certificate: Certificate,
}

/// Which way TLS begins.
#[derive(Clone, Copy)]
pub enum Mode {
    Clear,
    Implicit,
    StartTls,
}

#[derive(Clone)]
pub struct Certificate(Arc<ClientConfig>, Arc<ServerConfig>);

impl Door {
    /// Opens a door that anybody may use, on limits of its own, changed by `change`.
    pub async fn open(mode: Mode, change: impl FnOnce(&mut ListenerConfig)) -> Self {
        let certificate = Certificate::new();
        let limits = Limits::new(1_000, 1_000, MANY_OCTETS);
        let mut config = ListenerConfig::new("front", "relay.example", limits);
        config.auth = AuthPolicy::None;
        config.tls = match mode {
            Mode::Clear => TlsMode::None,
            Mode::Implicit => TlsMode::Implicit(certificate.1.clone()),
            Mode::StartTls => TlsMode::StartTls(certificate.1.clone()),
        };
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let diary = Arc::new(Diary::default());
        let office = Arc::new(Office(diary.clone()));
        let (shutdown, cue) = watch::channel(false);
        let limits = config.limits.clone();
        let serving = tokio::spawn(serve(listener, Arc::new(config), office, cue));
        Self { address, limits, diary, shutdown: Some(shutdown), serving, certificate }
    }

    /// A client in clear, which has not read the greeting.
    pub async fn client(&self) -> Client {
        Client::connect(self.address, self.certificate.0.clone()).await
    }

    /// A client that has read the greeting, in clear, and said EHLO.
    pub async fn greeted(&self) -> Client {
        let mut client = self.client().await;
        client.expect("220").await;
        client.ask("EHLO client.example", "250").await;
        client
    }

    /// A client that sees 354 next.
    pub async fn at_data(&self) -> Client {
        let mut client = self.greeted().await;
        client.ask("MAIL FROM:<ana@a.example>", "250").await;
        client.ask("RCPT TO:<bob@b.example>", "250").await;
        client.ask("DATA", "354").await;
        client
    }

    /// Everything the handlers heard, once `what` is among it.
    pub async fn heard(&self, what: &str) -> Vec<String> {
        let mut heard = self.diary.heard.subscribe();
        let wait = heard.wait_for(|lines| lines.iter().any(|line| line == what));
        let lines = timeout(PATIENCE, wait).await.ok().map(|lines| lines.unwrap().clone());
        lines.unwrap_or_else(|| panic!("{what:?} was not heard, only {:?}", self.diary.heard.borrow()))
    }

    /// The contents that handlers were given.
    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.diary.contents.borrow().clone()
    }

    /// Lets one content go that its handler holds back.
    pub fn release_content(&self) {
        self.diary.release.notify_one();
    }

    pub fn shut_down(&self) {
        self.shutdown.as_ref().unwrap().send_replace(true);
    }

    /// Nobody can begin the shutdown any more.
    pub fn lose_shutdown(&mut self) {
        self.shutdown = None;
    }

    /// Until the listener has returned, whole.
    pub async fn closed(self) {
        timeout(PATIENCE, self.serving).await.expect("serve does not return").unwrap();
    }

    /// Until so many connections are open.
    pub async fn connections(&self, number: usize) {
        let wait = async {
            while self.limits.open_connections() != number {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = timeout(PATIENCE, wait).await.is_ok();
        assert!(in_time, "{} connections, not {number}", self.limits.open_connections());
    }
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["relay.example".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(client), Arc::new(server))
    }
}
