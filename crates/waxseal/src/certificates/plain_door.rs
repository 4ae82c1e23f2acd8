//! Port 80: answers what the authority asks (http-01, RFC 8555 §8.3), and sends what is ours to https. Nothing else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::names;
use super::shown::Shown;
use crate::config::Config;

const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";
/// What there is besides what begins with a token.
const PAGES: [&str; 4] = ["/", "/robots.txt", "/favicon.ico", "/.well-known/security.txt"];
const MAX_CONNECTIONS: usize = 256;
/// Of one IPv4 address or one IPv6 network: nobody alone may keep the authority out.
const MAX_CONNECTIONS_OF_ONE: usize = 16;
/// For a request, and for a client to take its answer, which is a few hundred octets.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection is for one request.
const LONGEST_CONNECTION: Duration = Duration::from_secs(20);
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);
/// hyper takes no smaller buffer.
const MAX_HEADER_OCTETS: usize = 8_192;

type Answer = Response<Full<Bytes>>;

/// The plain listener.
pub(crate) struct PlainDoor {
    shown: Option<Arc<Shown>>,
    /// Host in lower case, and the `https://host[:port]` it is sent to.
    hosts: Vec<(String, String)>,
}

impl PlainDoor {
    pub(crate) fn new(config: &Config, shown: Option<Arc<Shown>>) -> Self {
        let base_urls =
            if config.tracking.tls { names::tracking_base_urls(&config.tracking) } else { vec![] };
        Self { shown, hosts: base_urls.into_iter().map(|url| (names::host_of(&url), url)).collect() }
    }

    /// Until `shutdown`.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        mut shutdown: watch::Receiver<bool>,
    ) -> io::Result<()> {
        tracing::info!(at = %listener.local_addr()?, "plain HTTP listens, for the authority and to send on to https");
        let door = Arc::new(self);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        // Bounded: a task lives no longer than its place.
        let mut connections: JoinSet<IpAddr> = JoinSet::new();
        let mut of_each: HashMap<IpAddr, usize> = HashMap::new();
        let told = async {
            if shutdown.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let mut told = std::pin::pin!(told);
        loop {
            tokio::select! {
                biased;
                () = &mut told => break,
                Some(ended) = connections.join_next() => match ended {
                    Ok(peer) => leave(&mut of_each, peer),
                    // Whose it was is not known then; a panic here would be a bug.
                    Err(error) => {
                        tracing::error!(%error, "a connection of plain HTTP was dropped: the program has a bug there");
                        of_each.clear();
                    }
                },
                accepted = async {
                    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
                    Ok::<_, io::Error>((listener.accept().await?, place))
                } => match accepted {
                    Ok(((stream, peer), place)) => {
                        let peer = network(peer.ip());
                        let theirs = of_each.entry(peer).or_default();
                        if *theirs >= MAX_CONNECTIONS_OF_ONE {
                            continue;
                        }
                        *theirs += 1;
                        let door = door.clone();
                        connections.spawn(async move {
                            let _ = timeout(LONGEST_CONNECTION, door.converse(stream)).await;
                            drop(place);
                            peer
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "plain HTTP cannot accept a connection");
                        sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
                    }
                },
            }
        }
        // Nothing here is worth waiting for.
        connections.shutdown().await;
        Ok(())
    }

    async fn converse(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request: Request<Incoming>| async move {
            let (request, _body) = request.into_parts();
            Ok::<_, Infallible>(self.answer(&request))
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(MAX_HEADER_OCTETS)
            .half_close(true)
            .keep_alive(false)
            .title_case_headers(true);
        // What goes wrong is one client's, and says nothing to the operator.
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    }

    fn answer(&self, request: &Parts) -> Answer {
        let path = request.uri.path();
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        if let Some(token) = path.strip_prefix(CHALLENGE_PATH) {
            // The token is the authority's random choice of this moment: the host need not be right too.
            let authorization = self.shown.as_ref().and_then(|shown| shown.authorization(token));
            return match authorization.filter(|_| reads) {
                Some(text) => plain(StatusCode::OK, text),
                None => nothing_here(),
            };
        }
        let target = host(request).and_then(|host| self.target(host)).filter(|_| reads && is_ours(path));
        match target.and_then(|base| HeaderValue::try_from(format!("{base}{path}")).ok()) {
            Some(location) => {
                let mut answer = plain(StatusCode::MOVED_PERMANENTLY, String::new());
                answer.headers_mut().insert(header::LOCATION, location);
                answer
            }
            None => nothing_here(),
        }
    }

    /// Where `host` is sent: what the configuration says, never what the request says.
    fn target(&self, host: &str) -> Option<&str> {
        let host = names::without_port(host).trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host);
        self.hosts.iter().find(|(own, _)| own.eq_ignore_ascii_case(host)).map(|(_, base)| base.as_str())
    }
}

fn leave(of_each: &mut HashMap<IpAddr, usize>, peer: IpAddr) {
    if let Some(theirs) = of_each.get_mut(&peer) {
        // Cleared after a panic, it may count less than there are.
        *theirs = theirs.saturating_sub(1);
        if *theirs == 0 {
            of_each.remove(&peer);
        }
    }
}

/// An IPv4 address, or the /64 that one customer has.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// Whom the request is for (RFC 9112 §3.2): the target's authority, else the one Host field.
fn host(request: &Parts) -> Option<&str> {
    if let Some(authority) = request.uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = HeaderMap::get_all(&request.headers, header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

fn is_ours(path: &str) -> bool {
    const TOKENS: [&str; 4] = [seal::PIXEL_PATH, seal::LINK_PATH, seal::UNSUBSCRIBE_PATH, seal::REFUSAL_PATH];
    TOKENS.iter().any(|begin| path.starts_with(begin)) || PAGES.contains(&path)
}

fn nothing_here() -> Answer {
    plain(StatusCode::NOT_FOUND, "There is nothing here.\n".to_owned())
}

fn plain(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let fields = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    answer.headers_mut().extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> (PlainDoor, Arc<Shown>) {
        let shown = Arc::new(Shown::default());
        let hosts = vec![
            ("t.example.com".to_owned(), "https://t.example.com".to_owned()),
            ("go.example.org".to_owned(), "https://go.example.org:8443".to_owned()),
        ];
        (PlainDoor { shown: Some(shown.clone()), hosts }, shown)
    }

    fn asked(door: &PlainDoor, method: &str, target: &str, hosts: &[&str]) -> (u16, Option<String>) {
        let mut request = Request::builder().method(method).uri(target);
        for host in hosts {
            request = request.header("Host", *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let answer = door.answer(&parts);
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location)
    }

    #[test]
    fn only_what_is_ours_goes_to_https_and_only_there() {
        let (door, _) = door();
        let to = |url: &str| (301, Some(url.to_owned()));
        let nothing = (404, None);
        let link = format!("{}abc-_x", seal::LINK_PATH);
        let here = "t.example.com";
        for (method, target, hosts, expected) in [
            ("GET", link.as_str(), &[here][..], to(&format!("https://t.example.com{link}"))),
            ("HEAD", &link, &[here], to(&format!("https://t.example.com{link}"))),
            ("GET", &link, &["T.Example.com:80"], to(&format!("https://t.example.com{link}"))),
            ("GET", &link, &["t.example.com."], to(&format!("https://t.example.com{link}"))),
            ("GET", &link, &["go.example.org"], to(&format!("https://go.example.org:8443{link}"))),
            ("GET", "/", &[here], to("https://t.example.com/")),
            ("GET", "/robots.txt?x=y", &[here], to("https://t.example.com/robots.txt")),
            ("GET", "/u/x", &[here], to("https://t.example.com/u/x")),
            ("GET", "/r/x", &[here], to("https://t.example.com/r/x")),
            ("POST", "/u/x", &[here], nothing.clone()),
            ("POST", &link, &[here], nothing.clone()),
            ("GET", &link, &[], nothing.clone()),
            ("GET", &link, &[here, "evil.example"], nothing.clone()),
            ("GET", &link, &["evil.example"], nothing.clone()),
            ("GET", &link, &["t.example.com.evil.example"], nothing.clone()),
            ("GET", &link, &["evil.example@t.example.com"], nothing.clone()),
            ("GET", &link, &["t.example.com@evil.example"], nothing.clone()),
            ("GET", &link, &["t.example.com/.evil.example"], nothing.clone()),
            ("GET", &link, &["https://t.example.com"], nothing.clone()),
            ("GET", &link, &["//t.example.com"], nothing.clone()),
            ("GET", &link, &[""], nothing.clone()),
            ("GET", "//evil.example/", &[here], nothing.clone()),
            ("GET", "/elsewhere", &[here], nothing.clone()),
            ("GET", "/.well-known/acme-challenge/", &[here], nothing.clone()),
            ("GET", "/.well-known/acme-challenge/unknown", &[here], nothing.clone()),
            ("GET", "http://evil.example/", &[here], nothing.clone()),
            ("GET", "http://t.example.com/", &["evil.example"], to("https://t.example.com/")),
            ("OPTIONS", "*", &[here], nothing.clone()),
            ("CONNECT", "t.example.com:443", &[here], nothing.clone()),
        ] {
            assert_eq!(asked(&door, method, target, hosts), expected, "{method} {target} {hosts:?}");
        }
    }

    #[test]
    fn the_authority_hears_its_token_and_nobody_a_made_up_one() {
        let (door, shown) = door();
        let answering = shown.answer_token("tok_en-1", "tok_en-1.thumb".into());
        let path = "/.well-known/acme-challenge/tok_en-1";
        for hosts in [&["t.example.com"][..], &["smtp.example.com"], &[]] {
            assert_eq!(asked(&door, "GET", path, hosts), (200, None));
        }
        assert_eq!(asked(&door, "POST", path, &[]).0, 404);
        assert_eq!(asked(&door, "GET", &format!("{path}x"), &[]).0, 404);
        drop(answering);
        assert_eq!(asked(&door, "GET", path, &[]).0, 404);
    }

    #[test]
    fn without_tls_there_is_nothing_to_send_anybody_to() {
        let door = PlainDoor { shown: None, hosts: vec![] };
        assert_eq!(asked(&door, "GET", "/", &["t.example.com"]), (404, None));
    }
}
