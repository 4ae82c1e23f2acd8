//! What the endpoint says to the log. Never an address, an agent or a token.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use store::Event;
use tokio::task::JoinError;
use tracing::{debug, error, info, warn};

pub(crate) fn listening(at: SocketAddr, tls: bool) {
    info!(%at, tls, "tracking endpoint listens");
}

pub(crate) fn hit(event: &Event) {
    debug!(
        kind = event.kind.code(),
        message = %event.message,
        recipient = event.recipient,
        link = event.link,
        verdict = event.judgement.as_ref().map(|judged| judged.verdict.code()),
        "hit"
    );
}

pub(crate) fn answered_first() {
    warn!("a hit was answered before it was recorded: the store and the journal are slow");
}

pub(crate) fn crowded() {
    warn!("a hit was answered and not recorded: too many wait for the store already");
}

pub(crate) fn recording_panicked(error: &JoinError) {
    error!(%error, "a hit was answered and not recorded: the program has a bug there");
}

pub(crate) fn no_randomness(error: getrandom::Error) {
    error!(%error, "a hit was answered and not recorded: the system gives no random octets");
}

pub(crate) fn not_accepted(error: &io::Error) {
    warn!(%error, "tracking endpoint cannot accept a connection");
}

pub(crate) fn no_handshake(error: &io::Error) {
    debug!(%error, "no TLS handshake with a client of the tracking endpoint");
}

pub(crate) fn broken(error: &hyper::Error) {
    debug!(%error, source = error.source().map(tracing::field::display), "a client of the tracking endpoint was cut off");
}

pub(crate) fn connection_panicked() {
    error!("a connection of the tracking endpoint was dropped: the program has a bug there");
}

pub(crate) fn drained(dropped: usize) {
    info!(dropped, "tracking endpoint has ended");
}
