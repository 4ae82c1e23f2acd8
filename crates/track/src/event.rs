//! What the endpoint says to the log. Never an address, an agent or a token.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;

use envelope::RelayId;
use store::{Event, StoreError};
use tokio::task::JoinError;
use tracing::{debug, error, info, warn};

use crate::endpoint::Quota;

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

pub(crate) fn judged_anew(event: &Event) {
    debug!(
        about = event.about.map(tracing::field::display),
        message = %event.message,
        verdict = event.judgement.as_ref().map(|judged| judged.verdict.code()),
        "judged anew"
    );
}

/// Whose refusal, or whose consent, is nobody's business in a log.
pub(crate) fn not_refused(message: RelayId, error: &dyn std::fmt::Display) {
    warn!(%message, %error, "a recipient's refusal, or its end, was not recorded");
}

pub(crate) fn day_not_recorded(error: &StoreError) {
    warn!(%error, "the day of a message's last open was not recorded: the store fails");
}

pub(crate) fn not_settled(error: &StoreError) {
    warn!(%error, "events wait to be settled: the store fails");
}

pub(crate) fn answered_first(hits: u64) {
    warn!(hits, "hits were answered before they were on disk: the store and the journal are slow");
}

pub(crate) fn crowded(hits: u64) {
    warn!(hits, "hits were answered and not recorded: too many wait for the store already");
}

pub(crate) fn beyond_address(hits: u64, quota: Quota) {
    warn!(
        hits,
        requests = quota.requests,
        per = ?quota.per,
        "hits were answered and not recorded: more than `limits.tracking_per_ip` from one address; if that is a proxy \
         of yours, name it in `tracking.trusted_proxies`"
    );
}

pub(crate) fn beyond_url(hits: u64, quota: Quota) {
    warn!(
        hits,
        requests = quota.requests,
        per = ?quota.per,
        "hits were answered and not recorded: more than `limits.tracking_per_url` of one pixel or link"
    );
}

pub(crate) fn recording_panicked(error: &JoinError) {
    error!(%error, "a hit was answered and not recorded: the program has a bug there");
}

pub(crate) fn no_randomness(error: getrandom::Error) {
    error!(%error, "a hit was answered and not recorded: the system gives no random octets");
}

/// Neither who nor from whom: the message says that to the operator.
pub(crate) fn unsubscribed(message: RelayId, recipient: u16) {
    info!(%message, recipient, "a recipient unsubscribed");
}

pub(crate) fn not_unsubscribed(message: RelayId, error: &impl Display) {
    error!(%message, %error, "a recipient could not unsubscribe now: his mail program was told to try again");
}

pub(crate) fn revocations_unknown(error: &StoreError) {
    warn!(%error, "the store does not say what is revoked: what was known stays in force");
}

pub(crate) fn not_accepted(error: &io::Error) {
    warn!(%error, "tracking endpoint cannot accept a connection");
}

pub(crate) fn no_handshake(error: &io::Error) {
    debug!(%error, "no TLS handshake with a client of the tracking endpoint");
}

pub(crate) fn no_proxy_header(error: &io::Error) {
    warn!(%error, "a trusted proxy's connection does not begin with a header of the PROXY protocol: it was closed");
}

pub(crate) fn sent_away() {
    debug!("an idle connection of the tracking endpoint made place for another");
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

pub(crate) fn map_renewed(built: envelope::Timestamp) {
    info!(built = built.unix_millis(), "the map of places was read again");
}

pub(crate) fn map_not_renewed(error: &crate::places::PlacesError) {
    warn!(
        %error,
        source = error.source().map(tracing::field::display),
        "the map of places has changed and cannot be read: the one in memory stays in use"
    );
}
