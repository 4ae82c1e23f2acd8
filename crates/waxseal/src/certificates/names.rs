//! The names that certificates are for.

use std::collections::HashSet;
use std::net::IpAddr;

use rustls::pki_types::ServerName;

use crate::config::{Config, Encryption, Tracking};

/// Every host that pixels and links point to with https, in lower case; those of earlier days are not among them.
pub(crate) fn tracking(config: &Tracking) -> Vec<String> {
    let domains = config.domains.iter().map(|domain| &domain.base_url);
    once(
        std::iter::once(&config.base_url).chain(domains).filter(|url| is_secure(url)).map(|url| host_of(url)),
    )
}

/// Every `https://host[:port]` that pixels and links begin with, or began with once.
pub(crate) fn tracking_base_urls(config: &Tracking) -> Vec<String> {
    let domains = config.domains.iter().map(|domain| &domain.base_url);
    let all = std::iter::once(&config.base_url).chain(domains).chain(&config.old_base_urls);
    all.filter(|url| is_secure(url)).cloned().collect()
}

/// Every name that one of our listeners answers to with TLS, each once, in lower case; the mail host first.
pub(crate) fn all(config: &Config) -> Vec<String> {
    let mail = speaks_tls_to_mail_programs(config).then(|| config.hostname.to_ascii_lowercase());
    let web = if config.tracking.tls { tracking_base_urls(&config.tracking) } else { vec![] };
    once(mail.into_iter().chain(web.iter().map(|url| host_of(url))))
}

/// What a certificate of our own is for: also this machine, where tests and demos are.
pub(crate) fn self_signed(config: &Config) -> Vec<String> {
    // `[192.0.2.1]` and `[IPv6:2001:db8::1]` are mail's way to write addresses (RFC 5321 §4.1.3).
    let hostname = config.hostname.to_ascii_lowercase();
    let hostname = hostname.trim_start_matches('[').trim_end_matches(']').trim_start_matches("ipv6:");
    let urls = tracking_base_urls(&config.tracking);
    let names = std::iter::once(hostname.to_owned())
        .chain(urls.iter().map(|url| host_of(url)))
        .chain(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    once(names.filter(|name| ServerName::try_from(name.as_str()).is_ok()))
}

/// Each once, in their order.
fn once(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}

fn is_secure(url: &str) -> bool {
    url.starts_with("https://")
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
    fn every_name_once() {
        let text = "[server]\nhostname = \"Relay.example.com\"\n[[smtp]]\nlisten = \"0.0.0.0:465\"\ntls = \"implicit\"\n\
                    [tls]\nmode = \"acme\"\nemail = \"ops@example.com\"\n\
                    [tracking]\nbase_url = \"https://t.example.com\"\nold_base_urls = [\"https://old.example.com\", \"http://older.example.com\"]\n\
                    [[tracking.domain]]\nbase_url = \"https://go.example.org:8443\"\nsenders = [\"*@example.org\"]\n\
                    [[tracking.domain]]\nbase_url = \"https://Relay.example.com\"\nsenders = [\"*@example.net\"]\n\
                    [upstream.mine]\nhost = \"h.example\"\nauth = \"none\"\n";
        let config = crate::config::parse(text, "test.toml", std::path::Path::new("/")).unwrap();
        assert_eq!(all(&config), ["relay.example.com", "t.example.com", "go.example.org", "old.example.com"]);
        assert_eq!(tracking(&config.tracking), ["t.example.com", "go.example.org", "relay.example.com"]);
        assert_eq!(tracking_base_urls(&config.tracking).len(), 4);
        assert_eq!(self_signed(&config)[4..], ["localhost", "127.0.0.1"]);
    }

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
