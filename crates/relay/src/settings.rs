use std::sync::Arc;
use std::time::Duration;

use envelope::{Choice, Credentials, Mailbox, TrackingModes};
use rewrite::{LinkRules, PixelPosition};
use upstream::{HandoffError, Tokens, Upstream};

use crate::AddressPattern;
use crate::throttle::LoginLimits;

/// What the operator decided, resolved and checked before any port opens.
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the configuration file")]
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name in our `Received` field.
    pub hostname: String,
    /// False: nothing is rewritten, whatever a sender chose.
    pub tracking_enabled: bool,
    /// Where pixels and tracked links point, without a slash at the end.
    pub base_url: String,
    /// Other names of the same endpoint, for some senders: the first that matches.
    pub domains: Vec<TrackingDomain>,
    /// The header field a client may set; always removed.
    pub track_field: String,
    /// A login may end in `/none`, `/opens` or `/links`.
    pub login_suffix: bool,
    /// A message's own choice becomes the sender's saved default.
    pub sticky: bool,
    /// What a sender who never chose gets.
    pub defaults: Choice,
    /// The switches that stay as `defaults` has them, whatever a sender asks for.
    pub locked: Choice,
    /// Recipients whose mail is never tracked.
    pub never_track: Vec<AddressPattern>,
    /// How much may be kept about whom: where it is nothing, nothing is tracked.
    pub modes: TrackingModes,
    /// Subjects are stored.
    pub keep_subjects: bool,
    /// Tracked mail carries the address of the recipient's page.
    pub about_field: bool,
    /// What is put where, and which links stay as they are.
    pub rewriting: Rewriting,
    /// Where an unsubscribe may also be mailed to, beside the one click.
    pub unsubscribe_mailto: Option<String>,
    /// What happens to mail for one who is to get none of this sender's.
    pub on_suppressed: OnSuppressed,
    /// After this a message goes out as it came.
    pub rewrite_time: Duration,
    /// Where a login is looked for, in this order.
    pub login_order: Vec<LoginOrder>,
    /// How much guessing is let through.
    pub login_limits: LoginLimits,
    /// Senders the configuration file declares.
    pub senders: Vec<ConfiguredSender>,
    /// Providers, in the order of the file: a sender uses the first that matches.
    pub routes: Vec<Route>,
}

/// The operator's part in how a message is rewritten.
#[derive(Clone, Debug)]
pub struct Rewriting {
    /// Which links are never wrapped.
    pub rules: Arc<LinkRules>,
    /// Where the pixel goes.
    pub position: PixelPosition,
    /// Bare links in text parts are wrapped too.
    pub plain_text: bool,
    /// Further base URLs under which our own links stand in quoted mail: of other senders, of earlier days.
    pub other_base_urls: Arc<Vec<String>>,
}

/// Where some senders' pixels and tracked links point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingDomain {
    /// Whose mail.
    pub senders: Vec<AddressPattern>,
    /// Without a slash at the end.
    pub base_url: String,
}

/// One place where a login may be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOrder {
    /// The store and the configuration file.
    Local,
    /// The provider: the login is right if it takes it.
    Upstream,
}

/// A `[[sender]]` of the configuration file.
#[derive(Clone, Debug)]
pub struct ConfiguredSender {
    /// The login, and the first of the sender's own addresses.
    pub address: Mailbox,
    /// Further addresses of the sender's own.
    pub aliases: Vec<Mailbox>,
    /// An argon2id PHC string; without one this sender cannot log in here.
    pub password_hash: Option<String>,
    /// The sender's choice, kept by the file: a message's own choice does not change it.
    pub choice: Option<Choice>,
}

/// A provider and whose mail goes there.
#[derive(Clone, Debug)]
pub struct Route {
    /// Whose mail.
    pub senders: Vec<AddressPattern>,
    /// How to reach it.
    pub upstream: Upstream,
    /// What to log in with.
    pub login: RouteLogin,
    /// How many connections it may have at once; those of pass-through logins are not counted.
    pub pool: usize,
    /// Local senders may have only their own addresses in From and Sender.
    pub from_must_match: bool,
    /// What happens to a message the client has DKIM-signed itself.
    pub on_dkim: OnDkim,
    /// When the client hears 250.
    pub delivery: Delivery,
    /// What happens to direct mail while the provider is away.
    pub on_unavailable: OnUnavailable,
    /// One copy for each recipient, with tokens of its own; needs [`Delivery::Queue`].
    pub fan_out: bool,
    /// A message for more recipients than this goes out as one copy for all.
    pub fan_out_most: usize,
    /// When queued mail is tried again, and when it is given up.
    pub retry: Retry,
    /// No more queued messages than this.
    pub rate: Option<Rate>,
    /// Which messages get a one-click unsubscribe.
    pub unsubscribe: AddUnsubscribe,
}

/// Which messages get a one-click unsubscribe (RFC 8058).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddUnsubscribe {
    /// None.
    #[default]
    Off,
    /// Those that leave with a pixel or tracked links.
    WhenTracked,
    /// Every one.
    Always,
}

/// What happens to mail for one who is to get none of this sender's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSuppressed {
    /// The client hears 550.
    #[default]
    Refuse,
    /// He is left out, and the record of the message says so.
    Skip,
}

/// When the client hears 250.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// When the provider said so: its transaction runs inside the client's.
    #[default]
    Direct,
    /// When envelope and content are on disk. Not with [`RouteLogin::PassThrough`].
    Queue,
}

/// What happens to direct mail while the provider is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnavailable {
    /// The client hears 4yz and tries again.
    #[default]
    Defer,
    /// It goes into the queue. Not with [`RouteLogin::PassThrough`].
    Queue,
}

/// When queued mail is tried again, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first pause; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// After this, counted from when it was queued, the sender is told that it did not arrive.
    pub give_up: Duration,
}

/// No more than so many messages in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub messages: u32,
    /// In which time.
    pub per: Duration,
}

/// What a route logs in with.
#[derive(Clone, Debug)]
pub enum RouteLogin {
    /// One account for everybody.
    Account(Credentials),
    /// What the client logged in with; kept only while the client's connection lasts.
    PassThrough,
    /// An access token of the sender's own mailbox, for which a person has signed in.
    Tokens(Arc<Tokens>),
    /// Nothing.
    None,
}

/// What happens to a message the client has DKIM-signed itself (RFC 6376): a change of the body breaks the signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDkim {
    /// It goes out as it came, untracked.
    #[default]
    Keep,
    /// The signature is taken off, for a provider that signs anew.
    Strip,
}

impl RouteLogin {
    /// What `sender`'s mail goes out with, where that is not the client's own login.
    ///
    /// # Errors
    /// [`HandoffError::NoToken`].
    pub async fn of(&self, sender: &str) -> Result<Option<Credentials>, HandoffError> {
        match self {
            Self::Account(credentials) => Ok(Some(credentials.clone())),
            Self::Tokens(tokens) => tokens.login(sender).await.map(Some),
            Self::PassThrough | Self::None => Ok(None),
        }
    }
}

impl Settings {
    /// The sender as the configuration file declares him, by login or alias.
    pub fn configured_sender(&self, address: &str) -> Option<&ConfiguredSender> {
        self.senders.iter().find(|sender| {
            std::iter::once(&sender.address)
                .chain(&sender.aliases)
                .any(|own| own.as_str().eq_ignore_ascii_case(address))
        })
    }
}

impl Route {
    /// A route for everybody, without login, that hands on directly.
    pub fn direct(upstream: Upstream) -> Self {
        Self {
            senders: vec![AddressPattern::Anyone],
            upstream,
            login: RouteLogin::None,
            pool: 20,
            from_must_match: true,
            on_dkim: OnDkim::default(),
            delivery: Delivery::default(),
            on_unavailable: OnUnavailable::default(),
            fan_out: false,
            fan_out_most: 20,
            retry: Retry::default(),
            rate: None,
            unsubscribe: AddUnsubscribe::default(),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_mins(1),
            longest: Duration::from_hours(1),
            give_up: Duration::from_hours(72),
        }
    }
}

impl Default for Rewriting {
    fn default() -> Self {
        Self {
            rules: Arc::default(),
            position: PixelPosition::Auto,
            plain_text: false,
            other_base_urls: Arc::default(),
        }
    }
}

impl Settings {
    /// Where this sender's pixels and tracked links point.
    pub fn base_url_for(&self, sender: &str) -> &str {
        let own =
            self.domains.iter().find(|domain| domain.senders.iter().any(|pattern| pattern.matches(sender)));
        own.map_or(&self.base_url, |domain| &domain.base_url)
    }
}

#[cfg(test)]
impl Settings {
    pub(crate) fn for_tests() -> Self {
        Self {
            hostname: "relay.example".into(),
            tracking_enabled: true,
            base_url: "https://t.example.com".into(),
            domains: vec![],
            track_field: "X-Waxseal-Track".into(),
            login_suffix: true,
            sticky: true,
            defaults: Choice::NONE,
            locked: Choice::NONE,
            never_track: vec![],
            modes: TrackingModes::default(),
            keep_subjects: true,
            about_field: false,
            rewriting: Rewriting::default(),
            unsubscribe_mailto: None,
            on_suppressed: OnSuppressed::default(),
            rewrite_time: Duration::from_secs(2),
            login_order: vec![LoginOrder::Local],
            login_limits: LoginLimits { failures: 5, per: Duration::from_mins(15) },
            senders: vec![],
            routes: vec![],
        }
    }
}
