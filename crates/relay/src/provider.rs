use std::ops::{Deref, DerefMut};

use envelope::Credentials;
use upstream::{Connection, HandoffError, Pool, Pooled};

use crate::settings::RouteLogin;

/// The provider's connection beside a client's.
pub(crate) enum Provider {
    /// Opened with this client's own login, and used for nobody else.
    Own(Connection),
    /// Shared, one transaction at a time, by all who go out with the same login.
    Pooled(Pooled),
}

impl Provider {
    /// One that waits for MAIL of `sender`. `own` is what the client logged in with at the provider.
    pub(crate) async fn open(
        pool: &Pool,
        route: &RouteLogin,
        sender: &str,
        own: Option<&Credentials>,
    ) -> Result<Self, HandoffError> {
        if matches!(route, RouteLogin::PassThrough) {
            return Ok(Self::Own(Connection::open(pool.upstream(), own).await?));
        }
        Ok(Self::Pooled(pooled(pool, route, sender).await?))
    }

    /// Was it another message's before? The provider may have closed it just now.
    pub(crate) fn is_reused(&self) -> bool {
        matches!(self, Self::Pooled(pooled) if pooled.is_reused())
    }

    /// After a transaction: one that is shared goes back to the others, one's own stays.
    pub(crate) async fn rest(self) -> Option<Self> {
        match self {
            Self::Own(mut connection) => {
                if connection.is_usable() && connection.is_in_transaction() {
                    // What it says to that shows in whether it is usable.
                    let _ = connection.reset().await;
                }
                connection.is_usable().then_some(Self::Own(connection))
            }
            Self::Pooled(pooled) => {
                pooled.give_back().await;
                None
            }
        }
    }

    /// The client is gone.
    pub(crate) async fn part(self) {
        match self {
            Self::Own(connection) => connection.quit().await,
            Self::Pooled(pooled) => pooled.give_back().await,
        }
    }
}

/// A shared connection that waits for MAIL of `sender`.
pub(crate) async fn pooled(pool: &Pool, route: &RouteLogin, sender: &str) -> Result<Pooled, HandoffError> {
    let taken = pool.take(route.of(sender).await?.as_ref()).await;
    match (taken, route) {
        // A token may have been ended before its time: one more try with a new one.
        (Err(HandoffError::LoginRefused { .. }), RouteLogin::Tokens(tokens)) => {
            tokens.refused(sender).await;
            pool.take(route.of(sender).await?.as_ref()).await
        }
        (taken, _) => taken,
    }
}

impl Deref for Provider {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Own(connection) => connection,
            Self::Pooled(pooled) => pooled,
        }
    }
}

impl DerefMut for Provider {
    fn deref_mut(&mut self) -> &mut Connection {
        match self {
            Self::Own(connection) => connection,
            Self::Pooled(pooled) => pooled,
        }
    }
}
