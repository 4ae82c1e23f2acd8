use std::net::IpAddr;

use envelope::{CredentialKind, Credentials, Mailbox, Reply, ReversePath, Secret};
use store::{SenderRecord, StoreError};
use upstream::Connection;

use crate::asked::{Wish, split_login};
use crate::door::Relay;
use crate::event;
use crate::passwords::{AppPasswordText, is_app_password};
use crate::settings::{LoginOrder, RouteLogin};
use crate::throttle::Wait;

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

/// A sender of ours, by whatever address was asked for.
struct KnownHere {
    address: Mailbox,
    aliases: Vec<Mailbox>,
    hash: Option<String>,
    disabled: bool,
}

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
    pub(crate) async fn log_in(
        &self,
        mut credentials: Credentials,
        client: IpAddr,
    ) -> Result<LoggedIn, Reply> {
        let mut suffix = None;
        if self.settings.login_suffix {
            let (login, wish) = split_login(&credentials.login);
            (credentials.login, suffix) = (login.to_owned(), wish);
        }
        let known = self.known_here(&credentials).await?;
        // By the address that is behind it: each alias would be worth as many guesses more.
        let name = known.as_ref().map_or(credentials.login.as_str(), |known| known.address.as_str());
        let attempt = self.throttle.begin(client, name).await.map_err(|wait| too_many_wrong(&wait))?;
        match self.prove(&credentials, known.as_ref()).await {
            Ok((identity, connection)) => {
                attempt.was_right();
                Ok(LoggedIn { identity, suffix, connection })
            }
            Err(reply) => {
                // What says nothing about the login (a provider that is away) does not count.
                if reply.code().get() == 535 {
                    attempt.was_wrong();
                }
                Err(reply)
            }
        }
    }

    async fn prove(&self, credentials: &Credentials, known: Option<&KnownHere>) -> Result<Proven, Reply> {
        for place in &self.settings.login_order {
            let proven = match (place, known) {
                (LoginOrder::Local, Some(known)) => self.log_in_here(credentials, known).await?,
                (LoginOrder::Local, None) => None,
                (LoginOrder::Upstream, _) => self.log_in_upstream(credentials).await?,
            };
            if let Some(proven) = proven {
                return Ok(proven);
            }
        }
        // As long as for a login that exists: the time must not tell.
        self.passwords.verify(&credentials.login, None, &credentials.password).await;
        Err(wrong_login())
    }

    /// Who has this login here, if a login can be local at all. A token is a provider's to judge.
    async fn known_here(&self, credentials: &Credentials) -> Result<Option<KnownHere>, Reply> {
        if !self.settings.login_order.contains(&LoginOrder::Local)
            || credentials.kind == CredentialKind::AccessToken
        {
            return Ok(None);
        }
        if let Some(sender) = self.settings.configured_sender(&credentials.login) {
            return Ok(Some(KnownHere {
                address: sender.address.clone(),
                aliases: sender.aliases.clone(),
                hash: sender.password_hash.clone(),
                disabled: false,
            }));
        }
        let Some(sender) = self.stored_sender(&credentials.login).await? else { return Ok(None) };
        let Ok(address) = Mailbox::parse(&sender.address) else { return Ok(None) };
        let aliases = sender.aliases.iter().filter_map(|alias| Mailbox::parse(alias).ok()).collect();
        Ok(Some(KnownHere { address, aliases, hash: sender.password_hash, disabled: sender.disabled }))
    }

    /// `None`: one without a password of ours, whom a provider may know.
    async fn log_in_here(
        &self,
        credentials: &Credentials,
        known: &KnownHere,
    ) -> Result<Option<Proven>, Reply> {
        if known.disabled {
            return Err(wrong_login());
        }
        let local = || {
            let (address, aliases) = (known.address.clone(), known.aliases.clone());
            Ok(Some((Identity::Local { address, aliases }, None)))
        };
        if self.is_app_password(&known.address, &credentials.password).await? {
            return local();
        }
        let Some(hash) = &known.hash else { return Ok(None) };
        if self.passwords.verify(known.address.as_str(), Some(hash), &credentials.password).await {
            local()
        } else {
            Err(wrong_login())
        }
    }

    /// Only what looks like one is looked up.
    async fn is_app_password(&self, address: &Mailbox, password: &Secret) -> Result<bool, Reply> {
        let Some(text) = AppPasswordText::of(password) else { return Ok(false) };
        let kept = self.store.app_passwords(address.as_str()).await.map_err(|e| no_user_list(&e))?;
        Ok(is_app_password(&text, &kept))
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

/// Not 535: the password may be right, and nobody is to be asked for another.
fn too_many_wrong(wait: &Wait) -> Reply {
    let minutes = wait.0.as_secs().div_ceil(60).max(1);
    let plural = if minutes == 1 { "" } else { "s" };
    Reply::of(454, "4.7.0", format!("Too many wrong logins, try again in {minutes} minute{plural}"))
}

fn wrong_login() -> Reply {
    Reply::of(535, "5.7.8", "Login or password is wrong")
}

// Fail closed on identity: without the list of senders nobody can be let in.
fn no_user_list(error: &StoreError) -> Reply {
    event::store_failed("looking up a sender", error);
    Reply::of(454, "4.7.0", "The login cannot be checked right now; your program will try again")
}
