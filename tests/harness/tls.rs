//! Handshakes, and what is shown in them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;

/// A client that believes these authorities (PEM).
pub fn trusting(authorities: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for pem in authorities {
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each handshake is a whole one.
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// The certificate that `name` has at `address`, if the client is content with it.
pub fn shown(client: &ClientConfig, address: SocketAddr, name: &str) -> Result<Vec<u8>, String> {
    connect(client, tcp(address), name).map(|stream| own(&stream))
}

/// The same behind STARTTLS.
pub fn shown_by_starttls(client: &ClientConfig, address: SocketAddr, name: &str) -> Result<Vec<u8>, String> {
    let mut tcp = tcp(address);
    for (say, until) in [("", "220 "), ("EHLO client.test\r\n", "\r\n250 "), ("STARTTLS\r\n", "220 ")] {
        tcp.write_all(say.as_bytes()).map_err(|error| error.to_string())?;
        let mut heard = String::new();
        while !(heard.contains(until) && heard.ends_with('\n')) {
            let mut octets = [0; 1_024];
            let read = tcp.read(&mut octets).map_err(|error| error.to_string())?;
            if read == 0 {
                return Err(format!("closed after {heard}"));
            }
            heard += &String::from_utf8_lossy(&octets[..read]);
        }
    }
    connect(client, tcp, name).map(|stream| own(&stream))
}

pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// After the handshake.
pub fn connect(
    client: &ClientConfig,
    mut tcp: TcpStream,
    name: &str,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut tls = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).map_err(|error| error.to_string())?;
    }
    Ok(StreamOwned::new(tls, tcp))
}

fn own(stream: &StreamOwned<ClientConnection, TcpStream>) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

/// The DER of the first certificate in `pem`.
pub fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}
