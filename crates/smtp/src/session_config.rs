/// What a [`crate::Session`] offers and how much it takes.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Our name in the greeting and in the answer to EHLO. ASCII.
    pub hostname: String,
    /// Where TLS stands at the beginning.
    pub tls: TlsOffer,
    /// Who may send.
    pub auth: AuthPolicy,
    /// Take passwords without TLS. Only for connections from this machine to itself.
    pub auth_without_tls: bool,
    /// Access tokens are taken too: XOAUTH2 and OAUTHBEARER (RFC 7628). For those who can pass them on.
    pub oauth: bool,
    /// Under TLS, messages may ask for TLS all the way (REQUIRETLS, RFC 8689). For those who can keep that.
    pub require_tls: bool,
    /// Largest content, in octets without added dots; offered with SIZE (RFC 1870).
    pub max_message_octets: u64,
    /// Recipients of one message, refused ones included. RFC 5321 §4.5.3.1.8 asks for 100 at least.
    pub max_recipients: usize,
    /// Longest command line with its CRLF, in octets. RFC 5321 §4.5.3.1.4 asks for 512 at least.
    pub max_line_octets: usize,
    /// Longest line of AUTH with its CRLF, in octets. RFC 4954 §4 asks for 12,288.
    pub max_auth_line_octets: usize,
    /// After so many refused logins the connection is closed.
    pub max_failed_logins: u32,
    /// After so many commands that are wrong in themselves the connection is closed.
    pub max_bad_commands: u32,
}

/// Where TLS stands at the beginning of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsOffer {
    /// There is none.
    None,
    /// STARTTLS is offered (RFC 3207).
    StartTls,
    /// The connection is under TLS already (RFC 8314 §3).
    Active,
}

/// Who may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthPolicy {
    /// Only who has logged in (RFC 6409 §4.3).
    Required,
    /// Everybody; AUTH is not offered. The caller has seen to who can connect.
    None,
}

impl SessionConfig {
    /// The defaults: no TLS, login required, 35 MB, 100 recipients.
    pub fn new(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            tls: TlsOffer::None,
            auth: AuthPolicy::Required,
            auth_without_tls: false,
            oauth: false,
            require_tls: false,
            max_message_octets: 35_000_000,
            max_recipients: 100,
            max_line_octets: 2_048,
            max_auth_line_octets: 12_288,
            max_failed_logins: 3,
            max_bad_commands: 20,
        }
    }
}
