use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{HandoffError, Step};
use crate::upstream::{Trust, Upstream};

/// Agrees on TLS and verifies the certificate against the upstream's host name and trust.
pub(crate) async fn encrypt(
    tcp: TcpStream,
    upstream: &Upstream,
    step: Step,
) -> Result<TlsStream<TcpStream>, HandoffError> {
    let host = || upstream.host.clone();
    let failed = |source: io::Error| HandoffError::TlsFailed { host: host(), source };
    let config = client_config(&upstream.trust).map_err(failed)?;
    let name = ServerName::try_from(host()).map_err(|error| failed(io::Error::other(error)))?;

    let limit: Duration = upstream.timeout;
    match tokio::time::timeout(limit, TlsConnector::from(config).connect(name, tcp)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(source)) if is_certificate_error(&source) => {
            Err(HandoffError::Certificate { host: host(), source })
        }
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(HandoffError::Silent { host: host(), step, limit }),
    }
}

fn is_certificate_error(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}

fn client_config(trust: &Trust) -> io::Result<Arc<ClientConfig>> {
    // Read once: it is some hundred files. New authorities are trusted from the next start on.
    static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    match trust {
        Trust::Roots(roots) => trusting(roots.iter().cloned()),
        Trust::System => {
            if let Some(config) = SYSTEM.get() {
                return Ok(Arc::clone(config));
            }
            // Single files that cannot be read are no reason to give up; that none can is.
            let config = trusting(rustls_native_certs::load_native_certs().certs.into_iter())?;
            Ok(Arc::clone(SYSTEM.get_or_init(|| config)))
        }
    }
}

fn trusting(
    certificates: impl Iterator<Item = rustls::pki_types::CertificateDer<'static>>,
) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(io::Error::other("no certificate of any authority could be read"));
    }
    // Named here rather than taken from the process: decision 0005, and no panic when `main`
    // (or a test) has not installed one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
