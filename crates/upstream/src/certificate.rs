use std::fmt;
use std::net::IpAddr;

use envelope::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// What a server's certificate says of itself: for the operator, never for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The hosts it is for, at most ten: names and IP addresses.
    pub names: Vec<String>,
    /// Who issued it, as `CN=…, O=…`.
    pub issuer: String,
    /// The day it begins, as `2026-01-31`.
    pub valid_from: String,
    /// The day it ends.
    pub valid_until: String,
    /// The moment it ends.
    pub expires: Timestamp,
}

/// Somebody else wrote these texts, and they end up in front of a person.
const MAX_CHARACTERS: usize = 200;
const MAX_NAMES: usize = 10;

impl Certificate {
    /// `None` when it cannot be read.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let names = alternatives.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(shown(name)),
            GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string()),
            _ => None,
        });
        let validity = certificate.validity();
        Some(Self {
            names: names.take(MAX_NAMES).collect(),
            issuer: shown(&certificate.issuer().to_string()),
            valid_from: day(validity.not_before)?,
            valid_until: day(validity.not_after)?,
            expires: Timestamp::from_unix_millis(validity.not_after.timestamp().saturating_mul(1_000)),
        })
    }
}

/// "for a.test and b.test, issued by CN=x, valid from 2026-01-01 until 2026-12-31".
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, valid_from, valid_until, .. } = self;
        let names = if self.names.is_empty() { "no host".to_owned() } else { self.names.join(" and ") };
        let issuer = if issuer.is_empty() { "nobody it names" } else { issuer };
        write!(f, "for {names}, issued by {issuer}, valid from {valid_from} until {valid_until}")
    }
}

/// Why it was refused, in words.
pub(crate) fn objection(error: &rustls::Error, host: &str) -> String {
    use rustls::CertificateError as E;
    let rustls::Error::InvalidCertificate(error) = error else { return error.to_string() };
    match error {
        E::Expired | E::ExpiredContext { .. } => "it has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        E::NotValidForName | E::NotValidForNameContext { .. } => format!("it is not for {host}"),
        E::UnknownIssuer => "its issuer is not trusted here".to_owned(),
        E::BadSignature => "it was not signed by the authority it names".to_owned(),
        other => other.to_string(),
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_CHARACTERS).collect()
}

fn day(time: ASN1Time) -> Option<String> {
    // RFC 3339 begins with the day; the offset is UTC's (RFC 5280 §4.1.2.5).
    let moment = Timestamp::from_unix_millis(time.timestamp().checked_mul(1_000)?).to_string();
    moment.split_once('T').map(|(day, _)| day.to_owned())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four: Result<[u8; 4], _> = octets.try_into();
    let sixteen: Result<[u8; 16], _> = octets.try_into();
    four.map(IpAddr::from).ok().or(sixteen.map(IpAddr::from).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_in_a_sentence() {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".into(), "192.0.2.1".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 31);
        params.not_after = rcgen::date_time_ymd(2027, 3, 1);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "An\u{7} Authority");
        let key = rcgen::KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap();
        assert_eq!(
            Certificate::read(der.der()).unwrap().to_string(),
            "for a.test and 192.0.2.1, issued by CN=An Authority, valid from 2026-01-31 until 2027-03-01"
        );
        assert_eq!(Certificate::read(b"not DER"), None);
        for end in 0..der.der().len() {
            assert_eq!(Certificate::read(&der.der()[..end]), None);
        }
    }
}
