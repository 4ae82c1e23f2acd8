//! A dispatcher with a queue on disk, a clock that stands, and a provider.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use envelope::{
    Choice, Clock, ForwardPath, MailParameters, Mailbox, ManualClock, RcptParameters, RelayId, ReversePath,
    Timestamp,
};
use store::{
    ChoiceOrigin, Copies, MessageRecord, NewMessage, Queue, QueueState, QueuedMessage, QueuedRecipient,
    RecipientRecord, RecipientState, SqliteQueue, SqliteStore, Store,
};
use tokio::sync::{Notify, watch};
use upstream::{Tls, Trust, Upstream};

use super::faulty::{Faults, Faulty};
use crate::dispatcher::{Counts, Dispatcher};
use crate::door::Relay;
use crate::settings::{Delivery, Route, Settings};

pub(super) const BEGINNING: Timestamp = Timestamp::from_unix_millis(1_795_508_461_000);
pub(super) const ANA: &str = "ana@example.com";
pub(super) const CONTENT: &str = "Received: by relay.example\r\nFrom: Ana <ana@example.com>\r\nSubject: Hello\r\nMessage-ID: <m1@example.com>\r\nContent-Type: text/html\r\n\r\n<p>Hello <a href=\"https://example.org/x\">you</a></p>\r\n";

pub(super) struct Bench {
    pub(super) clock: Arc<ManualClock>,
    pub(super) queue: SqliteQueue,
    pub(super) store: SqliteStore,
    pub(super) counts: Arc<Counts>,
    pub(super) folder: tempfile::TempDir,
    pub(super) faults: Arc<Faults>,
    settings: Settings,
    bell: Arc<Notify>,
    ending: watch::Sender<bool>,
    task: Option<tokio::task::JoinHandle<()>>,
    made: u32,
}

pub(super) fn route(name: &str, address: SocketAddr) -> Route {
    Route {
        delivery: Delivery::Queue,
        ..Route::direct(Upstream {
            name: name.into(),
            host: "127.0.0.1".into(),
            port: address.port(),
            tls: Tls::None,
            trust: Trust::System,
            helo: "relay.example".into(),
            proxy: None,
            timeout: Duration::from_secs(5),
        })
    }
}

impl Bench {
    pub(super) fn start(routes: Vec<Route>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { routes, ..Settings::for_tests() };
        let clock = Arc::new(ManualClock::new(BEGINNING));
        let queue = SqliteQueue::open(&folder.path().join("spool"), 0).unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
        let mut bench = Self {
            clock,
            queue,
            store,
            counts: Arc::default(),
            folder,
            faults: Arc::default(),
            settings,
            bell: Arc::default(),
            ending: watch::channel(false).0,
            task: None,
            made: 0,
        };
        bench.run();
        bench
    }

    /// A new dispatcher on the same queue.
    pub(super) fn run(&mut self) {
        let keys = Arc::new(seal::Keys::generate([7; 32]));
        let relay = Relay::new(self.settings.clone(), keys, Arc::new(self.store.clone()), self.clock.clone());
        let queue = Faulty { queue: self.queue.clone(), faults: self.faults.clone() };
        let relay = Arc::new(relay.unwrap().with_queue(Arc::new(queue)));
        self.ending = watch::channel(false).0;
        let dispatcher = Dispatcher::new(relay, 1 << 20, self.ending.subscribe()).unwrap();
        (self.bell, self.counts) = (dispatcher.bell(), dispatcher.counts());
        self.task = Some(tokio::spawn(dispatcher.run()));
    }

    /// As a kill does it: nothing that is under way is finished.
    pub(super) async fn kill(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    pub(super) fn tell_to_end(&self) {
        self.ending.send_replace(true);
    }

    pub(super) async fn ended(&mut self) {
        let task = self.task.take().unwrap();
        tokio::time::timeout(Duration::from_secs(10), task).await.expect("it does not end").unwrap();
    }

    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.bell.notify_one();
    }

    pub(super) fn message(&mut self, sender: &str, upstream: &str, to: &[&str]) -> NewMessage {
        self.made += 1;
        let mut random = [0; 10];
        random[6..].copy_from_slice(&self.made.to_be_bytes());
        let now = self.clock.now();
        let recipients = to.iter().zip(0..).map(|(address, index)| QueuedRecipient {
            index,
            forward_path: ForwardPath::Mailbox(Mailbox::parse(address).unwrap()),
            parameters: RcptParameters::default(),
            state: RecipientState::Waiting,
            attempts: 0,
            due_at: now,
            code: 0,
            reply: String::new(),
        });
        NewMessage {
            message: QueuedMessage {
                id: RelayId::new(now, random),
                queued_at: now,
                sender: sender.into(),
                upstream: upstream.into(),
                reverse_path: ReversePath::Mailbox(Mailbox::parse(sender).unwrap()),
                parameters: MailParameters::default(),
                copies: Copies::Shared,
                octets: CONTENT.len() as u64,
                state: QueueState::Waiting,
                delay_told: false,
                recipients: recipients.collect(),
            },
            content: Arc::new(CONTENT.as_bytes().to_vec()),
        }
    }

    pub(super) async fn put(&mut self, sender: &str, upstream: &str, to: &[&str]) -> RelayId {
        let message = self.message(sender, upstream, to);
        let id = message.message.id;
        self.queue.put(message).await.unwrap();
        id
    }

    /// The record that the conversation writes before it queues a message.
    pub(super) async fn record(&self, message: &QueuedMessage) {
        let recipients = message.recipients.iter().map(|recipient| RecipientRecord {
            index: recipient.index,
            address: recipient.forward_path.to_string(),
            code: 0,
            reply: String::new(),
        });
        let record = MessageRecord {
            id: message.id,
            accepted_at: message.queued_at,
            sender: message.sender.clone(),
            reverse_path: message.reverse_path.to_string(),
            from: None,
            subject: None,
            message_id: None,
            choice: Choice::NONE,
            choice_origin: ChoiceOrigin::Defaults,
            pixel: false,
            links_tracked: 0,
            reasons: vec![],
            parts: vec![],
            recipients: recipients.collect(),
            links: vec![],
            upstream: message.upstream.clone(),
            code: 0,
            reply: String::new(),
            octets_in: message.octets,
            octets_out: message.octets,
            took_ms: 0,
        };
        self.store.record_message(record).await.unwrap();
    }

    pub(super) async fn recipients(&self, id: RelayId) -> Vec<QueuedRecipient> {
        self.queue.message(id).await.unwrap().map(|message| message.recipients).unwrap_or_default()
    }

    pub(super) async fn waiting(&self) -> u64 {
        self.queue.counts().await.unwrap().waiting
    }

    /// handed on, failed, deferred
    pub(super) fn counted(&self) -> [u64; 3] {
        let counts = &self.counts;
        [&counts.handed_on, &counts.failed, &counts.deferred].map(|count| count.load(Ordering::SeqCst))
    }

    pub(super) async fn until_counted(&self, expected: [u64; 3]) {
        until(|| async { (self.counted() == expected).then_some(()) }, || format!("{:?}", self.counted()))
            .await;
    }

    /// Until one at least, of those that went in together, found the provider away.
    pub(super) async fn until_deferred(&self) {
        until(|| async { (self.counted()[2] > 0).then_some(()) }, || format!("{:?}", self.counted())).await;
    }

    pub(super) async fn until_empty(&self) {
        until(|| async { (self.waiting().await == 0).then_some(()) }, || format!("{:?}", self.counted()))
            .await;
    }

    /// Whatever was going to happen by itself has happened: the dispatcher looked twice and started nothing.
    pub(super) async fn settled(&self) {
        for _ in 0..3 {
            self.bell.notify_one();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
}

/// Until `ready` gives something, within ten seconds.
pub(super) async fn until<T, F: Future<Output = Option<T>>>(
    mut ready: impl FnMut() -> F,
    what: impl Fn() -> String,
) -> T {
    let began = tokio::time::Instant::now();
    loop {
        if let Some(found) = ready().await {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "not in time: {}", what());
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}
