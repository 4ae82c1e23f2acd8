//! An ACME authority (RFC 8555) of these tests, as far as they need one. It looks at http-01 and tls-alpn-01 as a
//! real one does, and it can behave badly. It does not verify signatures: Pebble does, in `acme_pebble.rs`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificates::Authority;

/// How it behaves.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Where it looks for names, whatever they are: (tls-alpn-01, http-01).
    pub tls_alpn: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    /// So many first requests get `badNonce`.
    pub bad_nonces: usize,
    /// What it does instead of what is asked, at a path that begins like this.
    pub instead: Option<(&'static str, Instead)>,
}

#[derive(Clone, Debug)]
pub enum Instead {
    /// A problem document: status, type, detail, Retry-After.
    Problem(u16, &'static str, &'static str, Option<&'static str>),
    /// A page.
    Html(u16),
    /// Nothing, and the connection is closed.
    HangUp,
    /// More than anybody wants.
    Flood,
    /// This text, as if it were the certificates.
    Text(&'static str),
    /// A certificate for another name.
    OtherName,
}

#[derive(Default)]
struct State {
    manner: Manner,
    asked: Vec<String>,
    accounts: usize,
    thumb: String,
    /// Name, is it proven, what came of a look, and the certificate.
    orders: Vec<(String, bool, Option<String>, Option<String>)>,
    nonces: usize,
}

pub struct Acme {
    pub address: SocketAddr,
    pub authority: Arc<Authority>,
    state: Arc<Mutex<State>>,
}

type Answer = Response<Full<Bytes>>;

impl Acme {
    pub async fn start(manner: Manner) -> Self {
        let authority = Arc::new(Authority::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(authority.server("localhost"));
        let state = Arc::new(Mutex::new(State { manner, ..State::default() }));
        let (shared, issuer) = (state.clone(), authority.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state, issuer) = (acceptor.clone(), shared.clone(), issuer.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| {
                        let (state, issuer) = (state.clone(), issuer.clone());
                        async move { answer(address, state, issuer, request).await.ok_or("hung up") }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, authority, state }
    }

    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.address.port())
    }

    pub fn behave(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.state.lock().unwrap().manner);
    }

    /// Paths, in their order.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    pub fn orders(&self) -> usize {
        self.asked().iter().filter(|path| *path == "/order").count()
    }

    pub fn accounts(&self) -> usize {
        self.state.lock().unwrap().accounts
    }
}

/// `None`: hang up.
#[expect(clippy::too_many_lines, reason = "one arm for each kind of request")]
async fn answer(
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    authority: Arc<Authority>,
    request: Request<Incoming>,
) -> Option<Answer> {
    let path = request.uri().path().to_owned();
    let is_post = request.method() == "POST";
    let body = request.into_body().collect().await.ok()?.to_bytes();
    let manner = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.clone());
        state.nonces += 1;
        state.manner.clone()
    };
    if let Some((_, instead)) = manner.instead.filter(|(at, _)| path.starts_with(at)) {
        return badly(&state, &authority, &instead);
    }
    let base = format!("https://localhost:{}", address.port());
    if path == "/dir" {
        let urls = json!({ "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"), "newOrder": format!("{base}/order") });
        return Some(answered(&state, 200, "application/json", urls.to_string()));
    }
    if !is_post {
        return Some(answered(&state, 200, "text/plain", String::new()));
    }
    let jws: Value = serde_json::from_slice(&body).ok()?;
    let part = |name: &str| -> Value {
        let octets =
            BASE64_URL_SAFE_NO_PAD.decode(jws[name].as_str().unwrap_or_default()).unwrap_or_default();
        serde_json::from_slice(&octets).unwrap_or_default()
    };
    let (header, payload) = (part("protected"), part("payload"));
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header["url"], format!("{base}{path}"));
    {
        let mut state_now = state.lock().unwrap();
        if state_now.manner.bad_nonces > 0 {
            state_now.manner.bad_nonces -= 1;
            drop(state_now);
            return Some(problem(&state, 400, "badNonce", "not this one"));
        }
    }
    let number = path.rsplit('/').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
    let kind = path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
    let reply = |status: u16, value: Value| answered(&state, status, "application/json", value.to_string());
    let located = |mut answer: Answer, location: String| {
        answer.headers_mut().insert("location", location.parse().unwrap());
        answer
    };
    match (kind.as_str(), path.matches('/').count()) {
        ("account", 1) => {
            let jwk = &header["jwk"];
            // RFC 7638 §3.
            let text = format!(
                "{{\"crv\":{},\"kty\":{},\"x\":{},\"y\":{}}}",
                jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]
            );
            assert_eq!(payload["termsOfServiceAgreed"], true);
            assert_eq!(payload["contact"][0], "mailto:ops@example.com");
            let mut now = state.lock().unwrap();
            now.accounts += 1;
            now.thumb = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text));
            let location = format!("{base}/account/{}", now.accounts);
            drop(now);
            Some(located(reply(201, json!({ "status": "valid" })), location))
        }
        ("order", 1) => {
            let name = payload["identifiers"][0]["value"].as_str().unwrap().to_owned();
            let mut now = state.lock().unwrap();
            now.orders.push((name, false, None, None));
            let number = now.orders.len() - 1;
            drop(now);
            Some(located(reply(201, order(&state, &base, number)), format!("{base}/order/{number}")))
        }
        ("order", _) => Some(reply(200, order(&state, &base, number))),
        ("authz", _) => Some(reply(200, authorization(&state, &base, number))),
        ("challenge", _) => {
            let kind = path.split('/').nth(2).unwrap_or_default().to_owned();
            let (name, thumb, manner) = {
                let state = state.lock().unwrap();
                (state.orders[number].0.clone(), state.thumb.clone(), state.manner.clone())
            };
            let authorization = format!("token-{number}.{thumb}");
            let outcome = match kind.as_str() {
                "http-01" => look_http(manner.http, number, &authorization).await,
                _ => look_tls(manner.tls_alpn, &name, &authorization).await,
            };
            let mut now = state.lock().unwrap();
            match outcome {
                Ok(()) => now.orders[number].1 = true,
                Err(why) => now.orders[number].2 = Some(why),
            }
            drop(now);
            Some(reply(
                200,
                json!({ "type": kind, "url": format!("{base}{path}"), "status": "processing", "token": "x" }),
            ))
        }
        ("finalize", _) => {
            let request = BASE64_URL_SAFE_NO_PAD.decode(payload["csr"].as_str().unwrap()).unwrap();
            let name = state.lock().unwrap().orders[number].0.clone();
            let pem = authority.certify(&name, &PublicKey::of(&request));
            state.lock().unwrap().orders[number].3 = Some(pem);
            Some(reply(200, order(&state, &base, number)))
        }
        ("cert", _) => {
            let pem = state.lock().unwrap().orders[number].3.clone().unwrap();
            Some(answered(&state, 200, "application/pem-certificate-chain", pem))
        }
        _ => Some(reply(404, json!({}))),
    }
}

/// `None`: hang up.
fn badly(state: &Arc<Mutex<State>>, authority: &Authority, instead: &Instead) -> Option<Answer> {
    const PEM: &str = "application/pem-certificate-chain";
    Some(match instead {
        Instead::Problem(status, kind, detail, wait) => {
            let mut answer = problem(state, *status, kind, detail);
            if let Some(wait) = wait {
                answer.headers_mut().insert("retry-after", wait.parse().unwrap());
            }
            answer
        }
        Instead::Html(status) => answered(state, *status, "text/html", "<html>It works!</html>".into()),
        Instead::HangUp => return None,
        Instead::Flood => answered(state, 200, "application/json", "x".repeat(3 << 20)),
        Instead::Text(text) => answered(state, 200, PEM, (*text).into()),
        Instead::OtherName => answered(state, 200, PEM, authority.issue("other.example.com").0),
    })
}

fn answered(state: &Arc<Mutex<State>>, status: u16, kind: &str, body: String) -> Answer {
    let nonce = format!("nonce{}", state.lock().unwrap().nonces);
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .header("replay-nonce", nonce)
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

fn problem(state: &Arc<Mutex<State>>, status: u16, kind: &str, detail: &str) -> Answer {
    let document =
        json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status });
    answered(state, status, "application/problem+json", document.to_string())
}

fn order(state: &Arc<Mutex<State>>, base: &str, number: usize) -> Value {
    let state = state.lock().unwrap();
    let (name, is_proven, refused, certificate) = &state.orders[number];
    let status = match (is_proven, refused, certificate) {
        (_, Some(_), _) => "invalid",
        (_, _, Some(_)) => "valid",
        (true, _, _) => "ready",
        _ => "pending",
    };
    json!({
        "status": status,
        "identifiers": [{ "type": "dns", "value": name }],
        "authorizations": [format!("{base}/authz/{number}")],
        "finalize": format!("{base}/finalize/{number}"),
        "certificate": certificate.as_ref().map(|_| format!("{base}/cert/{number}")),
    })
}

fn authorization(state: &Arc<Mutex<State>>, base: &str, number: usize) -> Value {
    let state = state.lock().unwrap();
    let (name, is_proven, refused, _) = &state.orders[number];
    let status = match (is_proven, refused) {
        (_, Some(_)) => "invalid",
        (true, None) => "valid",
        _ => "pending",
    };
    let error = refused.as_ref().map(
        |why| json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": why, "status": 403 }),
    );
    let challenge = |kind: &str| {
        json!({
            "type": kind, "url": format!("{base}/challenge/{kind}/{number}"), "status": status,
            "token": format!("token-{number}"), "error": error,
        })
    };
    json!({
        "status": status,
        "identifier": { "type": "dns", "value": name },
        "challenges": [challenge("dns-01"), challenge("http-01"), challenge("tls-alpn-01")],
    })
}

async fn look_http(at: Option<SocketAddr>, number: usize, authorization: &str) -> Result<(), String> {
    let at = at.ok_or("nobody answers at port 80")?;
    let asking = async {
        let mut stream = TcpStream::connect(at).await?;
        let request = format!(
            "GET /.well-known/acme-challenge/token-{number} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = asking.await.map_err(|error| error.to_string())?;
    let is_right =
        answer.starts_with("HTTP/1.1 200") && answer.ends_with(&format!("\r\n\r\n{authorization}"));
    is_right.then_some(()).ok_or(format!("not the key authorization: {answer}"))
}

/// RFC 8737 §3.
async fn look_tls(at: Option<SocketAddr>, name: &str, authorization: &str) -> Result<(), String> {
    let at = at.ok_or("nobody answers at port 443")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let tcp = TcpStream::connect(at).await.map_err(|error| error.to_string())?;
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let tls =
        TlsConnector::from(Arc::new(config)).connect(server, tcp).await.map_err(|error| error.to_string())?;
    if tls.get_ref().1.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("acme-tls/1 was not agreed on".into());
    }
    let shown = &tls.get_ref().1.peer_certificates().unwrap()[0];
    let (_, certificate) = X509Certificate::from_der(shown).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    if format!("{:?}", names.value.general_names) != format!("[DNSName({name:?})]") {
        return Err("the certificate is not for the name alone".into());
    }
    let extension =
        certificate.extensions().iter().find(|field| field.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
    let expected = [&[4, 32][..], Sha256::digest(authorization).as_slice()].concat();
    match extension {
        Some(extension) if extension.critical && extension.value == expected => Ok(()),
        _ => Err("the certificate does not hold the key authorization".into()),
    }
}

/// The key of a request, found by what a P-256 key looks like in DER (RFC 5480 §2).
struct PublicKey(Vec<u8>);

impl PublicKey {
    fn of(request: &[u8]) -> Self {
        const BEFORE: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let at = request.windows(BEFORE.len()).position(|window| window == BEFORE).expect("a key of P-256");
        let bits = &request[at + BEFORE.len()..];
        assert_eq!(bits[..3], [0x03, 66, 0]);
        Self(bits[3..68].to_vec())
    }
}

impl rcgen::PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// Whoever looks at proofs cares for what is in them alone.
#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
