use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envelope::Reply;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, shut_down};
use crate::event;
use crate::handler::Service;
use crate::listener_config::{ListenerConfig, TlsMode};

/// After a failed accept (mostly: no file descriptor left) there is no use in trying at once.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);
/// What closing takes when the grace is over.
const TIME_TO_CLOSE: Duration = Duration::from_secs(3);

/// Accepts connections and answers them, until `shutdown` becomes true and they are drained.
///
/// Shutdown: no more connections; clients between commands are told 421; contents under way
/// and handlers that are at work may finish within [`crate::Deadlines::grace`], what is left
/// then is dropped. A sender of `shutdown` that goes away shuts nothing down.
///
/// A handler that panics costs its client the connection, without a reply, and nobody else anything.
pub async fn serve<S: Service>(
    listener: TcpListener,
    config: Arc<ListenerConfig>,
    service: Arc<S>,
    mut shutdown: watch::Receiver<bool>,
) {
    event::listening(&config.name, listener.local_addr().ok());
    // Bounded: a task lives no longer than its admission.
    let mut connections = JoinSet::new();
    let cue = shutdown.clone();
    loop {
        tokio::select! {
            biased;
            () = shut_down(&mut shutdown) => break,
            Some(ended) = connections.join_next() => report(&config, ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => welcome(stream, peer, &config, &service, &cue, &mut connections),
                Err(error) => {
                    event::not_accepted(&config.name, &error);
                    sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
                }
            },
        }
    }
    drop(listener);
    drain(&config, connections).await;
}

fn welcome<S: Service>(
    stream: TcpStream,
    peer: SocketAddr,
    config: &Arc<ListenerConfig>,
    service: &Arc<S>,
    shutdown: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    let admission = if config.allows(peer.ip()) {
        config.limits.admit(peer.ip())
    } else {
        Err(Reply::of(554, "5.7.1", "You may not connect from this address"))
    };
    let admission = match admission {
        Ok(admission) => admission,
        Err(reply) => return turn_away(stream, peer, config, &reply),
    };
    event::opened(&config.name, peer);
    // Without it a small reply may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    let stays_here = is_loopback(peer) && stream.local_addr().is_ok_and(is_loopback);
    let (config, service, shutdown) = (Arc::clone(config), Arc::clone(service), shutdown.clone());
    let connection = Connection::new(config, service, peer, stays_here, stream, shutdown, admission);
    connections.spawn(connection.run());
}

/// Says why, if that can be said at once: there is nobody to wait for.
fn turn_away(stream: TcpStream, peer: SocketAddr, config: &ListenerConfig, reply: &Reply) {
    event::turned_away(&config.name, peer, reply);
    // Under implicit TLS it could only be said after a handshake, which is the dear part.
    if matches!(config.tls, TlsMode::Implicit(_)) {
        return;
    }
    if let Ok(mut stream) = stream.into_std() {
        // A fresh socket has room for one line; if not, the close says it as well.
        let _ = stream.write(&reply.to_bytes());
    }
}

async fn drain(config: &ListenerConfig, mut connections: JoinSet<()>) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(config, ended);
        }
    };
    let _ = timeout(config.deadlines.grace + TIME_TO_CLOSE, all).await;
    let aborted = connections.len();
    connections.shutdown().await;
    event::drained(&config.name, aborted);
}

fn report(config: &ListenerConfig, ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        event::handler_panicked(&config.name);
    }
}
