use std::sync::Arc;

use anyhow::Context;
use envelope::{Clock, SystemClock};
use relay::Dispatcher;
use store::Queue;
use tokio::sync::watch;
use track::Endpoint;

use crate::certificates::{Certificates, PlainDoor};
use crate::cli::ConfigArg;
use crate::config::Config;
use crate::doors::{self, MailDoor, TIME_TO_CLOSE};
use crate::exit::{self, Failure, Outcome};
use crate::house::{House, Serving};
use crate::{check, logging, signals, wiring};

/// Runs the relay and the tracking endpoint in the foreground until a signal.
pub(crate) async fn run(args: &ConfigArg) -> Outcome {
    let config = check::read(&args.config)?;
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
    let house = House::build(&wiring::cellar(&config), wiring::settings(&config)?, clock.clone()).await?;
    let mut serving = open(&config, &house, clock, &shutdown).await.map_err(unavailable)?;
    let waiting = match &house.queue {
        Some(queue) => queue.counts().await.context("cannot read the queue")?.waiting,
        None => 0,
    };
    tracing::info!(
        config = %args.config.display(),
        listeners = config.listeners.len(),
        upstreams = config.upstreams.len(),
        tracking = %config.tracking.base_url,
        queued = waiting,
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );

    let told = serving.until_told(shutdown).await;
    if told.is_err() {
        // What else is under way may finish all the same, then a restart mends the rest.
        stop.send_replace(true);
    }
    drain(&config, serving).await;
    house.close().await;
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
    let certificates = Certificates::open(config, clock.clone())?;
    let for_mail = certificates.as_ref().map(Certificates::for_mail).transpose()?;
    let mail_doors = doors::mail_doors(config, for_mail.as_ref(), &house.relay).await?;
    let tracking = doors::bind(config.tracking.listen).await?;
    let plain_http = doors::plain_http(config).await?;

    let mut serving = Serving::default();
    for MailDoor { socket, config, door } in mail_doors {
        let stop = shutdown.clone();
        serving.spawn(async move {
            smtp::serve(socket, config, door, stop).await;
            Ok(())
        });
    }
    let (keep_address, keep_agent) = wiring::keeps(config);
    let proxies = config.tracking.trusted_proxies.iter().map(|network| network.to_string().parse());
    let endpoint = Arc::new(Endpoint {
        trusted_proxies: proxies.collect::<Result<_, _>>().context("a trusted proxy is not a network")?,
        keep_address,
        keep_agent,
        ..Endpoint::new(house.keys.clone(), Some(house.recorder.clone()), clock)
    });
    let tls = if config.tracking.tls {
        let certificates = certificates.as_ref();
        Some(
            certificates
                .context("the tracking endpoint speaks TLS and there is no certificate")?
                .for_web()?,
        )
    } else {
        None
    };
    let stop = shutdown.clone();
    serving.spawn(async move { Ok(track::serve(tracking, tls, endpoint, stop).await?) });
    if let Some(socket) = plain_http {
        let door = PlainDoor::new(config, certificates.as_ref().map(Certificates::shown));
        let stop = shutdown.clone();
        serving.spawn(async move { Ok(door.serve(socket, stop).await?) });
    }
    if let Some(certificates) = certificates {
        let stop = shutdown.clone();
        serving.spawn(async move {
            certificates.keep(stop).await;
            Ok(())
        });
    }
    if let Some(dispatcher) =
        Dispatcher::new(house.relay.clone(), wiring::dispatched_octets(config), shutdown.clone())
    {
        serving.spawn(async move {
            dispatcher.run().await;
            Ok(())
        });
    }
    tokio::spawn(house.replaying());
    Ok(serving)
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
