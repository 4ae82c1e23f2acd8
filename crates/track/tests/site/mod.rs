//! A tracking endpoint on a socket of this machine, and a client that speaks HTTP by hand.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)] // Each test binary uses a part of it.

use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use envelope::{Choice, Clock, ManualClock, RelayId, Timestamp};
use seal::{Keys, Recipient};
use store::{
    Event, Journal, MessageFilter, MessageOutcome, MessageRecord, MessageSummary, Recorder, SavedChoice,
    SenderRecord, Settlement, Settling, Store, StoreError, StoredEvent, SubmissionAddress, Submissions,
};
use store::{Feedback, FeedbackLog, RecipientFeedback};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use waxseal_track::{Endpoint, serve};

pub const TARGET: &str = "https://example.com/it's?a=1&b=2#top";
pub const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
/// When the message of the tokens was made, and how much later the clock stands.
pub const ACCEPTED: Timestamp = Timestamp::from_unix_millis(1_795_508_461_123);
pub const LATER: Duration = Duration::from_secs(41);
/// Nothing here takes as long.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn keys() -> Arc<Keys> {
    Arc::new(Keys::generate([7; 32]))
}

pub fn message() -> RelayId {
    RelayId::new(ACCEPTED, [3; 10])
}

pub fn pixel_token() -> String {
    keys().seal_pixel(message(), Recipient::Index(1))
}

pub fn link_token() -> String {
    link_to(TARGET)
}

pub fn link_to(target: &str) -> String {
    keys().seal_link(message(), Recipient::Index(1), 2, target).unwrap()
}

/// 41 seconds after the message was accepted.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(ACCEPTED.plus(LATER)))
}

pub fn endpoint(recorder: Option<Arc<Recorder>>) -> Endpoint {
    Endpoint::new(keys(), recorder, clock())
}

pub fn recorder(store: Arc<dyn Store>, folder: &Path) -> Arc<Recorder> {
    Arc::new(Recorder::new(store, Journal::open(&folder.join("journal")).unwrap()))
}

/// A running endpoint.
pub struct Site {
    pub addr: SocketAddr,
    pub shutdown: watch::Sender<bool>,
    pub serving: JoinHandle<io::Result<()>>,
}

impl Site {
    pub async fn start(endpoint: Endpoint) -> Self {
        Self::start_with(endpoint, None).await
    }

    /// With the keys alone.
    pub async fn keys_only() -> Self {
        Self::start(endpoint(None)).await
    }

    pub async fn start_with(endpoint: Endpoint, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (shutdown, receiver) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, tls, Arc::new(endpoint), receiver));
        Self { addr, shutdown, serving }
    }

    pub async fn client(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.addr).await.unwrap())
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, method: &str, path: &str) -> Answer {
        self.client().await.ask(method, path, &[]).await
    }

    /// Sends these octets, and hears until the connection ends.
    pub async fn say(&self, octets: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let exchange = async {
            // It may be closed on us in the middle.
            let _ = stream.write_all(octets).await;
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard).await;
            heard
        };
        timeout(PATIENCE, exchange).await.unwrap()
    }

    pub async fn stop(self) {
        self.shutdown.send(true).unwrap();
        timeout(PATIENCE, self.serving).await.unwrap().unwrap().unwrap();
    }
}

/// A client on a connection that it keeps.
pub struct Client<S> {
    pub stream: S,
    heard: Vec<u8>,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, heard: Vec::new() }
    }

    pub async fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: t.example.com\r\n");
        for (name, value) in fields {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.hear(method).await.unwrap_or_else(|| panic!("closed instead of an answer to {method} {path}"))
    }

    /// The next answer; none if the connection ends first.
    pub async fn hear(&mut self, method: &str) -> Option<Answer> {
        timeout(PATIENCE, self.hear_patiently(method)).await.expect("an answer in time")
    }

    async fn hear_patiently(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            match self.heard.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end,
                None => self.read().await?,
            }
        };
        let head = String::from_utf8(self.heard.drain(..end + 4).collect()).unwrap();
        let mut answer = Answer { head: head.trim_end().to_owned(), body: Vec::new() };
        let length = answer.field("Content-Length").map_or(0, |length| length.parse().unwrap());
        if method != "HEAD" {
            while self.heard.len() < length {
                self.read().await.expect("a whole body");
            }
            answer.body = self.heard.drain(..length).collect();
        }
        Some(answer)
    }

    async fn read(&mut self) -> Option<()> {
        let octets = self.stream.read_buf(&mut self.heard).await.unwrap_or(0);
        (octets > 0).then_some(())
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
    }

    /// All but the date, which changes; the lines sorted below the first.
    pub fn lines(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = self.head.lines().filter(|line| !line.starts_with("Date: ")).collect();
        lines[1..].sort_unstable();
        lines
    }
}

/// A store that does as it is told with events, and knows nothing else.
pub struct Fake {
    pub does: Does,
    pub events: Mutex<Vec<Event>>,
    /// How often it was asked to record.
    pub asked: watch::Sender<u32>,
    committed: watch::Sender<i64>,
}

pub enum Does {
    Keep,
    Fail,
    Hang,
    Panic,
    /// Keeps an event once told to.
    Wait(Notify),
}

impl Fake {
    pub fn new(does: Does) -> Arc<Self> {
        Arc::new(Self {
            does,
            events: Mutex::default(),
            asked: watch::Sender::new(0),
            committed: watch::Sender::new(0),
        })
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Resolves when it has been asked for the first time.
    pub async fn was_asked(&self) {
        timeout(PATIENCE, self.asked.subscribe().wait_for(|times| *times > 0)).await.unwrap().unwrap();
    }

    /// Lets what waits, or will, be kept. Resolves when something was.
    pub async fn let_go(&self) {
        let Does::Wait(cue) = &self.does else { panic!("nothing waits") };
        let mut committed = self.committed();
        let kept = async {
            while *committed.borrow_and_update() == 0 {
                // Again and again: on a busy machine the event may have gone by way of the journal.
                cue.notify_one();
                let _ = timeout(Duration::from_millis(100), committed.changed()).await;
            }
        };
        timeout(PATIENCE, kept).await.unwrap();
    }
}

#[async_trait]
impl Settling for Fake {
    fn settled(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }
    async fn settle(&self, _: Settlement) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn settled_after(&self, _: i64, _: u32) -> Result<Vec<StoredEvent>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn hits_with_evidence(&self, _: i64, _: u32) -> Result<Vec<StoredEvent>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn events_of_before(&self, _: RelayId, _: i64, _: u32) -> Result<Vec<StoredEvent>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn event(&self, _: RelayId) -> Result<Option<StoredEvent>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn drop_evidence(&self, _: Timestamp, _: u32) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl FeedbackLog for Fake {
    async fn record_feedback(&self, _: Feedback) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn feedback_of(&self, _: RelayId) -> Result<Vec<RecipientFeedback>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn messages_called(&self, _: &str) -> Result<Vec<RelayId>, StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl store::Privacy for Fake {
    async fn parties(&self, _: RelayId) -> Result<Option<store::Parties>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn refused(&self, _: Vec<String>) -> Result<Vec<bool>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn refuse(&self, _: &str, _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn allow(&self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn recipient_facts(
        &self,
        _: RelayId,
        _: Option<u16>,
    ) -> Result<Option<store::RecipientFacts>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn record_last_open(&self, _: store::LastOpen) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn last_opens(&self, _: RelayId) -> Result<Vec<store::LastOpen>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn purge(&self, _: store::Keep, _: store::Purge, _: u32) -> Result<store::Purge, StoreError> {
        Err(StoreError::Closed)
    }
    async fn over_its_time(&self, _: store::Keep) -> Result<store::Purged, StoreError> {
        Err(StoreError::Closed)
    }
    async fn traces(&self, _: &str) -> Result<store::Traces, StoreError> {
        Err(StoreError::Closed)
    }
    async fn forget(&self, _: &str) -> Result<store::Traces, StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl Submissions for Fake {
    async fn record_submission(&self, _: &str, _: IpAddr, _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn submissions(&self, _: &str, _: Timestamp) -> Result<Vec<SubmissionAddress>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn forget_submissions(&self, _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl Store for Fake {
    async fn record_event(&self, event: Event) -> Result<(), StoreError> {
        self.asked.send_modify(|times| *times += 1);
        match &self.does {
            Does::Keep => {}
            Does::Fail => return Err(StoreError::Closed),
            Does::Hang => return pending().await,
            Does::Panic => panic!("as told"),
            Does::Wait(cue) => cue.notified().await,
        }
        self.events.lock().unwrap().push(event);
        self.committed.send_modify(|seq| *seq += 1);
        Ok(())
    }

    fn committed(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }

    async fn record_message(&self, _: MessageRecord) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn record_outcome(&self, _: MessageOutcome) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn message(&self, _: RelayId) -> Result<Option<MessageSummary>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn messages(&self, _: MessageFilter) -> Result<Vec<MessageSummary>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn recent_events(&self, _: u32) -> Result<Vec<StoredEvent>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn events_after(&self, _: i64, _: u32) -> Result<Vec<StoredEvent>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn events_of(&self, _: RelayId) -> Result<Vec<StoredEvent>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn saved_choice(&self, _: &str) -> Result<Option<SavedChoice>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn save_choice(
        &self,
        _: &str,
        _: Choice,
        _: Option<RelayId>,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn sender(&self, _: &str) -> Result<Option<SenderRecord>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn senders(&self) -> Result<Vec<SenderRecord>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn app_passwords(&self, _: &str) -> Result<Vec<store::AppPassword>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn save_app_password(&self, _: store::AppPassword) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn remove_app_password(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn save_sender(&self, _: SenderRecord) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl store::Revocations for Fake {
    async fn revoke(&self, _: store::Revocation, _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn unrevoke(&self, _: store::Revocation) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn revocations(&self) -> Result<Vec<store::StoredRevocation>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn revocations_edition(&self) -> Result<i64, StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl store::Suppressions for Fake {
    async fn suppression(&self, _: &str, _: &str) -> Result<Option<store::Suppression>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn suppress(&self, _: store::Suppression) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn unsuppress(&self, _: Option<&str>, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn suppressions(&self, _: store::SuppressionFilter) -> Result<Vec<store::Suppression>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn unsubscribe(&self, _: store::Unsubscription) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
}

#[async_trait]
impl store::ApiTokens for Fake {
    async fn save_api_token(&self, _: store::ApiToken) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn api_token(&self, _: &str) -> Result<Option<store::ApiToken>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn api_tokens(&self, _: Option<&str>) -> Result<Vec<store::ApiToken>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn remove_api_token(&self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
}
