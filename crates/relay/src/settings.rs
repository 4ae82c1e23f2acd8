use std::time::Duration;

use envelope::{Choice, Credentials, Mailbox};
use upstream::Upstream;

use crate::SenderPattern;

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
    /// A message's own choice becomes the sender's saved default.
    pub sticky: bool,
    /// What a sender who never chose gets.
    pub defaults: Choice,
    /// After this a message goes out as it came.
    pub rewrite_time: Duration,
    /// Where a login is looked for, in this order.
    pub login_order: Vec<LoginOrder>,
    /// Senders the configuration file declares.
    pub senders: Vec<ConfiguredSender>,
    /// Providers, in the order of the file: a sender uses the first that matches.
    pub routes: Vec<Route>,
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
    pub senders: Vec<SenderPattern>,
    /// How to reach it.
    pub upstream: Upstream,
    /// What to log in with.
    pub login: RouteLogin,
}

/// What a route logs in with.
#[derive(Clone, Debug)]
pub enum RouteLogin {
    /// One account for everybody.
    Account(Credentials),
    /// What the client logged in with; kept only while the client's connection lasts.
    PassThrough,
    /// Nothing.
    None,
}

impl Settings {
    /// The first route for the sender's address.
    pub fn route_for(&self, sender: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.senders.iter().any(|pattern| pattern.matches(sender)))
    }

    /// The sender as the configuration file declares him, by login or alias.
    pub fn configured_sender(&self, address: &str) -> Option<&ConfiguredSender> {
        self.senders.iter().find(|sender| {
            std::iter::once(&sender.address)
                .chain(&sender.aliases)
                .any(|own| own.as_str().eq_ignore_ascii_case(address))
        })
    }
}
