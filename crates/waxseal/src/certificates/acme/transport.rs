use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Request, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::chain_of;

/// For one request, from the name to the last octet of the answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// A certificate's chain is some 5 KB, a directory one.
const LARGEST_ANSWER_OCTETS: usize = 1 << 20;

/// HTTPS to the authority, a connection a request: there are a dozen of them every two months.
#[derive(Clone)]
pub(super) struct Transport {
    tls: TlsConnector,
    answered: Arc<Mutex<Answered>>,
}

/// What the authority answered last, besides what its body says.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    /// The HTTP status; `None`: nothing came back.
    pub(super) status: Option<u16>,
    /// How long it wants us to wait (RFC 8555 §6.6).
    pub(super) wait: Option<Duration>,
}

/// No answer came back. Names no path: those hold the account's number.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("{0} is no https URL with a host")]
    NoTarget(String),
    #[error("{host} cannot be reached: {source}")]
    Unreachable { host: String, source: io::Error },
    #[error("{host} agreed on no TLS: {source}")]
    NoTls { host: String, source: io::Error },
    #[error("{host} did not answer: {source}")]
    NoAnswer { host: String, source: Box<dyn StdError + Send + Sync> },
    #[error("{host} did not answer within {PATIENCE:?}")]
    TimedOut { host: String },
}

impl Transport {
    /// Trusts the authorities in `ca_file`, or the system's.
    ///
    /// # Errors
    /// When none can be read.
    pub(super) fn new(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let trusted: Vec<CertificateDer<'static>> = match ca_file {
            Some(file) => chain_of(file)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted);
        anyhow::ensure!(!roots.is_empty(), "no certificate of any authority of this system could be read");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS cannot be set up")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), answered: Arc::default() })
    }

    /// What came back last.
    pub(super) fn answered(&self) -> Answered {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, answered: Answered) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = answered;
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        self.remember(Answered::default());
        let host = request.uri().host().unwrap_or_default().to_owned();
        let response = tokio::time::timeout(PATIENCE, self.exchange(request))
            .await
            .unwrap_or(Err(TransportError::TimedOut { host }))
            .map_err(|error| Error::Other(Box::new(error)))?;
        self.remember(Answered {
            status: Some(response.status().as_u16()),
            wait: wait(response.headers(), SystemTime::now()),
        });
        Ok(BytesResponse::from(response))
    }

    async fn exchange(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<hyper::Response<Full<Bytes>>, TransportError> {
        let (host, name, port) = target(request.uri())?;
        let unreachable =
            |source| TransportError::Unreachable { host: format!("{host} port {port}"), source };
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(unreachable)?;
        let no_tls = |source| TransportError::NoTls { host: host.clone(), source };
        let tls = self.tls.connect(name, tcp).await.map_err(no_tls)?;

        let no_answer =
            |source: Box<dyn StdError + Send + Sync>| TransportError::NoAnswer { host: host.clone(), source };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(tls)).await.map_err(|error| no_answer(error.into()))?;
        to_origin_form(&mut request);
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER_OCTETS).collect().await?.to_bytes();
            Ok(hyper::Response::from_parts(head, Full::new(body)))
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            exchanged = &mut exchange => exchanged,
            // The connection ends when it is closed; what has come by then is still to be read.
            _ = connection => exchange.await,
        }
        .map_err(no_answer)
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

fn target(uri: &Uri) -> Result<(String, ServerName<'static>, u16), TransportError> {
    let wrong = || TransportError::NoTarget(shown(&uri.to_string(), 200));
    // RFC 8555 §6.1: nothing of ACME is ever said in plain text, wherever a directory points.
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
    Ok((host, name, uri.port_u16().unwrap_or(443)))
}

fn to_origin_form(request: &mut Request<BodyWrapper<Bytes>>) {
    let authority = request.uri().authority().map_or("", |authority| authority.as_str());
    if let Ok(authority) = HeaderValue::try_from(authority) {
        request.headers_mut().insert(HOST, authority);
    }
    let agent = concat!("waxseal/", env!("CARGO_PKG_VERSION"), " instant-acme");
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if let Ok(path) = path.parse() {
        *request.uri_mut() = path;
    }
}

/// `Retry-After` as seconds or as a date (RFC 9110 §10.2.3).
fn wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

/// Somebody else wrote `text`, and it ends up in front of a person.
pub(super) fn shown(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_to_wait() {
        let now = httpdate::parse_http_date("Wed, 25 Nov 2026 03:00:00 GMT").unwrap();
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Wed, 25 Nov 2026 04:00:00 GMT", Some(3_600)),
            ("Wed, 25 Nov 2026 02:00:00 GMT", None),
            ("soon", None),
            ("-1", None),
            ("99999999999999999999999", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(wait(&headers, now), expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(wait(&HeaderMap::new(), now), None);
    }

    #[test]
    fn only_https_is_spoken() {
        for (url, expected) in [
            ("https://ca.test/dir", Some(("ca.test", 443))),
            ("https://ca.test:14000/dir", Some(("ca.test", 14_000))),
            ("https://127.0.0.1:14000/dir", Some(("127.0.0.1", 14_000))),
            ("https://[::1]:14000/dir", Some(("::1", 14_000))),
            ("http://ca.test/dir", None),
            ("/dir", None),
        ] {
            let target = target(&url.parse().unwrap()).ok();
            let target = target.as_ref().map(|(host, _, port)| (host.as_str(), *port));
            assert_eq!(target, expected, "{url}");
        }
    }
}
