use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;

use super::failure::{Concerns, Failure};
use super::transport::Transport;
use crate::certificates::Pair;
use crate::certificates::shown::{Answering, Shown};
use crate::config::Challenge;

/// How often the order is looked at while the authority works on it. Its `Retry-After` goes first.
const POLLING: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(Duration::from_mins(2));

/// A certificate as it came, and as it is kept: chain and key in PEM.
pub(super) struct Issued {
    pub(super) pair: Pair,
    pub(super) pem: String,
}

/// One certificate for one name (RFC 8555 §7.4), with a new key.
pub(super) async fn obtain(
    account: &Account,
    transport: &Transport,
    name: &str,
    challenge: Challenge,
    shown: &Arc<Shown>,
) -> Result<Issued, Failure> {
    let failed = |error: &Error| Failure::new(error, &transport.answered(), name, challenge);
    let identifiers = [Identifier::Dns(name.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(|error| failed(&error))?;

    // What is shown for the authority is shown until it has looked, and no longer.
    let answering = prove(&mut order, transport, name, challenge, shown).await?;
    let ready = order.poll_ready(&POLLING).await;
    if !matches!(ready, Ok(OrderStatus::Ready)) {
        let before = ready.err().map(|error| failed(&error));
        return Err(why_refused(&mut order, before, transport, name, challenge).await);
    }
    drop(answering);

    let key = KeyPair::generate().map_err(here)?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(here)?;
    // The names are in the extension; a subject besides would only be a second opinion.
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(here)?;
    order.finalize_csr(request.der()).await.map_err(|error| failed(&error))?;
    let chain = order.poll_certificate(&POLLING).await.map_err(|error| failed(&error))?;

    let pem = format!("{}\n{}", chain.trim_end(), key.serialize_pem());
    let pair = Pair::from_pem(pem.as_bytes(), pem.as_bytes())
        .map_err(|error| odd(format!("the certificate that came cannot be used: {error}")))?;
    if !pair.covers(name) {
        return Err(odd("the certificate that came is for another name".into()));
    }
    Ok(Issued { pair, pem })
}

/// Shows for each authorization what proves it, and tells the authority to look.
async fn prove(
    order: &mut Order,
    transport: &Transport,
    name: &str,
    challenge: Challenge,
    shown: &Arc<Shown>,
) -> Result<Vec<Answering>, Failure> {
    let failed = |error: &Error| Failure::new(error, &transport.answered(), name, challenge);
    let mut answering = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| failed(&error))?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(odd(format!("the authority calls a new authorization {other:?}"))),
        }
        let kind = match challenge {
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Challenge::Http01 => ChallengeType::Http01,
        };
        let Some(mut asked) = authorization.challenge(kind) else {
            let other = match challenge {
                Challenge::TlsAlpn01 => "http-01",
                Challenge::Http01 => "tls-alpn-01",
            };
            return Err(Failure {
                hint: Some(format!("set `tls.challenge` to \"{other}\", or take another `tls.directory`")),
                ..odd(format!("the authority does not offer {}", challenge.code()))
            });
        };
        answering.push(answer(&asked, name, challenge, shown)?);
        asked.set_ready().await.map_err(|error| failed(&error))?;
    }
    Ok(answering)
}

fn answer(
    asked: &ChallengeHandle<'_>,
    name: &str,
    challenge: Challenge,
    shown: &Arc<Shown>,
) -> Result<Answering, Failure> {
    let authorization = asked.key_authorization();
    match challenge {
        Challenge::Http01 => Ok(shown.answer_token(&asked.token, authorization.as_str().to_owned())),
        Challenge::TlsAlpn01 => Ok(shown.answer(name, proof(name, authorization.digest().as_ref())?)),
    }
}

/// The certificate that proves a name (RFC 8737 §3): for the name alone, with the digest in it.
fn proof(name: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>, Failure> {
    let key = KeyPair::generate().map_err(here)?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(here)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(here)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key.into()).map_err(here)?;
    // Not checked against each other: the check reads the certificate, and knows no such extension.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

/// The challenge itself says more than the order that failed with it.
async fn why_refused(
    order: &mut Order,
    before: Option<Failure>,
    transport: &Transport,
    name: &str,
    challenge: Challenge,
) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { break };
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.clone());
        if let Some(problem) = problem {
            let wait = before.as_ref().and_then(|failure| failure.wait);
            let failure = Failure::new(&Error::Api(problem), &transport.answered(), name, challenge);
            return Failure { wait, ..failure };
        }
    }
    before.unwrap_or_else(|| odd("the authority refused the order and does not say why".into()))
}

fn here(error: impl std::fmt::Display) -> Failure {
    Failure::here(format!("a key or certificate could not be made here: {error}"), Concerns::Name)
}

fn odd(why: String) -> Failure {
    Failure::here(why, Concerns::Name)
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    /// RFC 8737 §3: one name, and the digest as a critical extension with an OCTET STRING.
    #[test]
    fn what_proves_a_name() {
        let proof = proof("a.test", &[7; 32]).unwrap();
        let (_, certificate) = X509Certificate::from_der(&proof.cert[0]).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(format!("{:?}", names.value.general_names), "[DNSName(\"a.test\")]");
        let digest =
            certificate.extensions().iter().find(|field| field.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let digest = digest.unwrap();
        assert!(digest.critical);
        assert_eq!(digest.value, [&[0x04, 32][..], &[7; 32]].concat());
    }
}
