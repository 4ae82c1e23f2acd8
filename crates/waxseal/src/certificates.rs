use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What our listeners show, from PEM files: the chain with our own certificate first, and its key.
pub(crate) fn from_files(certificates: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = chain_of(certificates)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("there is no private key in {}", key.display()))?;
    server_config(chain, key).context("certificate and key cannot be used")
}

/// Certificates of authorities, or a chain, from a PEM file; at least one.
pub(crate) fn chain_of(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .with_context(|| format!("cannot read the certificates in {}", file.display()))?
        .collect();
    let chain = chain.with_context(|| format!("a certificate in {} cannot be read", file.display()))?;
    anyhow::ensure!(!chain.is_empty(), "there is no certificate in {}", file.display());
    Ok(chain)
}

/// A certificate nobody trusts, made anew for this run: for tests and demos.
pub(crate) fn self_signed(names: Vec<String>) -> anyhow::Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed(names).context("no certificate could be made")?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    server_config(vec![made.cert.der().clone()], key.into())
        .context("the certificate made here cannot be used")
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}
