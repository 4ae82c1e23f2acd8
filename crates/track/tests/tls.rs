//! The endpoint under TLS.
#![allow(clippy::unwrap_used)] // A test may, and so may its helpers.

mod site;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use site::{Client, Does, Fake, Site, TARGET, endpoint, link_token, pixel_token, recorder};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use waxseal_track::{Deadlines, Endpoint};

fn certificate() -> (Arc<ServerConfig>, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["t.example.com".to_owned()]).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), TlsConnector::from(Arc::new(client)))
}

async fn client(site: &Site, connector: &TlsConnector) -> Client<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(site.addr).await.unwrap();
    Client::new(connector.connect(ServerName::try_from("t.example.com").unwrap(), stream).await.unwrap())
}

#[tokio::test]
async fn pixel_and_redirect_under_tls() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let (server, connector) = certificate();
    let site = Site::start_with(endpoint(Some(recorder(store.clone(), folder.path()))), Some(server)).await;
    let mut client = client(&site, &connector).await;
    assert_eq!(client.ask("GET", &format!("/o/{}", pixel_token()), &[]).await.body.len(), 43);
    let answer = client.ask("GET", &format!("/c/{}", link_token()), &[]).await;
    assert_eq!((answer.status(), answer.field("Location")), (302, Some(TARGET)));
    for event in store.events() {
        let evidence: Value = serde_json::from_str(&event.evidence).unwrap();
        assert_eq!(evidence["https"], true);
    }
    assert_eq!(store.events().len(), 2);
    site.stop().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let (server, connector) = certificate();
    let deadlines = Deadlines { handshake: Duration::from_millis(150), ..Deadlines::default() };
    let site = Site::start_with(Endpoint { deadlines, ..endpoint(None) }, Some(server)).await;
    let mut silent = TcpStream::connect(site.addr).await.unwrap();
    let mut octets = Vec::new();
    let heard = tokio::time::timeout(site::PATIENCE, silent.read_to_end(&mut octets)).await;
    assert!(heard.is_ok() && octets.is_empty());

    let in_clear = site.say(format!("GET /c/{} HTTP/1.1\r\nHost: t\r\n\r\n", link_token()).as_bytes()).await;
    assert!(!in_clear.starts_with(b"HTTP/"), "{}", in_clear.escape_ascii());
    assert_eq!(client(&site, &connector).await.ask("GET", "/", &[]).await.status(), 200);
}
