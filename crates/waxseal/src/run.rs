use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use envelope::{Clock, SystemClock};
use relay::Dispatcher;
use seal::Keys;
use store::{Queue, Recorder};
use tokio::net::TcpListener;
use tokio::sync::watch;
use track::{Endpoint, Places, Screening, Settler, Surroundings};

use crate::certificates::{Certificates, PlainDoor};
use crate::cli::{Part, RunArgs};
use crate::config::Config;
use crate::doors::{self, Behind, MailDoor, TIME_TO_CLOSE};
use crate::exit::{self, Failure, Outcome};
use crate::house::{House, Serving};
use crate::purging::Purging;
use crate::{backstage, check, key_file, logging, signals, wiring};

/// Runs the relay and the tracking endpoint, or one of them, in the foreground until a signal.
pub(crate) async fn run(args: &RunArgs) -> Outcome {
    if args.without_store && args.only != Some(Part::Track) {
        let error = anyhow::anyhow!("--without-store goes with --only track: the relay has to remember mail");
        return Err(Failure::new(exit::USAGE, error));
    }
    let file = &args.config.config;
    let config = check::read_for(file, args.only)?;
    let (level, format, addresses) = wiring::log(&config.log);
    logging::begin(level, format, addresses);
    let mut signalled = signals::shutdown()?;
    let (stop, shutdown) = watch::channel(false);
    let stop = Arc::new(stop);
    let stop_on_signal = stop.clone();
    tokio::spawn(async move {
        if signalled.wait_for(|signal| *signal).await.is_ok() {
            stop_on_signal.send_replace(true);
        }
    });

    doors::make_room_for_connections(&config);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if args.without_store {
        let serving = open_keys_only(&config, clock, &shutdown).await.map_err(unavailable)?;
        tracing::info!(
            "with the keys alone: links redirect and pixels are answered; opens and clicks are recorded nowhere, nothing \
             that was revoked is stopped, and nobody can unsubscribe here"
        );
        let (tracking, version) = (&config.tracking.base_url, env!("CARGO_PKG_VERSION"));
        tracing::info!(config = %file.display(), %tracking, version, "ready");
        return end(&config, serving, &stop, shutdown, None).await;
    }
    let (cellar, settings) = (wiring::cellar(&config), wiring::settings(&config)?);
    let house = House::build_part(args.only, &cellar, settings, clock.clone()).await?;
    let serving = open(&config, &house, clock, &shutdown).await.map_err(unavailable)?;
    let waiting = match &house.queue {
        Some(queue) => queue.counts().await.context("cannot read the queue")?.waiting,
        None => 0,
    };
    tracing::info!(
        config = %file.display(),
        listeners = if house.relay.is_some() { config.listeners.len() } else { 0 },
        upstreams = config.upstreams.len(),
        tracking = %config.tracking.base_url,
        queued = waiting,
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );

    end(&config, serving, &stop, shutdown, Some(house)).await
}

/// Serves until told to end, and lets what is under way finish.
async fn end(
    config: &Config,
    mut serving: Serving,
    stop: &watch::Sender<bool>,
    shutdown: watch::Receiver<bool>,
    house: Option<House>,
) -> Outcome {
    let told = serving.until_told(shutdown).await;
    if told.is_err() {
        // What else is under way may finish all the same, then a restart mends the rest.
        stop.send_replace(true);
    }
    drain(config, serving).await;
    if let Some(house) = house {
        house.close().await;
    }
    told?;
    tracing::info!("ended");
    Ok(exit::OK)
}

/// Opens every socket, then serves on all of them.
async fn open(
    config: &Config,
    house: &House,
    clock: Arc<dyn Clock>,
    shutdown: &watch::Receiver<bool>,
) -> anyhow::Result<Serving> {
    let api_clock = clock.clone();
    let certificates = Certificates::open(config, house.recorder.is_some(), clock.clone())?;
    let for_mail = certificates.as_ref().map(Certificates::for_mail).transpose()?;
    let mail_doors = match &house.relay {
        Some(relay) => {
            let intake = wiring::intake(config, house.store.clone(), house.keys.clone(), clock.clone());
            doors::mail_doors(config, for_mail.as_ref(), relay, &intake).await?
        }
        None => vec![],
    };
    let tracking = match &house.recorder {
        Some(recorder) => Some((Web::open(config).await?, recorder)),
        None => None,
    };

    let mut serving = Serving::default();
    for MailDoor { socket, config, door } in mail_doors {
        let stop = shutdown.clone();
        serving.spawn(async move {
            match door {
                Behind::Relay(door) => smtp::serve(socket, config, door, stop).await,
                Behind::Feedback(door) => smtp::serve(socket, config, door, stop).await,
            }
            Ok(())
        });
    }
    if let Some((web, recorder)) = tracking {
        let certificates = certificates.as_ref();
        serve_recipients(&mut serving, config, house, web, recorder, certificates, &clock, shutdown).await?;
    }
    let purging = Purging {
        store: house.store.clone(),
        clock,
        terms: wiring::terms(config),
        spool: config.store.spool.clone(),
    };
    let stop = shutdown.clone();
    serving.spawn(async move {
        purging.run(stop).await;
        Ok(())
    });
    keep(&mut serving, certificates, shutdown);
    let dispatcher = house
        .relay
        .clone()
        .and_then(|relay| Dispatcher::new(relay, wiring::dispatched_octets(config), shutdown.clone()));
    if let Some(dispatcher) = dispatcher {
        serving.spawn(async move {
            dispatcher.run().await;
            Ok(())
        });
    }
    if let Some(listen) = config.console
        && house.relay.is_some()
    {
        let socket = doors::bind(listen).await?;
        let api = backstage::api(config, house, api_clock);
        let stop = shutdown.clone();
        serving.spawn(async move { Ok(console::serve_api(socket, api, stop).await?) });
    }
    tokio::spawn(house.replaying());
    Ok(serving)
}

/// The tracking endpoint, and what belongs to it: judging again, what is revoked, what may be kept.
#[allow(clippy::too_many_arguments, reason = "one caller, and each is a part of the house")]
async fn serve_recipients(
    serving: &mut Serving,
    config: &Config,
    house: &House,
    web: Web,
    recorder: &Arc<Recorder>,
    certificates: Option<&Certificates>,
    clock: &Arc<dyn Clock>,
    shutdown: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    // Nobody waits for it: until it is read, devices of rare programs are told less closely.
    tokio::task::spawn_blocking(verdict::load_families);
    let surroundings = Surroundings::new(house.store.clone());
    let endpoint = endpoint(config, house.keys.clone(), Some(recorder.clone()), clock.clone())?;
    let endpoint =
        Endpoint { store: Some(house.store.clone()), surroundings: Some(surroundings.clone()), ..endpoint };
    recorder.screen_with(Arc::new(Screening {
        surroundings: surroundings.clone(),
        store: house.store.clone(),
        keeping: endpoint.keeping.clone(),
        clock: clock.clone(),
    }));
    let settler = Settler::new(house.store.clone(), surroundings, endpoint.rules.clone(), clock.clone())
        .keeping(wiring::evidence(config));
    let stop = shutdown.clone();
    serving.spawn(async move {
        settler.run(stop).await;
        Ok(())
    });
    let (revoked, store, stop) = (endpoint.revoked.clone(), house.store.clone(), shutdown.clone());
    if let Err(error) = revoked.refresh(&*store).await {
        // A redirect does not wait for the store, so neither does the endpoint.
        tracing::warn!(%error, "what is revoked cannot be read yet");
    }
    serving.spawn(async move {
        revoked.follow(store, stop).await;
        Ok(())
    });
    web.serve(serving, config, endpoint, certificates, shutdown)?;
    Ok(())
}

/// The tracking endpoint of a node that has the keys and nothing else. Makes none: links that are out would not
/// open with them.
async fn open_keys_only(
    config: &Config,
    clock: Arc<dyn Clock>,
    shutdown: &watch::Receiver<bool>,
) -> anyhow::Result<Serving> {
    let file = &config.store.signing_key_file;
    let keys = key_file::read(file)
        .context("a node without a store needs the keys of the one that sends: waxseal keys export there, keys import here")?;
    let certificates = Certificates::open(config, true, clock.clone())?;
    let web = Web::open(config).await?;
    let mut serving = Serving::default();
    let endpoint = endpoint(config, Arc::new(keys), None, clock)?;
    web.serve(&mut serving, config, endpoint, certificates.as_ref(), shutdown)?;
    keep(&mut serving, certificates, shutdown);
    Ok(serving)
}

/// What the tracking endpoint answers with.
fn endpoint(
    config: &Config,
    keys: Arc<Keys>,
    recorder: Option<Arc<Recorder>>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Endpoint> {
    let (keep_address, keep_agent) = wiring::keeps(config);
    let proxies = config.tracking.trusted_proxies.iter().map(|network| network.to_string().parse());
    Ok(Endpoint {
        trusted_proxies: proxies.collect::<Result<_, _>>().context("a trusted proxy is not a network")?,
        proxy_protocol: config.tracking.proxy_protocol,
        contact: config.tracking.contact.clone(),
        keep_address,
        keep_agent,
        limits: wiring::endpoint_limits(config),
        keeping: wiring::keeping(config),
        about: wiring::about(config),
        rules: Arc::new(wiring::rules(config)?),
        places: places(config)?,
        ..Endpoint::new(keys, recorder, clock)
    })
}

/// The map of addresses, if there is one; it is read again as long as somebody looks places up.
fn places(config: &Config) -> anyhow::Result<Option<Arc<Places>>> {
    let Some(geo) = &config.geo else { return Ok(None) };
    let places = Arc::new(Places::open(&geo.file, geo.detail)?);
    let watched = Arc::downgrade(&places);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK_AT_MAP_EVERY).await;
            let Some(places) = watched.upgrade() else { return };
            // Reading a map of cities takes a while.
            let _ = tokio::task::spawn_blocking(move || places.refresh()).await;
        }
    });
    Ok(Some(places))
}

const LOOK_AT_MAP_EVERY: Duration = Duration::from_mins(1);

/// The sockets that recipients come to.
struct Web {
    tracking: TcpListener,
    plain: Option<TcpListener>,
}

impl Web {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            tracking: doors::bind(config.tracking.listen).await?,
            plain: doors::plain_http(config).await?,
        })
    }

    fn serve(
        self,
        serving: &mut Serving,
        config: &Config,
        endpoint: Endpoint,
        certificates: Option<&Certificates>,
        shutdown: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let tls = if config.tracking.tls {
            let certificates =
                certificates.context("the tracking endpoint speaks TLS and there is no certificate")?;
            Some(certificates.for_web()?)
        } else {
            None
        };
        let stop = shutdown.clone();
        serving.spawn(async move { Ok(track::serve(self.tracking, tls, Arc::new(endpoint), stop).await?) });
        if let Some(socket) = self.plain {
            let door = PlainDoor::new(config, certificates.map(Certificates::shown));
            let stop = shutdown.clone();
            serving.spawn(async move { Ok(door.serve(socket, stop).await?) });
        }
        Ok(())
    }
}

/// Keeps the certificates good as long as anything is served.
fn keep(serving: &mut Serving, certificates: Option<Certificates>, shutdown: &watch::Receiver<bool>) {
    if let Some(certificates) = certificates {
        let stop = shutdown.clone();
        serving.spawn(async move {
            certificates.keep(stop).await;
            Ok(())
        });
    }
}

/// What is under way may finish within the grace; then the program ends all the same.
async fn drain(config: &Config, mut serving: Serving) {
    let patience = config.limits.shutdown_grace + TIME_TO_CLOSE;
    match tokio::time::timeout(patience, serving.finished()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(error = %format!("{error:#}"), "a part of the relay failed at the end");
        }
        Err(_) => tracing::warn!("the grace is over; what was still under way is given up"),
    }
}

fn unavailable(error: anyhow::Error) -> Failure {
    Failure::new(exit::UNAVAILABLE, error)
}
