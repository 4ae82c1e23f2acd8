//! The names that certificates are for.

use std::net::IpAddr;

use rustls::pki_types::ServerName;

use crate::config::{Config, Encryption};

/// Every host that pixels and links point to, in lower case.
pub(crate) fn tracking(config: &Config) -> Vec<String> {
    tracking_base_urls(config).iter().map(|url| host_of(url)).collect()
}

/// Every `https://host[:port]` that pixels and links begin with.
pub(crate) fn tracking_base_urls(config: &Config) -> Vec<String> {
    // `[[tracking.domain]]` adds its own here, and nowhere else.
    vec![config.tracking.base_url.clone()]
}

/// Every name that one of our listeners answers to with TLS, each once, in lower case; the mail host first.
pub(crate) fn all(config: &Config) -> Vec<String> {
    let mut names = Vec::new();
    if speaks_tls_to_mail_programs(config) {
        names.push(config.hostname.to_ascii_lowercase());
    }
    if config.tracking.tls {
        names.extend(tracking(config));
    }
    let mut once = std::collections::HashSet::new();
    names.retain(|name| once.insert(name.clone()));
    names
}

/// What a certificate of our own is for: also this machine, where tests and demos are.
pub(crate) fn self_signed(config: &Config) -> Vec<String> {
    // `[192.0.2.1]` and `[IPv6:2001:db8::1]` are mail's way to write addresses (RFC 5321 §4.1.3).
    let hostname = config.hostname.to_ascii_lowercase();
    let hostname = hostname.trim_start_matches('[').trim_end_matches(']').trim_start_matches("ipv6:");
    let mut names = vec![hostname.to_owned()];
    names.extend(tracking(config));
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let mut once = std::collections::HashSet::new();
    names.retain(|name| ServerName::try_from(name.as_str()).is_ok() && once.insert(name.clone()));
    names
}

/// The host of `https://host[:port]`, in lower case and without brackets.
pub(crate) fn host_of(base_url: &str) -> String {
    let authority = base_url.split_once("://").map_or(base_url, |(_, authority)| authority);
    without_port(authority).trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// `host` of `host:port`; brackets stay.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => host,
        _ => authority,
    }
}

/// Could an authority of the internet vouch for it? A name with a dot that is no IP address.
pub(crate) fn is_public(name: &str) -> bool {
    let is_local = |name: &str| name == "localhost" || name.ends_with(".localhost");
    name.contains('.') && !name.contains('[') && name.parse::<IpAddr>().is_err() && !is_local(name)
}

pub(crate) fn speaks_tls_to_mail_programs(config: &Config) -> bool {
    config.listeners.iter().any(|listener| listener.tls != Encryption::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (url, host) in [
            ("https://T.example.com", "t.example.com"),
            ("https://t.example.com:8443", "t.example.com"),
            ("https://[2001:db8::1]:8443", "2001:db8::1"),
            ("https://[2001:db8::1]", "2001:db8::1"),
            ("http://127.0.0.1:80", "127.0.0.1"),
        ] {
            assert_eq!(host_of(url), host);
        }
        for (name, public) in [
            ("t.example.com", true),
            ("relay", false),
            ("localhost", false),
            ("a.localhost", false),
            ("127.0.0.1", false),
            ("[192.0.2.1]", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_public(name), public, "{name}");
        }
    }
}
