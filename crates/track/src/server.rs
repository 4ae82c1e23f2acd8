use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::endpoint::Endpoint;
use crate::event;
use crate::guarded::Guarded;
use crate::hit::Visitor;
use crate::visit::Desk;

/// After a failed accept (mostly: no file descriptor left) there is no use in trying at once.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);
/// hyper takes no smaller buffer.
const MIN_HEADER_OCTETS: usize = 8_192;

/// Accepts connections and answers them, until `shutdown` becomes true and they are drained.
///
/// `tls`: with it every connection begins with a handshake. Its ALPN, if any, must be `http/1.1`.
///
/// Shutdown: no more connections, idle ones are closed, answers and recordings under way are finished
/// within [`crate::Deadlines::grace`]; what is left then is dropped. A sender of `shutdown` that goes away
/// shuts nothing down. A panic costs one connection at most.
///
/// # Errors
/// When the listener does not say where it listens. What fails later is one client's, and goes to the log.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    endpoint: Arc<Endpoint>,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    event::listening(listener.local_addr()?, tls.is_some());
    let (limits, grace) = (endpoint.limits, endpoint.deadlines.grace);
    let places = Arc::new(Semaphore::new(bounded(limits.max_connections)));
    let server = Arc::new(Server::new(endpoint, tls));
    // Bounded: a task lives no longer than its place.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shut_down(&mut shutdown) => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, peer, place)) => {
                    let (server, shutdown) = (Arc::clone(&server), shutdown.clone());
                    connections.spawn(async move {
                        server.converse(stream, peer, shutdown).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    event::not_accepted(&error);
                    sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
                }
            },
        }
    }
    drop(listener);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
        server.recorded().await;
    };
    let _ = timeout(grace, finish).await;
    event::drained(connections.len());
    connections.shutdown().await;
    Ok(())
}

/// A connection is not taken from the system before there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// What all connections share.
struct Server {
    desk: Desk,
    http: http1::Builder,
    tls: Option<TlsAcceptor>,
    max_recordings: usize,
}

impl Server {
    fn new(endpoint: Arc<Endpoint>, tls: Option<Arc<ServerConfig>>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(endpoint.deadlines.request)
            .max_buf_size(endpoint.limits.max_header_octets.max(MIN_HEADER_OCTETS))
            // A client that has said all it wants to say still wants its answer.
            .half_close(true)
            .title_case_headers(true);
        let max_recordings = bounded(endpoint.limits.max_recordings);
        let recordings = Arc::new(Semaphore::new(max_recordings));
        Self { desk: Desk { endpoint, recordings }, http, tls: tls.map(TlsAcceptor::from), max_recordings }
    }

    /// One client's connection, to its end.
    async fn converse(&self, stream: TcpStream, peer: SocketAddr, mut shutdown: watch::Receiver<bool>) {
        let deadlines = self.desk.endpoint.deadlines;
        // Without it a small answer may wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let stream = Guarded::new(stream, deadlines.write);
        let visitor = Visitor { peer: peer.ip(), tls: self.tls.is_some() };
        let Some(tls) = &self.tls else { return self.answer(stream, visitor, shutdown).await };
        let handshake = timeout(deadlines.handshake, tls.accept(stream));
        tokio::select! {
            biased;
            () = shut_down(&mut shutdown) => {}
            shaken = handshake => match shaken {
                Ok(Ok(stream)) => self.answer(stream, visitor, shutdown).await,
                Ok(Err(error)) => event::no_handshake(&error),
                Err(_) => event::no_handshake(&io::ErrorKind::TimedOut.into()),
            },
        }
    }

    async fn answer<S>(&self, stream: S, visitor: Visitor, mut shutdown: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let service = service_fn(|request: Request<Incoming>| async move {
            // Nothing we answer needs a body, so none is read; hyper then closes after the answer.
            let (request, _body) = request.into_parts();
            Ok::<_, Infallible>(self.desk.answer(visitor, request).await)
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = shut_down(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            event::broken(&error);
        }
    }

    /// Resolves when nothing is on its way to the store.
    async fn recorded(&self) {
        // Fits: `bounded` made it so.
        let all = u32::try_from(self.max_recordings).unwrap_or(u32::MAX);
        let _ = self.desk.recordings.acquire_many(all).await;
    }
}

/// As many as a semaphore takes, and one at least.
fn bounded(places: usize) -> usize {
    places.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize))
}

fn report(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        event::connection_panicked();
    }
}

/// Resolves when shutdown begins; never when nobody is left to begin it.
async fn shut_down(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|begun| *begun).await.is_err() {
        pending::<()>().await;
    }
}
