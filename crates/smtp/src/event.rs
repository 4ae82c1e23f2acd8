//! What we log. Texts of the peer go through `Debug`, which escapes line ends and controls:
//! no client can forge a line. Commands are not logged, for AUTH's hold passwords.

use std::io;
use std::net::SocketAddr;

use envelope::Reply;
use tracing::{debug, error, info, warn};

pub(crate) fn listening(listener: &str, address: Option<SocketAddr>) {
    info!(listener, ?address, "accepts mail");
}

pub(crate) fn drained(listener: &str, aborted: usize) {
    info!(listener, aborted, "accepts no more mail");
}

pub(crate) fn not_accepted(listener: &str, error: &io::Error) {
    warn!(listener, %error, "could not accept a connection");
}

pub(crate) fn turned_away(listener: &str, peer: SocketAddr, reply: &Reply) {
    info!(listener, %peer, reply = %reply, "turned a connection away");
}

pub(crate) fn opened(listener: &str, peer: SocketAddr) {
    debug!(listener, %peer, "connection opened");
}

pub(crate) fn closed(listener: &str, peer: SocketAddr, how: &str) {
    debug!(listener, %peer, how, "connection closed");
}

/// Not worth a line each while there is a flood.
pub(crate) fn made_place(listener: &str, peer: SocketAddr) {
    debug!(listener, %peer, "connection closed: it had not logged in and others needed the place");
}

pub(crate) fn no_handshake(listener: &str, peer: SocketAddr, error: &io::Error) {
    info!(listener, %peer, ?error, "TLS handshake failed");
}

pub(crate) fn broken(listener: &str, peer: SocketAddr, error: &io::Error) {
    debug!(listener, %peer, ?error, "connection broke");
}

/// The words of a reply may be an upstream's.
pub(crate) fn refused(listener: &str, peer: SocketAddr, reply: &Reply) {
    debug!(listener, %peer, code = reply.code().get(), text = ?reply.text(), "refused");
}

/// We end the connection, and this is what we say; the words may be an upstream's.
pub(crate) fn hung_up(listener: &str, peer: SocketAddr, reply: &Reply) {
    info!(listener, %peer, text = ?reply.text(), "hung up");
}

pub(crate) fn login_refused(listener: &str, peer: SocketAddr, reply: &Reply) {
    info!(listener, %peer, code = reply.code().get(), text = ?reply.text(), "login refused");
}

pub(crate) fn no_room(listener: &str, peer: SocketAddr) {
    warn!(listener, %peer, "no room for a message, answers 452 at its end");
}

pub(crate) fn handler_panicked(listener: &str) {
    error!(listener, "a connection was lost to a defect in Waxseal; its client will try again");
}
