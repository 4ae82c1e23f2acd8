use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use envelope::{Choice, Credentials, Mailbox, Secret, Timestamp, TrackingMode};
use track::PlaceDetail;

use super::address_pattern::AddressPattern;
use super::network::Network;

/// What the program runs on: the configuration file, resolved and checked before any port opens.
///
/// Paths are absolute or relative to the working directory, no longer to the file.
/// `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name in the greeting and in `Received` fields.
    pub hostname: String,
    /// Where mail comes in; never empty.
    pub listeners: Vec<Listener>,
    /// Where the certificate comes from.
    pub certificate: Certificate,
    /// What is tracked, and where recipients' clicks land.
    pub tracking: Tracking,
    /// Providers, in the order of the file: a sender uses the first whose `senders` match. Empty only for a node
    /// that hands no mail on.
    pub upstreams: Vec<UpstreamConfig>,
    /// Recipients who want no more mail.
    pub unsubscribe: Unsubscribe,
    /// Where a login is looked for, in this order.
    pub login_order: Vec<LoginPlace>,
    /// How much guessing is let through.
    pub throttle: Throttle,
    /// The senders this file declares.
    pub senders: Vec<SenderConfig>,
    /// What is kept about recipients.
    pub privacy: Privacy,
    /// Where the API listens.
    pub console: Option<SocketAddr>,
    /// The map of addresses; `None`: places are not told.
    pub geo: Option<GeoConfig>,
    /// What people are told from machines by.
    pub intel: IntelConfig,
    /// Where things are kept.
    pub store: StoreConfig,
    /// How much, and how long.
    pub limits: LimitsConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// One `[[smtp]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What it is for.
    pub role: Role,
    /// The address it listens on.
    pub listen: SocketAddr,
    /// How connections to it are encrypted.
    pub tls: Encryption,
    /// Does one have to log in?
    pub login_required: bool,
    /// Who may connect; `None` means everybody.
    pub allow_from: Option<Vec<Network>>,
    /// Without a login: everything is this address's; `None` means that the reverse-path says.
    pub sender: Option<Mailbox>,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Senders' mail.
    Submission,
    /// Bounces and complaints.
    Feedback,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// TLS from the first octet.
    Implicit,
    /// The STARTTLS command.
    StartTls,
    /// Plain text.
    None,
}

/// Where the certificate of our listeners comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// There is none: nothing here speaks TLS.
    None,
    /// Made by us on the first run.
    SelfSigned,
    /// From these PEM files.
    Files {
        /// The certificate and those that lead to its authority.
        cert_file: PathBuf,
        /// Its private key.
        key_file: PathBuf,
    },
    /// From an authority that speaks ACME.
    Acme(AcmeConfig),
}

/// `[tls]` with mode = "acme".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeConfig {
    /// Whom the authority writes to.
    pub email: String,
    /// The authority's directory; https.
    pub directory: String,
    /// How names are proven.
    pub challenge: Challenge,
    /// PEM file of whom to believe that it is the authority, instead of the system's.
    pub directory_ca_file: Option<PathBuf>,
}

/// `tls.challenge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// RFC 8737.
    TlsAlpn01,
    /// RFC 8555 §8.3.
    Http01,
}

impl Challenge {
    /// As the RFCs call it.
    pub fn code(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// `[tracking]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the file")]
pub struct Tracking {
    /// False: nothing is rewritten, whatever a sender chose.
    pub enabled: bool,
    /// Where pixels and tracked links point: `https://host[:port]`, without a slash at the end.
    pub base_url: String,
    /// The address the tracking endpoint listens on.
    pub listen: SocketAddr,
    /// Does the endpoint speak TLS? If not, something in front of it does, or this is a test.
    pub tls: bool,
    /// Other names of the endpoint, for some senders: the first that matches.
    pub domains: Vec<TrackingDomain>,
    /// Where pixels and links of earlier days pointed.
    pub old_base_urls: Vec<String>,
    /// Where plain HTTP is listened for, to answer the authority and to send people to https.
    pub plain_http: Option<SocketAddr>,
    /// Proxies whose word about the client's address is taken.
    pub trusted_proxies: Vec<Network>,
    /// Their connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whom to tell about a weakness: a URI.
    pub contact: Option<String>,
    /// What a sender who never chose gets.
    pub defaults: Choice,
    /// The switches that senders may not change.
    pub locked: Choice,
    /// A message's own choice becomes the sender's default.
    pub sticky: bool,
    /// The header field a client may set; always removed.
    pub header: String,
    /// Understand the login `ana@example.com/none`.
    pub login_suffix: bool,
    /// Which links are wrapped.
    pub links: Links,
    /// Where the pixel goes.
    pub pixel: PixelPosition,
}

/// One `[[tracking.domain]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingDomain {
    /// Whose mail; never empty.
    pub senders: Vec<AddressPattern>,
    /// Where their pixels and links point, without a slash at the end.
    pub base_url: String,
}

/// `limits.tracking_per_ip`, `limits.tracking_per_url`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackingQuota {
    /// How many hits are recorded.
    pub requests: u32,
    /// In which time.
    pub per: Duration,
}

/// `[tracking.links]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the file")]
pub struct Links {
    /// Wrap bare links of the text part too.
    pub plain_text: bool,
    /// Patterns of links that are never wrapped: host and path, `*` stands for any text.
    pub keep: Vec<String>,
    /// Leave the target of List-Unsubscribe alone.
    pub keep_list_unsubscribe: bool,
    /// Leave a link alone whose visible text is itself a URL.
    pub keep_if_text_is_url: bool,
    /// Leave sign-in, reset and other single-use links alone.
    pub keep_one_time: bool,
    /// Leave links alone that open an app.
    pub keep_app_links: bool,
}

/// `tracking.opens.position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelPosition {
    /// At the end, or at the start of long HTML.
    Auto,
    /// At the end.
    End,
    /// At the start.
    Start,
}

/// One `[upstream.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// The operator's name for it.
    pub name: String,
    /// Host name or IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the connection is encrypted; [`Encryption::None`] only to this machine.
    pub tls: Encryption,
    /// PEM file of the authorities to believe, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whose mail goes there; never empty.
    pub senders: Vec<AddressPattern>,
    /// What to log in with.
    pub login: UpstreamLogin,
    /// What stands between us and it.
    pub proxy: Option<ProxyConfig>,
    /// How long the provider may take for each step.
    pub timeout: Duration,
    /// How many connections it may have at once.
    pub pool: usize,
    /// Local senders may have only their own addresses in From and Sender.
    pub from_must_match: bool,
    /// What to do with mail that the client already DKIM-signed.
    pub on_dkim: OnDkim,
    /// When the client hears 250.
    pub delivery: Delivery,
    /// What happens to direct mail while the provider is away.
    pub on_unavailable: OnUnavailable,
    /// One copy for each recipient.
    pub fan_out: bool,
    /// For more recipients than this one copy goes to all.
    pub fan_out_most: usize,
    /// When queued mail is tried again.
    pub retry: Retry,
    /// No more queued messages than this.
    pub rate: Option<Rate>,
    /// Which messages get a one-click unsubscribe; `None`: as `[unsubscribe]` says.
    pub unsubscribe: Option<AddUnsubscribe>,
}

/// `[unsubscribe]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Which messages get a one-click unsubscribe, if their upstream says nothing else.
    pub add: AddUnsubscribe,
    /// A mailbox that is offered beside it.
    pub mailto: Option<Mailbox>,
    /// What happens to mail for one who is to get none.
    pub on_suppressed: OnSuppressed,
    /// A bounce for good puts its recipient on the list.
    pub also_on_bounce: bool,
    /// So does a complaint.
    pub also_on_complaint: bool,
}

/// `unsubscribe.add`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddUnsubscribe {
    /// None.
    Off,
    /// Those that are tracked.
    WhenTracked,
    /// Every one.
    Always,
}

/// `unsubscribe.on_suppressed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSuppressed {
    /// The client hears 550.
    Refuse,
    /// The others get it.
    Skip,
}

/// `upstream.NAME.delivery`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// When the provider said so.
    Direct,
    /// When it is on disk.
    Queue,
}

/// `upstream.NAME.on_unavailable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnavailable {
    /// The client is to try again.
    Defer,
    /// It goes into the queue.
    Queue,
}

/// `upstream.NAME.retry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first pause; each further one is twice as long.
    pub first: Duration,
    /// The longest pause; not below `first`.
    pub longest: Duration,
    /// After this it is given up; not below `longest`.
    pub give_up: Duration,
}

/// `upstream.NAME.rate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many messages.
    pub messages: u32,
    /// In which time.
    pub per: Duration,
}

/// `upstream.NAME.proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Name and password.
    pub login: Option<(String, Secret)>,
}

/// `upstream.NAME.oauth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthConfig {
    /// Where a person signs in.
    pub authorize_url: String,
    /// Where tokens come from.
    pub token_url: String,
    /// What is asked for.
    pub scope: String,
    /// The operator's registration.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<Secret>,
    /// The host in redirects to this machine, as the provider allows it.
    pub redirect_host: String,
}

/// What we log in with at an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamLogin {
    /// One account for everybody.
    Account(Credentials),
    /// An access token for each mailbox.
    Tokens(OAuthConfig),
    /// What the client logged in with.
    PassThrough,
    /// Nothing.
    None,
}

/// `upstream.NAME.on_dkim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDkim {
    /// Keep the signature and do not track.
    Keep,
    /// Take the signature off and track.
    Strip,
}

/// `auth.throttle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Wrong logins before no more are looked at.
    pub failures: u32,
    /// In this time.
    pub per: Duration,
}

/// One place where a login may be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginPlace {
    /// The store and this file.
    Local,
    /// The provider: the login is right if it takes it.
    Upstream,
}

/// One `[[sender]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderConfig {
    /// The login, and the first of the sender's own addresses.
    pub address: Mailbox,
    /// Further addresses of the sender's own.
    pub aliases: Vec<Mailbox>,
    /// An argon2id PHC string; without one this sender cannot log in by a password of ours.
    pub password_hash: Option<Secret>,
    /// The sender's choice, kept by the file.
    pub tracking: Option<Choice>,
}

/// `[privacy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// How much of an address is kept.
    pub store_ip: StoreIp,
    /// How much of a user agent is kept.
    pub store_agent: StoreAgent,
    /// Recipients who are never tracked.
    pub never_track: Vec<AddressPattern>,
    /// How much may be kept about everybody.
    pub mode: TrackingMode,
    /// About whom less.
    pub rules: Vec<PrivacyRule>,
    /// How long opens and clicks are kept.
    pub keep_events: Duration,
    /// How long subjects are kept; nothing: they are not stored.
    pub keep_subjects: Duration,
    /// How long evidence is kept; `None`: until the verdict is settled.
    pub keep_evidence: Option<Duration>,
    /// `Sec-GPC` and `DNT` count.
    pub honour_dnt: bool,
    /// The tracking host explains itself and takes refusals.
    pub recipient_page: bool,
    /// Tracked mail carries the address of the recipient's page.
    pub about_field: bool,
    /// Whom recipients can ask.
    pub contact: Option<String>,
}

/// One `[[privacy.rule]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacyRule {
    /// Whose mail.
    pub senders: Vec<AddressPattern>,
    /// To whom.
    pub recipients: Vec<AddressPattern>,
    /// How much may be kept.
    pub mode: TrackingMode,
}

/// `privacy.store_ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreIp {
    /// Nothing.
    None,
    /// The /24 (IPv4) or /48 (IPv6).
    Truncated,
    /// All of it.
    Full,
}

/// `privacy.store_agent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreAgent {
    /// Nothing.
    None,
    /// "Outlook, Windows".
    Family,
    /// All of it.
    Full,
}

/// `privacy.geo`, with a map that was opened once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoConfig {
    /// The map.
    pub file: PathBuf,
    /// How closely places are told.
    pub detail: PlaceDetail,
    /// When the map was made.
    pub built: Timestamp,
}

/// `[intel]`: files that were read once, and found to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntelConfig {
    /// The rules; `None` means the built-in ones.
    pub rules: Option<PathBuf>,
    /// The folder of lists; without it there are the built-in ones.
    pub lists: PathBuf,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The SQLite file.
    pub database: PathBuf,
    /// The folder for what waits: mail for its provider, events for the store.
    pub spool: PathBuf,
    /// Octets that are to stay free on the disk of `spool`: with less, no mail is taken into the queue.
    pub low_disk: u64,
    /// The keys that sign links; made on the first run.
    pub signing_key_file: PathBuf,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Largest message, in octets.
    pub message_octets: u64,
    /// Recipients of one message.
    pub recipients: usize,
    /// Connections of all listeners together.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Octets of content under way, of all connections together; at least twice `message_octets`.
    pub in_flight_octets: u64,
    /// After this a message goes out as it came.
    pub rewrite_time: Duration,
    /// Hits of one address that are recorded.
    pub tracking_per_ip: TrackingQuota,
    /// Hits of one pixel or link that are recorded.
    pub tracking_per_url: TrackingQuota,
    /// How long what is under way may take when the program is told to end.
    pub shutdown_grace: Duration,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least that is logged.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
    /// How much of a mail address is shown.
    pub addresses: LogAddresses,
}

/// `log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// The operator must act.
    Error,
    /// Odd, nothing lost.
    Warn,
    /// Lifecycle, and one line a message.
    Info,
    /// Each step.
    Debug,
    /// Everything.
    Trace,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people, on a terminal or not.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.addresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogAddresses {
    /// `a…@example.com`.
    Masked,
    /// As they are.
    Full,
    /// Not at all.
    None,
}
