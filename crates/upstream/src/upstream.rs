use std::time::Duration;

use envelope::Secret;
use rustls::pki_types::CertificateDer;

/// A provider's submission server, and how to speak to it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The operator's name for it (`[upstream.NAME]`): in logs, never on the wire.
    pub name: String,
    /// Host name or IP address; the certificate must be valid for it.
    pub host: String,
    /// 465 for implicit TLS, 587 for STARTTLS.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// What EHLO says we are: a host name, or an address literal in brackets. Octets that are not
    /// printable ASCII are left out; when nothing remains, `[127.0.0.1]`.
    pub helo: String,
    /// How long the server may take to connect (all its addresses together), to agree on TLS, for
    /// each whole reply, and to take each piece of the content. The reply to the content may take
    /// five times as long (RFC 5321 §4.5.3.2.6: giving up there is how duplicates are made).
    pub timeout: Duration,
    /// What stands between us and it.
    pub proxy: Option<Proxy>,
}

/// A SOCKS5 proxy (RFC 1928), which also resolves the upstream's name: where one needs a proxy, the
/// names of the world are often not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its host name or IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Name and password (RFC 1929).
    pub login: Option<(String, Secret)>,
}

/// How a connection is encrypted. There is no "if offered": that is plain text for whoever
/// is in the middle (RFC 8314 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// TLS from the first octet (RFC 8314 §3.3).
    Implicit,
    /// The STARTTLS command (RFC 3207); the connection is given up when it is not offered.
    StartTls,
    /// Plain text. No login is sent unless the server is on this machine.
    None,
}

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The authorities the system trusts.
    System,
    /// These, and no other.
    Roots(Vec<CertificateDer<'static>>),
}
