use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use envelope::{Clock, Mailbox, RelayId};
use seal::Keys;
use store::{Queue, Store};
use tokio::sync::Semaphore;
use upstream::Pool;

use crate::conversation::Conversation;
use crate::identity::Identity;
use crate::newly_queued::NewlyQueued;
use crate::passwords::{PasswordError, Passwords};
use crate::sender_addresses::SenderAddresses;
use crate::settings::Settings;
use crate::throttle::Throttle;

/// What all connections share.
pub struct Relay {
    pub(crate) settings: Settings,
    pub(crate) keys: Arc<Keys>,
    pub(crate) store: Arc<dyn Store>,
    /// Where mail waits for its provider, if it may.
    pub(crate) queue: Option<Arc<dyn Queue>>,
    /// What was put into it just now.
    pub(crate) newly_queued: NewlyQueued,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) passwords: Passwords,
    /// Of each route, in their order.
    pub(crate) pools: Vec<Pool>,
    pub(crate) throttle: Throttle,
    pub(crate) sender_addresses: SenderAddresses,
    /// How many messages are rewritten at once: more than there are cores would only all be late.
    pub(crate) rewriting_turns: Arc<Semaphore>,
    made_without_random: AtomicU64,
}

/// One listener's view of the relay: who is taken to send what comes in there.
#[derive(Clone)]
pub struct Door {
    relay: Arc<Relay>,
    submitter: Submitter,
}

/// Who sends what comes in through a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitter {
    /// Whoever logged in.
    Authenticated,
    /// No login: everything is this address's.
    Address(Mailbox),
    /// No login: the reverse-path says.
    ReversePath,
}

impl Relay {
    /// # Errors
    /// When the system gives no random octets for the password cache.
    pub fn new(
        settings: Settings,
        keys: Arc<Keys>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PasswordError> {
        let made_without_random = AtomicU64::new(0);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let rewriting_turns = Arc::new(Semaphore::new(cores * 2));
        let passwords = Passwords::new()?;
        let throttle = Throttle::new(settings.login_limits, clock.clone());
        let pools =
            settings.routes.iter().map(|route| Pool::new(route.upstream.clone(), route.pool)).collect();
        let queue = None;
        Ok(Self {
            settings,
            keys,
            store,
            queue,
            newly_queued: NewlyQueued::default(),
            clock,
            passwords,
            pools,
            throttle,
            sender_addresses: SenderAddresses::default(),
            rewriting_turns,
            made_without_random,
        })
    }

    /// The same relay, with a queue for mail that waits. Its [`crate::Dispatcher`] hands on what is in it.
    #[must_use]
    pub fn with_queue(mut self, queue: Arc<dyn Queue>) -> Self {
        self.queue = Some(queue);
        self
    }

    /// A new id. Never fails: without random octets a counter keeps ids apart, and an id is no secret.
    pub(crate) fn new_id(&self) -> RelayId {
        let mut random = [0; 10];
        if getrandom::fill(&mut random).is_err() {
            let count = self.made_without_random.fetch_add(1, Ordering::Relaxed);
            random[2..].copy_from_slice(&count.to_be_bytes());
        }
        RelayId::new(self.clock.now(), random)
    }
}

impl Door {
    /// A door of `relay` for what `submitter` says.
    pub fn new(relay: Arc<Relay>, submitter: Submitter) -> Self {
        Self { relay, submitter }
    }
}

impl smtp::Service for Door {
    type Handler = Conversation;

    fn open(&self, client: &smtp::Client) -> Conversation {
        let identity = match &self.submitter {
            Submitter::Authenticated => None,
            Submitter::Address(address) => Some(Identity::Named(address.clone())),
            Submitter::ReversePath => Some(Identity::Open),
        };
        Conversation::new(self.relay.clone(), identity, client.peer.ip())
    }
}
