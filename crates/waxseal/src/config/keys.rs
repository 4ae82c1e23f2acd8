use std::time::Duration;

/// One key of the configuration file.
///
/// This table is the only place that says which keys there are, of what kind, and what holds when one is not
/// set. What the program reads, what it refuses and `config/waxseal.toml` come from it.
#[derive(Debug)]
pub(super) struct Key {
    /// `limits.message_size`; `smtp[].listen` in each `[[smtp]]`; `upstream.*.host` in each `[upstream.NAME]`.
    pub path: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What holds when it is not set, as TOML.
    pub preset: Preset,
    /// One line for the operator.
    pub doc: &'static str,
}

/// What may stand at a key.
#[derive(Debug)]
pub(super) enum Kind {
    /// A key of the design that this version does not have.
    Later,
    /// `[table]`.
    Table,
    /// `name = { … }`.
    Inline,
    /// `[[table]]`, any number of them.
    Tables,
    /// `[table.NAME]`, any number of them.
    Named,
    /// `true` or `false`.
    Flag,
    /// A whole number between these.
    Number(u64, u64),
    /// A size with its unit, of at least so many octets.
    Octets(u64),
    /// A duration with its unit, between these.
    Period(Duration, Duration),
    /// The word, or a duration with its unit, between these.
    WordOrPeriod(&'static str, Duration, Duration),
    /// One of the first words; the second are those of the design that this version does not have.
    Word(&'static [&'static str], &'static [&'static str]),
    /// A list of them, each once.
    Words(&'static [&'static str], &'static [&'static str]),
    /// Our own name in SMTP: a domain or an address literal, ASCII.
    Hostname,
    /// A host to connect to: a name or an IP address.
    Host,
    /// Text that is not empty and has no control characters.
    Text,
    /// The name of a header field that is ours to remove.
    FieldName,
    /// `http(s)://host[:port]`.
    BaseUrl,
    /// A list of them.
    BaseUrls,
    /// `mailto:…` or `https://…`.
    Contact,
    /// `sqlite:` and a path.
    StoreUrl,
    /// An IP address with a port.
    Listen,
    /// A list of IP networks.
    Networks,
    /// A list of `*`, `*@domain` or addresses, not empty.
    Senders,
    /// A list of `*@domain` or addresses.
    Recipients,
    /// One mail address.
    Mailbox,
    /// A list of mail addresses.
    Mailboxes,
    /// A list of patterns of links.
    LinkPatterns,
    /// The path of a file or folder.
    Path,
    /// The path of a file that holds a password.
    PasswordFile,
    /// The name of an environment variable or of a credential: shown to nobody, because whoever mistakes
    /// the key writes the secret itself here.
    SecretName,
    /// A secret.
    Secret,
    /// `socks5://[user:password@]host:port`: as secret as the password.
    Proxy,
    /// `https://…`, where a secret is sent.
    Endpoint,
    /// An argon2id PHC string.
    PasswordHash,
}

/// What holds when a key is not set.
#[derive(Debug)]
pub(super) enum Preset {
    /// This, as TOML.
    Default(&'static str),
    /// Nothing: it has to be set where the feature is used. An example.
    Needed(&'static str),
    /// Nothing, and that is fine. An example.
    Optional(&'static str),
    /// It holds other keys.
    Holds,
}

impl Key {
    /// The key that holds this one: `smtp[]` for `smtp[].listen`, nothing for `smtp`.
    pub(super) fn holder(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(holder, _)| holder)
    }

    /// `listen` for `smtp[].listen`.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// Does this version have it?
    pub(super) fn is_available(&self) -> bool {
        !matches!(self.kind, Kind::Later)
    }

    /// Does its value have to stay unseen?
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Proxy | Kind::SecretName | Kind::PasswordHash | Kind::Later)
    }

    /// Does it hold other keys rather than a value?
    pub(super) fn is_holder(&self) -> bool {
        matches!(self.kind, Kind::Table | Kind::Inline | Kind::Tables | Kind::Named)
    }
}

/// The key at `path`, as the table spells it.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The keys right under `holder`.
pub(super) fn within(holder: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.holder() == holder)
}

use Preset::{Default, Holds, Needed, Optional};

const fn holder(path: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { path, kind, preset: Holds, doc }
}

const fn key(path: &'static str, kind: Kind, preset: Preset, doc: &'static str) -> Key {
    Key { path, kind, preset, doc }
}

const fn later(path: &'static str) -> Key {
    Key { path, kind: Kind::Later, preset: Holds, doc: "" }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const TEN_YEARS: Duration = Duration::from_hours(24 * 3653);
const MONTH: Duration = Duration::from_hours(24 * 31);

/// Less does not even hold a header: "35" was meant to be "35MB".
const LEAST_MESSAGE_OCTETS: u64 = 1_000;

/// In the order in which `config/waxseal.toml` shows them.
pub(super) static KEYS: &[Key] = &[
    key("schema", Kind::Number(1, 1), Default("1"), "Version of this file's layout."),
    // ── server
    holder("server", Kind::Table, "Who we are."),
    key(
        "server.hostname",
        Kind::Hostname,
        Optional("\"relay.example.com\""),
        "The name this relay greets with and prints in Received fields; if not set, the system's host name.",
    ),
    later("server.label"),
    // ── smtp
    holder(
        "smtp",
        Kind::Tables,
        "Where mail comes in: one table per listener. With none there is the one shown here, for this machine only.",
    ),
    key(
        "smtp[].role",
        Kind::Word(&["submission", "feedback"], &[]),
        Default("\"submission\""),
        "submission (senders' mail) | feedback (bounces and complaints: they are read, recorded, and go nowhere).",
    ),
    key("smtp[].listen", Kind::Listen, Default("\"127.0.0.1:2525\""), "IP address and port."),
    key(
        "smtp[].tls",
        Kind::Word(&["implicit", "starttls", "none"], &[]),
        Default("\"none\""),
        "implicit (port 465) | starttls (port 587) | none (plain text; with logins on a loopback address only).",
    ),
    key(
        "smtp[].auth",
        Kind::Word(&["required", "none"], &[]),
        Default("\"required\""),
        "required | none (on a loopback address, or for `allow_from` only).",
    ),
    key(
        "smtp[].allow_from",
        Kind::Networks,
        Optional("[\"127.0.0.0/8\", \"::1/128\"]"),
        "Who may connect; if not set, everybody who can log in.",
    ),
    key(
        "smtp[].as",
        Kind::Mailbox,
        Optional("\"ops@example.com\""),
        "With auth = \"none\": whose mail it is; if not set, the reverse-path says.",
    ),
    // ── tls
    holder("tls", Kind::Table, "The certificate of our listeners."),
    key(
        "tls.mode",
        Kind::Word(&["acme", "files", "self-signed", "none"], &[]),
        Needed("\"none\""),
        "acme | files | self-signed (made on the first run, for tests) | none (a proxy in front of the tracking endpoint does TLS).",
    ),
    key(
        "tls.email",
        Kind::Mailbox,
        Optional("\"postmaster@example.com\""),
        "With mode = \"acme\": whom the authority writes to. With this mode you agree to its terms.",
    ),
    key(
        "tls.directory",
        Kind::Endpoint,
        Default("\"https://acme-v02.api.letsencrypt.org/directory\""),
        "With mode = \"acme\": the authority's directory (RFC 8555).",
    ),
    key(
        "tls.directory_ca_file",
        Kind::Path,
        Optional("\"/etc/waxseal/authority.pem\""),
        "With mode = \"acme\": PEM with whom to believe that it is the authority; if not set, the system's.",
    ),
    key(
        "tls.challenge",
        Kind::Word(&["tls-alpn-01", "http-01"], &[]),
        Default("\"tls-alpn-01\""),
        "With mode = \"acme\": tls-alpn-01 (needs port 443 of the endpoint) | http-01 (needs port 80, `tracking.plain_http`).",
    ),
    key(
        "tls.cert_file",
        Kind::Path,
        Optional("\"/etc/waxseal/cert.pem\""),
        "With mode = \"files\": PEM, our certificate first, then its authority's. Read again when it changes.",
    ),
    key(
        "tls.key_file",
        Kind::Path,
        Optional("\"/etc/waxseal/key.pem\""),
        "With mode = \"files\": PEM, its private key. Read again when it changes.",
    ),
    // ── tracking
    holder("tracking", Kind::Table, "Where recipients' clicks and pixels land, and what is tracked."),
    key(
        "tracking.enabled",
        Kind::Flag,
        Default("true"),
        "false: nothing is rewritten, whatever a sender chose. Old links go on working.",
    ),
    key(
        "tracking.base_url",
        Kind::BaseUrl,
        Needed("\"https://t.example.com\""),
        "Where pixels and tracked links point. With http:// the endpoint speaks plain HTTP (tests).",
    ),
    key(
        "tracking.listen",
        Kind::Listen,
        Default("\"127.0.0.1:8081\""),
        "IP address and port of the endpoint; 0.0.0.0:443 if it speaks TLS itself.",
    ),
    key(
        "tracking.trusted_proxies",
        Kind::Networks,
        Default("[]"),
        "Networks of proxies whose X-Forwarded-For is believed.",
    ),
    key(
        "tracking.proxy_protocol",
        Kind::Flag,
        Default("false"),
        "true: a trusted proxy's connections begin with a PROXY protocol header, version 1 or 2; others of it are closed.",
    ),
    key(
        "tracking.old_base_urls",
        Kind::BaseUrls,
        Default("[]"),
        "Base URLs of earlier days: links under them are known as ours where a mail quotes them.",
    ),
    key(
        "tracking.contact",
        Kind::Contact,
        Optional("\"mailto:security@example.com\""),
        "Whom to tell about a weakness, a mailto: or https: URI; shown in /.well-known/security.txt.",
    ),
    holder("tracking.defaults", Kind::Inline, "What a sender who never chose anything gets."),
    key("tracking.defaults.opens", Kind::Flag, Default("false"), "Add a pixel."),
    key("tracking.defaults.links", Kind::Flag, Default("false"), "Wrap links."),
    later("tracking.defaults.notify"),
    key(
        "tracking.locked",
        Kind::Words(&["opens", "links"], &["notify"]),
        Default("[]"),
        "What senders may not change: \"opens\", \"links\" or both.",
    ),
    key(
        "tracking.sticky",
        Kind::Word(&["last-used", "off"], &[]),
        Default("\"last-used\""),
        "last-used (a message's own choice becomes the sender's default) | off (it counts for that message alone).",
    ),
    key(
        "tracking.header",
        Kind::FieldName,
        Default("\"X-Waxseal-Track\""),
        "Header field a client may set (opens, links, \"opens, links\" or none); always removed before the message goes on.",
    ),
    key(
        "tracking.login_suffix",
        Kind::Flag,
        Default("true"),
        "Understand the logins ana@example.com/none, /opens and /links, for clients that cannot set header fields.",
    ),
    key(
        "tracking.on_failure",
        Kind::Word(&["send-untracked"], &["defer"]),
        Default("\"send-untracked\""),
        "If rewriting or the store fails: send-untracked.",
    ),
    key(
        "tracking.plain_http",
        Kind::Word(&["redirect", "off"], &[]),
        Default("\"redirect\""),
        "redirect (an endpoint with TLS on port 443 also listens on port 80, for http-01 and to send on to https) | off.",
    ),
    key(
        "tracking.plain_http_listen",
        Kind::Listen,
        Optional("\"0.0.0.0:80\""),
        "IP address and port for that; if not set, port 80 of the endpoint's address.",
    ),
    holder(
        "tracking.domain",
        Kind::Tables,
        "More names for the same endpoint. A sender has the first whose `senders` match, else tracking.base_url.",
    ),
    key(
        "tracking.domain[].base_url",
        Kind::BaseUrl,
        Needed("\"https://go.example.org\""),
        "Where pixels and tracked links of these senders point.",
    ),
    key(
        "tracking.domain[].senders",
        Kind::Senders,
        Needed("[\"*@example.org\"]"),
        "Whose mail: \"*@example.org\" or \"ana@example.org\".",
    ),
    holder("tracking.links", Kind::Table, "Which links are wrapped."),
    key("tracking.links.plain_text", Kind::Flag, Default("false"), "Wrap bare links of the text part too."),
    key(
        "tracking.links.keep",
        Kind::LinkPatterns,
        Default("[]"),
        "Links that are never wrapped, for example \"*.example.com/unsubscribe*\"; * stands for any text.",
    ),
    key(
        "tracking.links.keep_list_unsubscribe",
        Kind::Flag,
        Default("true"),
        "Leave the target of List-Unsubscribe alone.",
    ),
    key(
        "tracking.links.keep_if_text_is_url",
        Kind::Flag,
        Default("true"),
        "Leave a link alone when its visible text is itself a URL: mail programs warn when the two differ.",
    ),
    key(
        "tracking.links.keep_one_time",
        Kind::Flag,
        Default("true"),
        "Leave sign-in, reset and other single-use links alone.",
    ),
    key("tracking.links.keep_app_links", Kind::Flag, Default("true"), "Leave links alone that open an app."),
    holder("tracking.opens", Kind::Table, "The pixel."),
    key(
        "tracking.opens.position",
        Kind::Word(&["auto", "end", "start"], &[]),
        Default("\"auto\""),
        "auto (at the end; at the start when the HTML is longer than providers show) | end | start.",
    ),
    later("tracking.opens.own_opens"),
    // ── upstream
    holder(
        "upstream",
        Kind::Named,
        "Where mail goes out. The names are yours. A sender uses the first whose `senders` match.",
    ),
    key(
        "upstream.*.host",
        Kind::Host,
        Needed("\"smtp.provider.example\""),
        "The provider's submission server.",
    ),
    key(
        "upstream.*.port",
        Kind::Number(1, 65_535),
        Default("465"),
        "465 with implicit, 587 with starttls, 25 with none.",
    ),
    key(
        "upstream.*.tls",
        Kind::Word(&["implicit", "starttls", "none"], &[]),
        Default("\"implicit\""),
        "implicit | starttls | none (to this machine only).",
    ),
    key(
        "upstream.*.ca_file",
        Kind::Path,
        Optional("\"/etc/waxseal/provider-ca.pem\""),
        "PEM with the authorities to believe; if not set, the system's.",
    ),
    key(
        "upstream.*.senders",
        Kind::Senders,
        Default("[\"*\"]"),
        "Whose mail goes there: \"*\", \"*@example.com\" or \"ana@example.com\".",
    ),
    key(
        "upstream.*.auth",
        Kind::Word(&["login", "xoauth2", "pass-through", "none"], &[]),
        Needed("\"pass-through\""),
        "login (one account) | xoauth2 (a sign-in per mailbox) | pass-through (the client's own; nothing is stored) | none.",
    ),
    key(
        "upstream.*.username",
        Kind::Text,
        Optional("\"relay@example.com\""),
        "With auth = \"login\", as is one of the four that follow.",
    ),
    key(
        "upstream.*.password",
        Kind::Secret,
        Optional("\"…\""),
        "Only in a file that not everybody on this machine may read.",
    ),
    key(
        "upstream.*.password_file",
        Kind::PasswordFile,
        Optional("\"/etc/waxseal/provider-password\""),
        "A file that holds the password; one line end is taken off.",
    ),
    key(
        "upstream.*.password_env",
        Kind::SecretName,
        Optional("\"PROVIDER_PASSWORD\""),
        "An environment variable that holds it.",
    ),
    key(
        "upstream.*.password_credential",
        Kind::SecretName,
        Optional("\"provider-password\""),
        "A systemd credential that holds it (LoadCredential=).",
    ),
    holder(
        "upstream.*.oauth",
        Kind::Inline,
        "With auth = \"xoauth2\"; then once for each mailbox: waxseal upstream login NAME ADDRESS.",
    ),
    key(
        "upstream.*.oauth.provider",
        Kind::Word(&["google", "microsoft", "custom"], &[]),
        Default("\"custom\""),
        "google | microsoft | custom (needs the three that follow).",
    ),
    key(
        "upstream.*.oauth.authorize_url",
        Kind::Endpoint,
        Optional("\"https://id.example.com/authorize\""),
        "Where a person signs in.",
    ),
    key(
        "upstream.*.oauth.token_url",
        Kind::Endpoint,
        Optional("\"https://id.example.com/token\""),
        "Where tokens come from.",
    ),
    key("upstream.*.oauth.scope", Kind::Text, Optional("\"smtp offline_access\""), "What is asked for."),
    key(
        "upstream.*.oauth.client_id",
        Kind::Text,
        Optional("\"1234.apps.googleusercontent.com\""),
        "Your registration with the provider.",
    ),
    key(
        "upstream.*.oauth.client_secret_file",
        Kind::PasswordFile,
        Optional("\"/etc/waxseal/oauth-client\""),
        "A file that holds its secret, where there is one.",
    ),
    key(
        "upstream.*.proxy",
        Kind::Proxy,
        Optional("\"socks5://127.0.0.1:1080\""),
        "A SOCKS5 proxy, socks5://[user:password@]host:port, that also resolves the provider's name.",
    ),
    key(
        "upstream.*.timeout",
        Kind::Period(SECOND, HOUR),
        Default("\"60s\""),
        "How long the provider may take for each step.",
    ),
    key(
        "upstream.*.pool",
        Kind::Number(1, 1_000),
        Default("20"),
        "Connections at once, kept for the next message; those of pass-through logins are not counted.",
    ),
    key(
        "upstream.*.on_dkim",
        Kind::Word(&["keep", "strip"], &[]),
        Default("\"keep\""),
        "Mail that the client already DKIM-signed: keep (do not track it) | strip (take the signature off).",
    ),
    key(
        "upstream.*.from_must_match",
        Kind::Flag,
        Default("true"),
        "Refuse a From or Sender field with an address that is not the sender's own; senders with a login of ours only.",
    ),
    later("upstream.*.verify"),
    key(
        "upstream.*.delivery",
        Kind::Word(&["direct", "queue"], &[]),
        Default("\"direct\""),
        "direct (the client hears what the provider said) | queue (it hears 250 once the mail is on disk; not with pass-through).",
    ),
    key(
        "upstream.*.on_unavailable",
        Kind::Word(&["defer", "queue"], &[]),
        Default("\"defer\""),
        "With delivery = \"direct\", while the provider is away: defer (the client tries again) | queue (not with pass-through).",
    ),
    key(
        "upstream.*.fan_out",
        Kind::Flag,
        Default("false"),
        "With delivery = \"queue\": one copy for each recipient, to know who opened.",
    ),
    key(
        "upstream.*.fan_out_most",
        Kind::Number(2, 1_000),
        Default("20"),
        "A message for more recipients than this goes out as one copy for all: providers count copies.",
    ),
    holder("upstream.*.retry", Kind::Inline, "When mail that waits is tried again, and when it is given up."),
    key(
        "upstream.*.retry.first",
        Kind::Period(Duration::from_millis(100), HOUR),
        Default("\"1m\""),
        "The first pause; each further one is twice as long.",
    ),
    key(
        "upstream.*.retry.longest",
        Kind::Period(Duration::from_millis(100), DAY),
        Default("\"1h\""),
        "The longest pause.",
    ),
    key(
        "upstream.*.retry.give_up",
        Kind::Period(SECOND, MONTH),
        Default("\"3d\""),
        "After this the sender is told that it did not arrive.",
    ),
    holder("upstream.*.rate", Kind::Inline, "Queued mail: no more messages than this in this time."),
    key("upstream.*.rate.messages", Kind::Number(1, 1_000_000), Optional("30"), "How many."),
    key("upstream.*.rate.per", Kind::Period(SECOND, DAY), Optional("\"1m\""), "In which time."),
    key(
        "upstream.*.unsubscribe",
        Kind::Word(&["off", "when-tracked", "always"], &[]),
        Optional("\"off\""),
        "For mail that goes out here: what `unsubscribe.add` says for all.",
    ),
    // ── unsubscribe
    holder("unsubscribe", Kind::Table, "Recipients who want no more mail of a sender's."),
    key(
        "unsubscribe.add",
        Kind::Word(&["off", "when-tracked", "always"], &[]),
        Default("\"off\""),
        "Add one-click unsubscribe (RFC 8058) to mail without its own: off | when-tracked | always. Only to a copy for one recipient.",
    ),
    key(
        "unsubscribe.mailto",
        Kind::Mailbox,
        Optional("\"unsubscribe@example.com\""),
        "Offer this address too: a mailbox that somebody reads, and answers with waxseal suppress add.",
    ),
    key(
        "unsubscribe.on_suppressed",
        Kind::Word(&["refuse", "skip"], &[]),
        Default("\"refuse\""),
        "Mail for one who unsubscribed, or is on the list of waxseal suppress: refuse (550) | skip (the others get it; the record says so).",
    ),
    key(
        "unsubscribe.also_on",
        Kind::Words(&["bounce", "complaint"], &[]),
        Default("[]"),
        "What else puts a recipient on a sender's list: bounce (there is no such mailbox) | complaint.",
    ),
    // ── auth
    holder("auth", Kind::Table, "Who may send."),
    key(
        "auth.order",
        Kind::Words(&["local", "upstream"], &[]),
        Default("[\"local\", \"upstream\"]"),
        "local: senders of the store and of this file. upstream: a login is right if a pass-through upstream takes it.",
    ),
    holder(
        "auth.throttle",
        Kind::Inline,
        "So many wrong logins of one person from one address (and four times as many in all), then no more are looked at.",
    ),
    key("auth.throttle.failures", Kind::Number(1, 1_000), Default("5"), "So many."),
    key("auth.throttle.per", Kind::Period(MINUTE, DAY), Default("\"15m\""), "In this time."),
    later("auth.throttle.by"),
    // ── sender
    holder(
        "sender",
        Kind::Tables,
        "Senders whom this file declares; others are added with `waxseal sender add`. One table per sender.",
    ),
    key(
        "sender[].address",
        Kind::Mailbox,
        Needed("\"ana@example.com\""),
        "The login, and the sender's first address.",
    ),
    key("sender[].aliases", Kind::Mailboxes, Default("[]"), "Further addresses of the sender's own."),
    key(
        "sender[].password_hash",
        Kind::PasswordHash,
        Optional("\"$argon2id$v=19$m=19456,t=2,p=1$…\""),
        "What `waxseal sender hash` prints.",
    ),
    holder(
        "sender[].tracking",
        Kind::Inline,
        "The sender's choice; if not set, it is the sender's own to make.",
    ),
    key("sender[].tracking.opens", Kind::Flag, Optional("true"), "Add a pixel."),
    key("sender[].tracking.links", Kind::Flag, Optional("false"), "Wrap links."),
    later("sender[].tracking.notify"),
    later("sender[].role"),
    later("sender[].teams"),
    // ── privacy
    holder("privacy", Kind::Table, "What is kept about recipients."),
    key(
        "privacy.store_ip",
        Kind::Word(&["none", "truncated", "full"], &[]),
        Default("\"truncated\""),
        "none | truncated (/24 of IPv4, /48 of IPv6) | full.",
    ),
    key(
        "privacy.store_agent",
        Kind::Word(&["none", "family", "full"], &[]),
        Default("\"family\""),
        "none | family (\"Outlook, Windows\") | full.",
    ),
    key(
        "privacy.never_track",
        Kind::Recipients,
        Default("[]"),
        "Recipients who are never tracked: \"*@example.org\" or \"legal@example.com\".",
    ),
    key(
        "privacy.geo",
        Kind::Word(&["none", "country", "city"], &[]),
        Default("\"none\""),
        "none | country | city: where a person opened or clicked, as far as the address tells; needs `geo_db`.",
    ),
    key(
        "privacy.geo_db",
        Kind::Path,
        Optional("\"/var/lib/GeoIP/GeoLite2-Country.mmdb\""),
        "A map of addresses in MaxMind's format; read again when it changes. Waxseal ships none and fetches none.",
    ),
    key(
        "privacy.mode",
        Kind::Word(&["off", "hygiene", "pseudonymous", "full"], &[]),
        Default("\"full\""),
        "off | hygiene (the date of the last open only) | pseudonymous (not who of several, where, on what) | full.",
    ),
    key(
        "privacy.keep_events",
        Kind::Period(DAY, TEN_YEARS),
        Default("\"400d\""),
        "How long opens and clicks are kept, and what is known of their messages. The links work for ever.",
    ),
    key(
        "privacy.keep_subjects",
        Kind::Period(Duration::ZERO, TEN_YEARS),
        Default("\"400d\""),
        "How long subjects are kept; \"0d\": not at all.",
    ),
    key(
        "privacy.keep_bodies",
        Kind::Word(&["0d"], &[]),
        Default("\"0d\""),
        "Only \"0d\": the text of messages is never stored, except of mail that waits in the queue.",
    ),
    key(
        "privacy.keep_evidence",
        Kind::WordOrPeriod("settling", HOUR, TEN_YEARS),
        Default("\"settling\""),
        "What verdicts are made from: settling (until it is sure who it was), or for a time, to judge anew later.",
    ),
    key(
        "privacy.honour_dnt",
        Kind::Flag,
        Default("true"),
        "Sec-GPC and DNT: opens are not stored; clicks are counted, with nothing about the person.",
    ),
    key(
        "privacy.recipient_page",
        Kind::Flag,
        Default("true"),
        "The tracking host explains itself, and recipients can refuse there.",
    ),
    key(
        "privacy.about_field",
        Kind::Flag,
        Default("false"),
        "Tracked mail carries X-Waxseal-About: the address of the recipient's page, with what is known and a way to refuse.",
    ),
    key(
        "privacy.contact",
        Kind::Text,
        Optional("\"Example Ltd, privacy@example.com\""),
        "Whom recipients can ask; shown on their page.",
    ),
    holder(
        "privacy.rule",
        Kind::Tables,
        "A mode for some senders or recipients. Of all that fit, and privacy.mode, the strictest wins.",
    ),
    key(
        "privacy.rule[].senders",
        Kind::Senders,
        Optional("[\"*@example.com\"]"),
        "Whose mail; if not set, everybody's.",
    ),
    key(
        "privacy.rule[].recipients",
        Kind::Senders,
        Optional("[\"*@example.org\"]"),
        "To whom; if not set, to everybody.",
    ),
    key(
        "privacy.rule[].mode",
        Kind::Word(&["off", "hygiene", "pseudonymous", "full"], &[]),
        Needed("\"hygiene\""),
        "off | hygiene | pseudonymous | full.",
    ),
    // ── console
    holder("console", Kind::Table, "The API, for programs; the senders' pages will be there too."),
    key(
        "console.listen",
        Kind::Listen,
        Optional("\"127.0.0.1:8080\""),
        "IP address and port, a loopback one; not set: there is no API. `waxseal token add` lets a program in.",
    ),
    later("console.base_url"),
    later("console.login"),
    later("console.session"),
    later("sharing"),
    later("admin"),
    later("notify"),
    later("webhook"),
    // ── intel
    holder(
        "intel",
        Kind::Table,
        "What people are told from machines by: see docs/verdicts.md, and `waxseal verdict` for one case.",
    ),
    key(
        "intel.rules",
        Kind::Path,
        Optional("\"/etc/waxseal/verdicts.toml\""),
        "Rules in the place of the built-in ones, which `waxseal intel rules` prints.",
    ),
    key(
        "intel.lists",
        Kind::Path,
        Default("\"/var/lib/waxseal/intel\""),
        "Folder with newer lists of networks and crawlers than the built-in ones; `waxseal intel update` fills it.",
    ),
    // ── store
    holder("store", Kind::Table, "Where things are kept."),
    key(
        "store.url",
        Kind::StoreUrl,
        Default("\"sqlite:///var/lib/waxseal/waxseal.db\""),
        "sqlite:///absolute/path or sqlite:path-relative-to-this-file.",
    ),
    key(
        "store.spool",
        Kind::Path,
        Default("\"/var/lib/waxseal/spool\""),
        "Folder for what waits: mail for its provider, events for the store.",
    ),
    key(
        "store.signing_key_file",
        Kind::Path,
        Default("\"/var/lib/waxseal/links.key\""),
        "Made on the first run. Keep it in every backup: old links die with it.",
    ),
    later("store.url_file"),
    later("store.url_env"),
    later("store.url_credential"),
    later("store.backup"),
    key(
        "store.low_disk",
        Kind::Octets(0),
        Default("\"500MB\""),
        "With less free on the disk of `spool` no mail is taken into the queue (452), so that what is there gets out.",
    ),
    // ── limits
    holder("limits", Kind::Table, "How much, and how long."),
    key("limits.message_size", Kind::Octets(LEAST_MESSAGE_OCTETS), Default("\"35MB\""), "Largest message."),
    key("limits.recipients", Kind::Number(1, 100_000), Default("100"), "Recipients of one message."),
    key(
        "limits.connections",
        Kind::Number(1, 1_000_000),
        Default("200"),
        "Connections of all listeners together.",
    ),
    key(
        "limits.connections_per_address",
        Kind::Number(1, 1_000_000),
        Default("50"),
        "Connections from one IP address.",
    ),
    key(
        "limits.in_flight",
        Kind::Octets(LEAST_MESSAGE_OCTETS),
        Default("\"256MB\""),
        "Content under way in all connections together; at least twice `message_size`.",
    ),
    key(
        "limits.rewrite_time",
        Kind::Period(Duration::from_millis(1), MINUTE),
        Default("\"2s\""),
        "After this a message goes out untouched.",
    ),
    key(
        "limits.shutdown_grace",
        Kind::Period(Duration::ZERO, HOUR),
        Default("\"30s\""),
        "How long what is under way may take when told to end.",
    ),
    later("limits.per_sender"),
    holder(
        "limits.tracking_per_ip",
        Kind::Inline,
        "Hits of one address that are recorded; more are answered all the same. Not for image proxies and the like.",
    ),
    key("limits.tracking_per_ip.requests", Kind::Number(1, 1_000_000_000), Default("120"), "How many."),
    key("limits.tracking_per_ip.per", Kind::Period(SECOND, DAY), Default("\"1m\""), "In which time."),
    holder(
        "limits.tracking_per_url",
        Kind::Inline,
        "The same of one pixel or link, whoever asks, so that one URL cannot fill the disk.",
    ),
    key("limits.tracking_per_url.requests", Kind::Number(1, 1_000_000_000), Default("2000"), "How many."),
    key("limits.tracking_per_url.per", Kind::Period(SECOND, DAY), Default("\"1h\""), "In which time."),
    later("autoconfig"),
    // ── log
    holder("log", Kind::Table, "What is logged, to standard error."),
    key(
        "log.level",
        Kind::Word(&["error", "warn", "info", "debug", "trace"], &[]),
        Default("\"info\""),
        "error | warn | info (one line a message) | debug | trace.",
    ),
    key(
        "log.format",
        Kind::Word(&["auto", "text", "json"], &["journald"]),
        Default("\"auto\""),
        "auto | text | json.",
    ),
    key(
        "log.addresses",
        Kind::Word(&["masked", "full", "none"], &[]),
        Default("\"masked\""),
        "masked (a…@example.com) | full | none.",
    ),
];
