use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use url::{Host, Url};

use super::OAuthError;
use crate::error::{HandoffError, Step};
use crate::upstream::{Tls, Upstream};
use crate::{reaching, tls};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Answers with a token take a few thousand octets.
const MAX_ANSWER_OCTETS: usize = 64 * 1024;

/// POSTs `form` to `url` the way `like` reaches its provider. Status and body of the answer; a redirect
/// is an answer too and is not followed: a secret goes where the operator said and nowhere else.
pub(super) async fn post(url: &str, form: String, like: &Upstream) -> Result<(u16, Vec<u8>), OAuthError> {
    let (server, target, host) = server(url, like)?;
    let limit = server.timeout;
    let silent = || {
        let host = server.host.clone();
        unreachable(HandoffError::Silent { host, step: Step::Greeting, limit })
    };
    timeout(limit, exchange(&server, &target, &host, form)).await.map_err(|_| silent())?
}

async fn exchange(
    server: &Upstream,
    target: &str,
    host: &str,
    form: String,
) -> Result<(u16, Vec<u8>), OAuthError> {
    let (tcp, _) = reaching::reach(server).await.map_err(unreachable)?;
    let stream: Box<dyn Stream> = match server.tls {
        Tls::None => Box::new(tcp),
        _ => Box::new(tls::encrypt(tcp, server, Step::Greeting).await.map_err(unreachable)?),
    };
    let request = Request::post(target)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(form)))
        .map_err(|_| OAuthError::Url(target.to_owned()))?;
    // What the library says of a request may hold a part of it.
    let broken = |_| OAuthError::Nonsense("something that is not HTTP".to_owned());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_OCTETS).collect().await;
        let body =
            body.map_err(|_| OAuthError::Nonsense(format!("{status} and broke off or went on too long")))?;
        Ok((status, body.to_bytes().to_vec()))
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection is done when the answer is, or before.
        _ = &mut connection => answer.await,
    }
}

/// How to reach the host of `url`, the target of the request, and its Host field.
fn server(url: &str, like: &Upstream) -> Result<(Upstream, String, String), OAuthError> {
    let bad = || OAuthError::Url(url.to_owned());
    let parsed = Url::parse(url).map_err(|_| bad())?;
    let host = match parsed.host().ok_or_else(bad)? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let tls = match parsed.scheme() {
        "https" => Tls::Implicit,
        // Tests, and nothing that leaves this machine.
        "http" if here => Tls::None,
        _ => return Err(bad()),
    };
    let port = parsed.port_or_known_default().ok_or_else(bad)?;
    let target = match parsed.query() {
        Some(query) => format!("{}?{query}", parsed.path()),
        None => parsed.path().to_owned(),
    };
    let field = match parsed.port() {
        Some(port) => format!("{}:{port}", parsed.host_str().unwrap_or_default()),
        None => parsed.host_str().unwrap_or_default().to_owned(),
    };
    Ok((Upstream { host, port, tls, ..like.clone() }, target, field))
}

fn unreachable(source: HandoffError) -> OAuthError {
    OAuthError::Unreachable { source: Box::new(source) }
}
