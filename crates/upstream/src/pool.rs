use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use envelope::Credentials;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::connection::Connection;
use crate::error::HandoffError;
use crate::extensions::SizeLimit;
use crate::upstream::Upstream;

/// Connections with one provider, kept for the next message: opening one costs a TLS handshake and
/// a login, and providers count both.
///
/// Never more than `most_open` are open, in use and idle together. A connection is only ever used
/// again for the very login it was opened with. Clones share their connections.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

/// A connection out of a [`Pool`], and its place there. Dropped without
/// [`Pooled::give_back`], it is closed.
pub struct Pooled {
    connection: Connection,
    login: Option<Credentials>,
    reused: bool,
    pool: Pool,
    place: OwnedSemaphorePermit,
}

struct Shared {
    upstream: Upstream,
    most_open: usize,
    places: Arc<Semaphore>,
    limits: PoolLimits,
    /// Somebody closes what grows old: one for all, however often the last idle connection is taken and given back.
    /// Read and written under the lock of `idle`.
    watched: AtomicBool,
    /// Never more than there are free places. The one used last stands last.
    idle: Mutex<Vec<Idle>>,
    /// What the last connection offered; 0: no limit, or none yet.
    largest: AtomicU64,
}

struct Idle {
    connection: Connection,
    login: Option<Credentials>,
    since: Instant,
}

/// What a [`Pool`] asks of its connections and of those who wait.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// How long somebody waits for a place when all are in use.
    pub patience: Duration,
    /// A connection that was idle for longer is asked whether it still lives.
    pub check_after: Duration,
    /// How long it may take to say so: a new connection is better than a long wait for an old one.
    pub check_limit: Duration,
    /// Then it is closed: providers close idle connections after minutes, and count them until then.
    pub longest_idle: Duration,
    /// Providers refuse more at some number; a new connection in time is cheaper than their 421.
    pub most_messages: u32,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(20),
            check_after: Duration::from_secs(2),
            check_limit: Duration::from_secs(5),
            longest_idle: Duration::from_mins(1),
            most_messages: 100,
        }
    }
}

impl Pool {
    /// A pool without any connection yet. `most_open` is at least one.
    pub fn new(upstream: Upstream, most_open: usize) -> Self {
        Self::with_limits(upstream, most_open, PoolLimits::default())
    }

    /// The same with limits of one's own.
    pub fn with_limits(upstream: Upstream, most_open: usize, limits: PoolLimits) -> Self {
        let most_open = most_open.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most_open));
        let watched = AtomicBool::new(false);
        Self(Arc::new(Shared {
            upstream,
            most_open,
            places,
            limits,
            watched,
            idle: Mutex::default(),
            largest: AtomicU64::new(0),
        }))
    }

    /// Whose connections these are.
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    /// The largest message it takes in octets (RFC 1870), as it said last; `None`: it has set no limit, or said
    /// nothing yet.
    pub fn largest_message(&self) -> Option<u64> {
        Some(self.0.largest.load(Ordering::Relaxed)).filter(|octets| *octets > 0)
    }

    /// A connection that waits for MAIL, logged in with `login`: an idle one that still lives, or
    /// a new one. Waits for a place if all are in use.
    ///
    /// # Errors
    /// [`HandoffError::Busy`] when no place became free in time; else those of [`Connection::open`].
    pub async fn take(&self, login: Option<&Credentials>) -> Result<Pooled, HandoffError> {
        let place = self.place().await?;
        while let Some(idle) = self.idle_for(login) {
            if let Some(connection) = self.still_alive(idle).await {
                return Ok(self.pooled(connection, login, true, place));
            }
        }
        self.open(login, place).await
    }

    /// A new connection in any case: for when one that seemed to live did not.
    ///
    /// # Errors
    /// As [`Pool::take`].
    pub async fn take_new(&self, login: Option<&Credentials>) -> Result<Pooled, HandoffError> {
        let place = self.place().await?;
        self.open(login, place).await
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, HandoffError> {
        let Shared { upstream, most_open, places, limits, .. } = &*self.0;
        match timeout(limits.patience, places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            // Nobody closes the semaphore; were it closed, there would be no place either.
            Ok(Err(_)) | Err(_) => {
                Err(HandoffError::Busy { host: upstream.host.clone(), most_open: *most_open })
            }
        }
    }

    async fn open(
        &self,
        login: Option<&Credentials>,
        place: OwnedSemaphorePermit,
    ) -> Result<Pooled, HandoffError> {
        self.make_room();
        let connection = Connection::open(&self.0.upstream, login).await?;
        let largest = match connection.extensions().size {
            SizeLimit::Octets(octets) => octets,
            SizeLimit::NotOffered | SizeLimit::Unlimited => 0,
        };
        self.0.largest.store(largest, Ordering::Relaxed);
        Ok(self.pooled(connection, login, false, place))
    }

    fn pooled(
        &self,
        connection: Connection,
        login: Option<&Credentials>,
        reused: bool,
        place: OwnedSemaphorePermit,
    ) -> Pooled {
        Pooled { connection, login: login.cloned(), reused, pool: self.clone(), place }
    }

    /// The one used last: the others grow old and are closed, so that a quiet day needs few.
    fn idle_for(&self, login: Option<&Credentials>) -> Option<Idle> {
        let mut idle = self.0.idle();
        let at = idle.iter().rposition(|idle| idle.login.as_ref() == login)?;
        Some(idle.remove(at))
    }

    /// The connection, unless the provider has closed it meanwhile.
    async fn still_alive(&self, idle: Idle) -> Option<Connection> {
        let Idle { mut connection, since, .. } = idle;
        let limits = &self.0.limits;
        if since.elapsed() < limits.check_after {
            return Some(connection);
        }
        let answer = timeout(limits.check_limit, connection.reset()).await;
        (matches!(answer, Ok(Ok(_))) && connection.is_usable()).then_some(connection)
    }

    /// Closes what is idle for another login and would be one too many.
    fn make_room(&self) {
        let mut idle = self.0.idle();
        let surplus = idle.len().saturating_sub(self.0.places.available_permits());
        idle.drain(..surplus).for_each(|idle| part(idle.connection, None));
    }

    fn keep(&self, connection: Connection, login: Option<Credentials>, place: OwnedSemaphorePermit) {
        {
            let mut idle = self.0.idle();
            idle.push(Idle { connection, login, since: Instant::now() });
            if !self.0.watched.swap(true, Ordering::Relaxed) {
                tokio::spawn(close_the_old(Arc::downgrade(&self.0)));
            }
        }
        // Whoever waits for the place finds the connection; one that needs another makes room for it itself.
        drop(place);
    }
}

impl Pooled {
    /// Has it carried a message before? Then the provider may have closed it in the very moment it
    /// was taken, and a MAIL that fails is worth another try with [`Pool::take_new`].
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Keeps the connection for the next message. What may be left of a transaction is forgotten
    /// (RSET); a connection that failed, or has done its share, is closed.
    pub async fn give_back(self) {
        let Self { mut connection, login, pool, place, .. } = self;
        if connection.is_usable() && connection.is_in_transaction() {
            let _ = timeout(pool.0.limits.check_limit, connection.reset()).await;
        }
        if !connection.is_usable() {
            return;
        }
        if connection.messages() >= pool.0.limits.most_messages {
            part(connection, Some(place));
            return;
        }
        pool.keep(connection, login, place);
    }
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Shared {
    /// A panic elsewhere leaves no half-made list.
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// QUIT, without anybody waiting for it; its place is free only then.
fn part(connection: Connection, place: Option<OwnedSemaphorePermit>) {
    tokio::spawn(async move {
        connection.quit().await;
        drop(place);
    });
}

/// Closes what has been idle for too long, until nothing is idle any more or the pool is gone.
async fn close_the_old(pool: Weak<Shared>) {
    loop {
        let Some(shared) = pool.upgrade() else { return };
        let longest_idle = shared.limits.longest_idle;
        let next = {
            let mut idle = shared.idle();
            let now = Instant::now();
            while idle.first().is_some_and(|oldest| now - oldest.since >= longest_idle) {
                part(idle.remove(0).connection, None);
            }
            let Some(oldest) = idle.first() else {
                // Under the lock: whoever adds one from here on starts the next of us.
                shared.watched.store(false, Ordering::Relaxed);
                return;
            };
            oldest.since + longest_idle
        };
        drop(shared);
        tokio::time::sleep_until(next).await;
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("upstream", &self.0.upstream.name)
            .field("most_open", &self.0.most_open)
            .field("idle", &self.0.idle().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pooled").field("connection", &self.connection).finish_non_exhaustive()
    }
}
