use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::client_address::Visitor;
use crate::courteous::Courteous;
use crate::endpoint::Endpoint;
use crate::guarded::Guarded;
use crate::place::{Place, Places};
use crate::unrecorded::Unrecorded;
use crate::unsubscribe;
use crate::visit::Desk;
use crate::{event, proxy_header, recipient_page};

/// After a failed accept (mostly: no file descriptor left) there is no use in trying at once.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);
/// hyper takes no smaller buffer.
const MIN_HEADER_OCTETS: usize = 8_192;
/// How many may be on their way out at once, and so beyond the limit of connections.
const MOST_LEAVING: usize = 64;
/// What a client that is told to go has for taking the rest of its last answer.
const TIME_TO_GO: Duration = Duration::from_millis(20);
/// How exactly the windows of quotas end.
const TURN: Duration = Duration::from_secs(1);

/// Accepts connections and answers them, until `shutdown` becomes true and they are drained.
///
/// `tls`: with it every connection begins with a handshake. Its ALPN, if any, must be `http/1.1`.
///
/// Nobody is turned away while others are idle: see [`crate::Limits`].
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
    let places = Places::new(limits.max_connections.max(1), limits.max_connections_per_address.max(1));
    // Beside those that have a place, some that are on their way out. Others wait in the system's queue.
    let most = limits.max_connections.max(1).saturating_add(MOST_LEAVING);
    let server = Arc::new(Server::new(endpoint, tls));
    // Bounded: a task lives no longer than its place.
    let mut connections = JoinSet::new();
    let mut turn = interval(TURN);
    loop {
        tokio::select! {
            biased;
            () = shut_down(&mut shutdown) => break,
            Some(ended) = connections.join_next() => report(ended),
            _ = turn.tick() => server.desk.unrecorded.turn(std::time::Instant::now()),
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((stream, peer)) => {
                    let place = places.admit(Some(peer.ip()).filter(|peer| !server.trusts(*peer)));
                    let (server, shutdown) = (Arc::clone(&server), shutdown.clone());
                    connections.spawn(async move { server.converse(stream, peer, place, shutdown).await });
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
    server.desk.unrecorded.tell();
    event::drained(connections.len());
    connections.shutdown().await;
    Ok(())
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
            // A line that is no header field costs nobody the pixel; it is passed over.
            .ignore_invalid_headers(true)
            // A client that has said all it wants to say still wants its answer.
            .half_close(true)
            .title_case_headers(true);
        let max_recordings = bounded(endpoint.limits.max_recordings);
        let recordings = Arc::new(Semaphore::new(max_recordings));
        let unrecorded = Arc::new(Unrecorded::new(&endpoint.limits));
        let desk = Desk { endpoint, recordings, unrecorded };
        Self { desk, http, tls: tls.map(TlsAcceptor::from), max_recordings }
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        self.desk.endpoint.trusted_proxies.iter().any(|network| network.contains(peer))
    }

    /// One client's connection, to its end.
    async fn converse(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let deadlines = self.desk.endpoint.deadlines;
        // Without it a small answer may wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let beginning = async {
            let visitor = self.announced(&mut stream, peer, &place).await?;
            Some((self.shaken(Guarded::new(stream, deadlines.write)).await?, visitor))
        };
        let begun = tokio::select! {
            biased;
            () = shut_down(&mut shutdown) => return,
            () = place.told_to_go() => return event::sent_away(),
            begun = beginning => begun,
        };
        match begun {
            Some((Wire::Plain(stream), visitor)) => self.answer(stream, visitor, &place, shutdown).await,
            Some((Wire::Tls(stream), visitor)) => self.answer(stream, visitor, &place, shutdown).await,
            None => {}
        }
    }

    /// Who is at the other end: for a trusted proxy that is what it announces. `None`: the connection is over.
    async fn announced(&self, stream: &mut TcpStream, peer: SocketAddr, place: &Place) -> Option<Visitor> {
        let tls = self.tls.is_some();
        if !self.desk.endpoint.proxy_protocol || !self.trusts(peer.ip()) {
            return Some(Visitor { peer: Some(peer.ip()), tls: Some(tls) });
        }
        let header = timeout(self.desk.endpoint.deadlines.handshake, proxy_header::read(stream)).await;
        match header.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(announced) => {
                if let Some(address) = announced.address
                    && !self.trusts(address)
                {
                    place.counts_for(address);
                }
                let tls = if tls { Some(true) } else { announced.https };
                Some(Visitor { peer: announced.address, tls })
            }
            Err(error) => {
                // Health checks connect and go, and are no fault.
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    event::no_proxy_header(&error);
                }
                None
            }
        }
    }

    async fn shaken(&self, stream: Guarded) -> Option<Wire> {
        let Some(tls) = &self.tls else { return Some(Wire::Plain(stream)) };
        let handshake = timeout(self.desk.endpoint.deadlines.handshake, tls.accept(stream)).await;
        match handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            // The authority that proves our name has seen all it came for: RFC 8737 §3 has it closed now.
            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"acme-tls/1") => None,
            Ok(stream) => Some(Wire::Tls(Box::new(stream))),
            Err(error) => {
                event::no_handshake(&error);
                None
            }
        }
    }

    async fn answer<S>(&self, stream: S, visitor: Visitor, place: &Place, mut shutdown: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let most = self.desk.endpoint.limits.max_requests_per_connection.max(1);
        let asked = AtomicU32::new(0);
        let service = service_fn(|request: Request<Incoming>| {
            let asked = asked.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                let _answering = place.answering();
                // Only an unsubscribe and a refusal have a body that is read; hyper closes after the answer to any other.
                let (request, body) = request.into_parts();
                let mut answer = if let Some(token) = unsubscribe::token(&request) {
                    self.desk.unsubscribe(&token, &request, body).await
                } else if let Some(token) = recipient_page::token(&request) {
                    self.desk.recipient_page(&token, &request, body).await
                } else {
                    self.desk.answer(visitor, request).await
                };
                if asked >= most {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(Courteous::new(stream)), service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = shut_down(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = place.told_to_go() => {
                connection.as_mut().graceful_shutdown();
                loop {
                    match timeout(TIME_TO_GO, connection.as_mut()).await {
                        Ok(outcome) => break outcome,
                        Err(_) if place.is_answering() => {}
                        Err(_) => return event::sent_away(),
                    }
                }
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

/// What a conversation goes over.
enum Wire {
    Plain(Guarded),
    Tls(Box<TlsStream<Guarded>>),
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
