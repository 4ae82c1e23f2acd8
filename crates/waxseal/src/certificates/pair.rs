use std::sync::Arc;
use std::time::Duration;

use envelope::Timestamp;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate with those that lead to its authority, and its private key: they belong together.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    certified: Arc<CertifiedKey>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Why two texts are no [`Pair`]. Shows nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PairError {
    #[error("there is no certificate in it")]
    NoCertificate,
    #[error("a certificate in it cannot be read")]
    UnreadableCertificate,
    #[error("there is no private key in it")]
    NoKey,
    #[error("the private key in it is encrypted, and nobody is there to ask for the passphrase")]
    EncryptedKey,
    #[error("the private key in it cannot be used")]
    UnusableKey,
    #[error("the private key is another certificate's")]
    Mismatch,
}

impl PairError {
    /// Is it the file of the key that is at fault?
    pub(crate) fn is_about_the_key(self) -> bool {
        matches!(self, Self::NoKey | Self::EncryptedKey | Self::UnusableKey | Self::Mismatch)
    }
}

impl Pair {
    /// From PEM: the chain with our own certificate first, and its key. Both may stand in the same text.
    pub(crate) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|_| PairError::UnreadableCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound if contains(key, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") => {
                PairError::EncryptedKey
            }
            pem::Error::NoItemsFound => PairError::NoKey,
            _ => PairError::UnusableKey,
        })?;
        Self::new(chain, key)
    }

    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, PairError> {
        let own = chain.first().ok_or(PairError::NoCertificate)?;
        let (_, parsed) = X509Certificate::from_der(own).map_err(|_| PairError::UnreadableCertificate)?;
        let moment = |seconds: i64| Timestamp::from_unix_millis(seconds.saturating_mul(1_000));
        let not_before = moment(parsed.validity().not_before.timestamp());
        let not_after = moment(parsed.validity().not_after.timestamp());
        ParsedCertificate::try_from(own).map_err(|_| PairError::UnreadableCertificate)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => PairError::Mismatch,
            _ => PairError::UnusableKey,
        })?;
        Ok(Self { certified: Arc::new(certified), not_before, not_after })
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }

    /// Would a client that connects to `host` (a name or an IP address) take it for that?
    pub(crate) fn covers(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(name) = ServerName::try_from(host) else { return false };
        let own = self.certified.end_entity_cert().ok().and_then(|own| ParsedCertificate::try_from(own).ok());
        own.is_some_and(|own| rustls::client::verify_server_name(&own, &name).is_ok())
    }

    /// The moment it ends.
    pub(crate) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    pub(crate) fn has_begun(&self, now: Timestamp) -> bool {
        now >= self.not_before
    }

    /// When a third of its life is left, and up to a thirtieth of its life before that: certificates that
    /// were made together are not renewed together. The same moment each time it is asked.
    pub(crate) fn renewal(&self) -> Timestamp {
        let life = self.not_after.since(self.not_before);
        // The end of a signature is as good as random.
        let own = self.certified.cert.first();
        let dice = own.and_then(|own| own.last()).copied().unwrap_or(0);
        let early = life / 30 * u32::from(dice) / 256;
        self.not_before.plus(life.saturating_sub(life / 3).saturating_sub(early))
    }

    /// How long until it ends.
    pub(crate) fn left(&self, now: Timestamp) -> Duration {
        self.not_after.since(now)
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// `2026-01-31`.
pub(crate) fn day(moment: Timestamp) -> String {
    let text = moment.to_string();
    text.split_once('T').map_or(text.clone(), |(day, _)| day.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// Certificate and key in PEM, from the first of January of one year to that of another.
    pub(crate) fn made(names: &[&str], from: i32, until: i32) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_a_pair_and_what_is_not() {
        let (certificate, key) = made(&["a.test"], 2026, 2027);
        let (_, other) = made(&["a.test"], 2026, 2027);
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let half = &certificate[..certificate.len() / 2];
        for (what, chain, key, expected) in [
            ("a pair", certificate.as_str(), key.as_str(), None),
            ("both in one file", &format!("{certificate}{key}"), &format!("{certificate}{key}"), None),
            ("key first", &format!("{key}{certificate}"), &key, None),
            ("somebody else's key", &certificate, &other, Some(PairError::Mismatch)),
            ("empty", "", &key, Some(PairError::NoCertificate)),
            ("not DER", broken, &key, Some(PairError::UnreadableCertificate)),
            ("half written", half, &key, Some(PairError::UnreadableCertificate)),
            ("no key", &certificate, "", Some(PairError::NoKey)),
            ("a passphrase", &certificate, encrypted, Some(PairError::EncryptedKey)),
            ("half a key", &certificate, &key[..key.len() / 2], Some(PairError::UnusableKey)),
        ] {
            assert_eq!(Pair::from_pem(chain.as_bytes(), key.as_bytes()).err(), expected, "{what}");
        }
    }

    #[test]
    fn names_and_times() {
        let (certificate, key) = made(&["a.test", "*.b.test", "192.0.2.1"], 2026, 2027);
        let pair = Pair::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        for (host, covered) in [
            ("a.test", true),
            ("A.TEST", true),
            ("x.b.test", true),
            ("192.0.2.1", true),
            ("b.test", false),
            ("y.x.b.test", false),
            ("192.0.2.2", false),
            ("", false),
            ("[2001:db8::1]", false),
        ] {
            assert_eq!(pair.covers(host), covered, "{host}");
        }
        assert!(!pair.has_begun(moment("2025-12-31T00:00:00.000Z")));
        assert!(pair.has_begun(moment("2026-06-01T00:00:00.000Z")));
        assert!(!pair.has_expired(moment("2026-06-01T00:00:00.000Z")));
        assert!(pair.has_expired(moment("2027-01-01T00:00:01.000Z")));
        assert_eq!(day(pair.not_after()), "2027-01-01");
    }

    #[test]
    fn renewal_is_when_a_third_is_left_or_a_little_before() {
        let earliest = moment("2026-01-01T00:00:00.000Z").plus(Duration::from_hours(365 * 24 * 19 / 30));
        let latest = moment("2026-01-01T00:00:00.000Z").plus(Duration::from_hours(365 * 24 * 2 / 3));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..16 {
            let (certificate, key) = made(&["a.test"], 2026, 2027);
            let pair = Pair::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
            let renewal = pair.renewal();
            assert_eq!(renewal, pair.renewal());
            assert!(renewal >= earliest && renewal <= latest, "{renewal}");
            seen.insert(renewal);
        }
        assert!(seen.len() > 3, "they are not spread: {seen:?}");
    }
}
