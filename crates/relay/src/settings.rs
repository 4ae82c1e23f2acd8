use std::sync::Arc;
use std::time::Duration;

use envelope::{Choice, Credentials, Mailbox};
use rewrite::{LinkRules, PixelPosition};
use upstream::{HandoffError, Tokens, Upstream};

use crate::AddressPattern;

/// What the operator decided, resolved and checked before any port opens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name in our `Received` field.
    pub hostname: String,
    /// False: nothing is rewritten, whatever a sender chose.
    pub tracking_enabled: bool,
    /// Where pixels and tracked links point, without a slash at the end.
    pub base_url: String,
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
    /// What is put where, and which links stay as they are.
    pub rewriting: Rewriting,
    /// After this a message goes out as it came.
    pub rewrite_time: Duration,
    /// Where a login is looked for, in this order.
    pub login_order: Vec<LoginOrder>,
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
    /// What happens to a message the client has DKIM-signed itself.
    pub on_dkim: OnDkim,
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

impl Default for Rewriting {
    fn default() -> Self {
        Self { rules: Arc::default(), position: PixelPosition::Auto, plain_text: false }
    }
}

#[cfg(test)]
impl Settings {
    pub(crate) fn for_tests() -> Self {
        Self {
            hostname: "relay.example".into(),
            tracking_enabled: true,
            base_url: "https://t.example.com".into(),
            track_field: "X-Waxseal-Track".into(),
            login_suffix: true,
            sticky: true,
            defaults: Choice::NONE,
            locked: Choice::NONE,
            never_track: vec![],
            rewriting: Rewriting::default(),
            rewrite_time: Duration::from_secs(2),
            login_order: vec![LoginOrder::Local],
            senders: vec![],
            routes: vec![],
        }
    }
}
