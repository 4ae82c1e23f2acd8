use std::cell::RefCell;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificate::{Certificate, objection};
use crate::error::{HandoffError, Step};
use crate::upstream::{Trust, Upstream};

tokio::task_local! {
    /// The certificate that was refused in this handshake.
    static REFUSED: RefCell<Option<CertificateDer<'static>>>;
}

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
    let (outcome, refused) = REFUSED
        .scope(RefCell::default(), async {
            let connecting = TlsConnector::from(config).connect(name, tcp);
            let outcome = tokio::time::timeout(limit, connecting).await;
            (outcome, REFUSED.with(RefCell::take))
        })
        .await;
    match outcome {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(source)) => Err(match certificate_error(&source) {
            Some(error) => HandoffError::Certificate {
                host: host(),
                objection: objection(error, &upstream.host),
                presented: refused.and_then(|der| Certificate::read(&der)).map(Box::new),
                source,
            },
            None => failed(source),
        }),
        Err(_) => Err(HandoffError::Silent { host: host(), step, limit }),
    }
}

fn certificate_error(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.filter(|error| {
        matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
    })
}

/// The library's own verifier, with a memory for what it refused.
#[derive(Debug)]
struct Remembering(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if verified.is_err() {
            // Outside of `encrypt` there would be nobody to remember it for.
            let _ = REFUSED.try_with(|refused| refused.replace(Some(end_entity.clone().into_owned())));
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
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
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        // The library calls any verifier that is not its own dangerous; ours asks its own.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Remembering(verifier)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}
