use envelope::{Credentials, Mailbox, Reply, ReversePath};
use store::{SenderRecord, StoreError};
use upstream::Connection;

use crate::asked::{Wish, split_login};
use crate::door::Relay;
use crate::event;
use crate::settings::{LoginOrder, RouteLogin};

/// Who is on the other end of the connection.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// A sender known here: the login and every address of his own.
    Local { address: Mailbox, aliases: Vec<Mailbox> },
    /// Somebody the provider knows. Kept while the connection lasts, to open another one to the provider.
    Provider { credentials: Credentials, route: usize },
    /// A listener without login that speaks for one address.
    Named(Mailbox),
    /// A listener without login: the reverse-path is taken at its word.
    Open,
}

/// A login that was right, and the connection to the provider that proved it.
pub(crate) struct LoggedIn {
    pub(crate) identity: Identity,
    /// What the login's suffix asks for.
    pub(crate) suffix: Option<Wish>,
    pub(crate) connection: Option<(usize, Connection)>,
}

/// Who it is, and the connection that proved it.
type Proven = (Identity, Option<(usize, Connection)>);

impl Identity {
    /// The address whose message this is, or the refusal: a local sender may use his own addresses only.
    pub(crate) fn sender_of(&self, reverse_path: &ReversePath) -> Result<String, Reply> {
        match self {
            Self::Local { address, aliases } => match reverse_path {
                ReversePath::Null => Ok(address.to_string()),
                ReversePath::Mailbox(path) => {
                    let own = std::iter::once(address).chain(aliases).any(|own| own.same_mailbox(path));
                    if own { Ok(address.to_string()) } else { Err(not_your_address(path)) }
                }
            },
            // Never the reverse-path: anybody can say that, and the sender's saved choice hangs on the name.
            Self::Provider { credentials, .. } => Ok(credentials.login.clone()),
            Self::Named(address) => Ok(address.to_string()),
            Self::Open => Ok(reverse_path.to_string()),
        }
    }
}

fn not_your_address(path: &Mailbox) -> Reply {
    Reply::of(550, "5.7.1", format!("You may not send as {path} with this login"))
}

impl Relay {
    /// Is the login right, and whose is it?
    pub(crate) async fn log_in(&self, mut credentials: Credentials) -> Result<LoggedIn, Reply> {
        let mut suffix = None;
        if self.settings.login_suffix {
            let (login, wish) = split_login(&credentials.login);
            (credentials.login, suffix) = (login.to_owned(), wish);
        }
        for place in &self.settings.login_order {
            let known = match place {
                LoginOrder::Local => self.log_in_here(&credentials).await?,
                LoginOrder::Upstream => self.log_in_upstream(&credentials).await?,
            };
            if let Some((identity, connection)) = known {
                return Ok(LoggedIn { identity, suffix, connection });
            }
        }
        // As long as for a login that exists: the time must not tell.
        self.passwords.verify(&credentials.login, None, &credentials.password).await;
        Err(wrong_login())
    }

    /// `None`: nobody of that name here, or one without a password of ours, whom a provider may know.
    async fn log_in_here(&self, credentials: &Credentials) -> Result<Option<Proven>, Reply> {
        let (address, aliases, hash) = match self.settings.configured_sender(&credentials.login) {
            Some(sender) => (sender.address.clone(), sender.aliases.clone(), sender.password_hash.clone()),
            None => match self.stored_sender(&credentials.login).await? {
                Some(sender) if sender.disabled => return Err(wrong_login()),
                Some(sender) => {
                    let aliases =
                        sender.aliases.iter().filter_map(|alias| Mailbox::parse(alias).ok()).collect();
                    let Ok(address) = Mailbox::parse(&sender.address) else { return Ok(None) };
                    (address, aliases, sender.password_hash)
                }
                None => return Ok(None),
            },
        };
        let Some(hash) = hash else { return Ok(None) };
        if self.passwords.verify(address.as_str(), Some(&hash), &credentials.password).await {
            Ok(Some((Identity::Local { address, aliases }, None)))
        } else {
            Err(wrong_login())
        }
    }

    async fn stored_sender(&self, login: &str) -> Result<Option<SenderRecord>, Reply> {
        self.store.sender(&login.to_ascii_lowercase()).await.map_err(|e| no_user_list(&e))
    }

    /// `None`: no provider takes this login through us.
    async fn log_in_upstream(&self, credentials: &Credentials) -> Result<Option<Proven>, Reply> {
        let routes = || self.settings.routes.iter().enumerate();
        let passes_through =
            |(_, route): &(usize, &crate::Route)| matches!(route.login, RouteLogin::PassThrough);
        let matches_login = |(_, route): &(usize, &crate::Route)| {
            route.senders.iter().any(|pattern| pattern.matches(&credentials.login))
        };
        // A login that is not an address ("ana") cannot match a pattern: the first that passes logins on.
        let found = routes().find(matches_login).filter(passes_through).or_else(|| {
            let bare = !credentials.login.contains('@');
            routes().find(passes_through).filter(|_| bare)
        });
        let Some((number, route)) = found else { return Ok(None) };
        match Connection::open(&route.upstream, Some(credentials)).await {
            Ok(connection) => {
                let identity = Identity::Provider { credentials: credentials.clone(), route: number };
                Ok(Some((identity, Some((number, connection)))))
            }
            Err(error) => {
                event::upstream_failed(&route.upstream.name, &error);
                Err(error.reply())
            }
        }
    }
}

fn wrong_login() -> Reply {
    Reply::of(535, "5.7.8", "Login or password is wrong")
}

// Fail closed on identity: without the list of senders nobody can be let in.
fn no_user_list(error: &StoreError) -> Reply {
    event::store_failed("looking up a sender", error);
    Reply::of(454, "4.7.0", "The login cannot be checked right now; your program will try again")
}
