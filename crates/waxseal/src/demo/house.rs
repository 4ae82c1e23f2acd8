use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use catcher::Catcher;
use console::Office;
use envelope::{Choice, Clock, Mailbox, SystemClock};
use relay::{Door, LoginLimits, LoginOrder, OnSuppressed, Rewriting, Route, Settings, Submitter};
use smtp::{AuthPolicy, Limits, ListenerConfig};
use store::Store;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use track::{Endpoint, Settler, Surroundings};
use upstream::{Tls, Trust, Upstream};

use super::front_door::FrontDoor;
use super::office::{DemoOffice, TRACK_FIELD};
use super::recipient::{self, APPLE};
use super::samples::{self, SENDER};
use crate::house::{Cellar, House, Serving};

/// Everything of the demo: relay, mailbox, tracking endpoint and page, each on a loopback socket.
pub(crate) struct DemoHouse {
    house: House,
    office: Arc<DemoOffice>,
    serving: Serving,
    smtp: SocketAddr,
    tracking: SocketAddr,
    console: SocketAddr,
    /// Gone with its last owner, unless the person wanted to keep it.
    _folder: Option<TempDir>,
}

const SMTP_PORT: u16 = 2525;
const CONSOLE_PORT: u16 = 8080;
const TRACKING_PORT: u16 = 8081;
const CONNECTIONS: usize = 100;
const OCTETS_UNDER_WAY: usize = 128 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);
const SETTLING: Duration = Duration::from_secs(10);

impl DemoHouse {
    /// Opens every port, on the usual one or the next that is free, and serves until `shutdown`.
    pub(crate) async fn open(keep: Option<&Path>, shutdown: &watch::Receiver<bool>) -> anyhow::Result<Self> {
        let (folder, place) = folder(keep)?;
        let (smtp_listener, smtp) = bind(SMTP_PORT).await?;
        let (console_listener, console) = bind(CONSOLE_PORT).await?;
        let (tracking_listener, tracking) = bind(TRACKING_PORT).await?;
        let catcher = Catcher::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let cellar = Cellar {
            store: place.join("waxseal.db"),
            spool: place.join("spool"),
            low_disk: None,
            keys: place.join("links.key"),
        };
        let house = House::build(&cellar, settings(tracking, catcher.addr()), clock.clone()).await?;
        let office = Arc::new(DemoOffice::new(catcher, smtp, console, tracking));

        let mut serving = Serving::default();
        let relay = house.relay.clone().context("a whole house has a relay")?;
        let door = Door::new(relay, Submitter::Address(Mailbox::parse(SENDER)?));
        let door = Arc::new(FrontDoor::new(door, office.clone()));
        let limits = Limits::new(CONNECTIONS, CONNECTIONS, OCTETS_UNDER_WAY);
        let listener = ListenerConfig {
            auth: AuthPolicy::None,
            ..ListenerConfig::new("demo", "waxseal.demo.test", limits)
        };
        let stop = shutdown.clone();
        serving.spawn(async move {
            smtp::serve(smtp_listener, Arc::new(listener), door, stop).await;
            Ok(())
        });
        let wall = clock.clone();
        // The seeded message that a machine opens comes "through" a proxy on this computer.
        let surroundings = Surroundings::new(house.store.clone());
        let endpoint = Endpoint {
            trusted_proxies: vec!["127.0.0.1/32".parse()?],
            surroundings: Some(surroundings.clone()),
            ..Endpoint::new(house.keys.clone(), house.recorder.clone(), clock.clone())
        };
        // Nobody watches a page for a minute.
        let settler = Settler::new(house.store.clone(), surroundings, endpoint.rules.clone(), clock);
        let (settler, stop) = (settler.waiting(SETTLING), shutdown.clone());
        serving.spawn(async move {
            settler.run(stop).await;
            Ok(())
        });
        let (stop, endpoint) = (shutdown.clone(), Arc::new(endpoint));
        serving.spawn(async move { Ok(track::serve(tracking_listener, None, endpoint, stop).await?) });
        let (stop, store, counter) = (shutdown.clone(), house.store.clone(), office.clone());
        serving.spawn(async move { Ok(console::serve(console_listener, store, counter, wall, stop).await?) });
        tokio::spawn(house.replaying());
        Ok(Self { house, office, serving, smtp, tracking, console, _folder: folder })
    }

    /// Sends the four messages that show the four states.
    pub(crate) async fn seed(&self) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let hello = self.office.send(samples::hello(now)).await?;
        self.office.send(samples::plain_words(now)).await?;
        self.office.send(samples::minutes(now)).await?;
        self.office.send(samples::offer(now, "opens, links")).await?;
        // Li's phone loads the images of "Hello" as soon as it arrives, whether Li reads it or not.
        let html = self.office.caught_html(hello).context("the seeded mail did not arrive as HTML")?;
        for url in recipient::tracked_urls(&html, &self.base_url(), seal::PIXEL_PATH) {
            recipient::get(self.tracking, &url, APPLE).await?;
        }
        Ok(())
    }

    pub(crate) async fn serve_until(&mut self, shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
        self.serving.until_told(shutdown).await
    }

    /// Ends after `shutdown`: everything under way is finished, the store is closed.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        let finished = self.serving.finished().await;
        self.house.close().await;
        finished
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.house.store.clone()
    }

    pub(crate) fn office(&self) -> Arc<DemoOffice> {
        self.office.clone()
    }

    pub(crate) fn tracking(&self) -> SocketAddr {
        self.tracking
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.tracking)
    }

    pub(crate) fn page(&self) -> String {
        format!("http://{}/demo", self.console)
    }

    /// The first words on the terminal.
    pub(crate) fn welcome(&self) -> String {
        let mut text = format!(
            "\nWaxseal demo · everything stays on this computer\n\n  \
             console   http://{}   you are {SENDER}, no password here\n  \
             send to   {}   any mail program: no TLS, no login\n  \
             caught    every message ends in the built-in mailbox; nothing is delivered\n",
            self.console, self.smtp
        );
        let taken = [(SMTP_PORT, self.smtp), (CONSOLE_PORT, self.console), (TRACKING_PORT, self.tracking)];
        for (usual, got) in taken.into_iter().filter(|(usual, got)| *usual != got.port()) {
            let _ = write!(text, "\n  Port {usual} is taken here, so it is {} this time.", got.port());
        }
        text
    }

    /// How to see the page from the computer one sits at.
    pub(crate) fn over_ssh(&self, connection: &str) -> String {
        let host = connection.split(' ').nth(2).unwrap_or("this-machine");
        let (console, tracking) = (self.console.port(), self.tracking.port());
        format!(
            "  Over SSH? On your own computer run\n\n    \
             ssh -L {console}:127.0.0.1:{console} -L {tracking}:127.0.0.1:{tracking} {host}\n\n  \
             and open {}\n",
            self.page()
        )
    }
}

/// The last words on the terminal.
pub(crate) fn last_words(keep: Option<&Path>) -> String {
    let kept = match keep {
        Some(folder) => format!("Store and keys are in {}.", folder.display()),
        None => "Nothing is left behind.".to_owned(),
    };
    format!(
        "\n{kept} Next: copy config/waxseal.toml, set tracking.base_url and one [upstream.*], then\n\
         `waxseal check -c waxseal.toml` and `waxseal run -c waxseal.toml`."
    )
}

fn folder(keep: Option<&Path>) -> anyhow::Result<(Option<TempDir>, PathBuf)> {
    if let Some(folder) = keep {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        return Ok((None, folder.to_owned()));
    }
    let folder = TempDir::with_prefix("waxseal-demo-").context("cannot make a temporary folder")?;
    let place = folder.path().to_owned();
    Ok((Some(folder), place))
}

/// The usual port, or the next that is free; at last any.
async fn bind(usual: u16) -> anyhow::Result<(TcpListener, SocketAddr)> {
    const TRIES: u16 = 20;
    let ports = (usual..usual + TRIES).chain([0]);
    let mut refusal = None;
    for port in ports {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => {
                let address = listener.local_addr()?;
                return Ok((listener, address));
            }
            Err(error) => refusal = Some(error),
        }
    }
    let refusal = refusal.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(refusal).with_context(|| format!("no port is free from {usual} on"))
}

fn settings(tracking: SocketAddr, catcher: SocketAddr) -> Settings {
    let mailbox = Upstream {
        name: "mailbox".into(),
        host: catcher.ip().to_string(),
        port: catcher.port(),
        tls: Tls::None,
        trust: Trust::System,
        helo: "waxseal.demo.test".into(),
        timeout: TIMEOUT,
        proxy: None,
    };
    Settings {
        hostname: "waxseal.demo.test".into(),
        tracking_enabled: true,
        base_url: format!("http://{tracking}"),
        domains: vec![],
        track_field: TRACK_FIELD.into(),
        login_suffix: false,
        sticky: false,
        defaults: Choice::BOTH,
        locked: Choice::NONE,
        never_track: vec![],
        modes: envelope::TrackingModes::default(),
        keep_subjects: true,
        about_field: false,
        rewriting: Rewriting::default(),
        unsubscribe_mailto: None,
        on_suppressed: OnSuppressed::default(),
        rewrite_time: Duration::from_secs(2),
        login_order: vec![LoginOrder::Local],
        login_limits: LoginLimits { failures: 5, per: Duration::from_mins(15) },
        senders: vec![],
        routes: vec![Route::direct(mailbox)],
    }
}
