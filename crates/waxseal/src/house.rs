use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use envelope::Clock;
use relay::{Relay, Settings};
use seal::Keys;
use store::{Journal, MessageFilter, Recorder, SqliteQueue, SqliteStore, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::Part;
use crate::key_file;

/// What everything that serves shares: the store, the keys, the relay.
pub(crate) struct House {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sqlite: SqliteStore,
    /// Mail that waits for its provider.
    pub(crate) queue: Option<SqliteQueue>,
    /// Not where another process has the tracking endpoint.
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) keys: Arc<Keys>,
    /// Not where another process has the relay.
    pub(crate) relay: Option<Arc<Relay>>,
}

/// Where a house keeps what it remembers.
#[derive(Clone, Debug)]
pub(crate) struct Cellar {
    /// The SQLite file.
    pub(crate) store: PathBuf,
    /// The folder where events wait for the store, and mail for its provider.
    pub(crate) spool: PathBuf,
    /// With fewer octets left than this, no mail is taken into the queue; `None`: there is no queue.
    pub(crate) low_disk: Option<u64>,
    /// The keys that links are signed with.
    pub(crate) keys: PathBuf,
}

impl House {
    /// Opens the store and the keys; makes both on the first run. Opens no port.
    ///
    /// # Errors
    /// Also when the keys are gone and mail was tracked with them: new ones would be no use to the links that are out.
    pub(crate) async fn build(
        cellar: &Cellar,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        Self::build_part(None, cellar, settings, clock).await
    }

    /// Only what this part of the program needs, so that another process can have the rest: the journal is the
    /// tracking endpoint's, the queue the relay's.
    ///
    /// # Errors
    /// As [`House::build`].
    pub(crate) async fn build_part(
        only: Option<Part>,
        cellar: &Cellar,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let (tracks, relays) = (only != Some(Part::Relay), only != Some(Part::Track));
        let sqlite = match SqliteStore::open(&cellar.store) {
            // What is kept for the queue on a full disk is enough for the store to begin, too.
            Err(error) if error.no_room() && SqliteQueue::give_reserve(&cellar.spool) => {
                SqliteStore::open(&cellar.store)
            }
            opened => opened,
        };
        let sqlite = sqlite.with_context(|| format!("cannot open the store {}", cellar.store.display()))?;
        let journal = tracks.then(|| Journal::open(&cellar.spool)).transpose();
        let journal =
            journal.with_context(|| format!("cannot open the folder {}", cellar.spool.display()))?;
        let store: Arc<dyn Store> = Arc::new(sqlite.clone());
        if !cellar.keys.exists() && has_tracked(&*store).await {
            anyhow::bail!(
                "{} is gone, and mail was sent whose links only it can open: put it back from a backup, or, to give \
                 those links up, move {} away",
                cellar.keys.display(),
                cellar.store.display()
            );
        }
        let keys = Arc::new(key_file::read_or_make(&cellar.keys)?);
        let recorder = journal.map(|journal| Arc::new(Recorder::new(store.clone(), journal)));
        let (mut relay, mut queue) = (None, None);
        if relays {
            let mut relaying = Relay::new(settings, keys.clone(), store.clone(), clock)?;
            if let Some(low_disk) = cellar.low_disk {
                let opened = SqliteQueue::open(&cellar.spool, low_disk)
                    .with_context(|| format!("cannot open the queue in {}", cellar.spool.display()))?;
                relaying = relaying.with_queue(Arc::new(opened.clone()));
                queue = Some(opened);
            }
            relay = Some(Arc::new(relaying));
        }
        Ok(Self { store, sqlite, queue, recorder, keys, relay })
    }

    /// Everything that was answered is on disk; nothing is open any more.
    pub(crate) async fn close(self) {
        if let Some(queue) = self.queue {
            queue.close().await;
        }
        self.sqlite.close().await;
    }

    /// Writes to the store what an earlier run left in the journal; what comes later the recorder sees to.
    pub(crate) fn replaying(&self) -> impl Future<Output = ()> + use<> {
        let recorder = self.recorder.clone();
        async move {
            let Some(recorder) = recorder else { return };
            match recorder.replay().await {
                Ok(0) => {}
                Ok(events) => tracing::info!(events, "events from the journal are in the store now"),
                Err(error) => tracing::warn!(%error, "the journal's events still wait for the store"),
            }
        }
    }
}

/// Is there a tracked mail among the newest? A store that cannot say does not stand in the way.
async fn has_tracked(store: &dyn Store) -> bool {
    let newest = store.messages(MessageFilter::default()).await.unwrap_or_default();
    newest.iter().any(|message| message.record.pixel || message.record.links_tracked > 0)
}

/// Tasks that serve until shutdown. One that ends before ends all: half a relay is worse than a restart.
#[derive(Default)]
pub(crate) struct Serving {
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Serving {
    pub(crate) fn spawn(&mut self, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Until `shutdown`, or until a task ends before it was told to.
    pub(crate) async fn until_told(&mut self, shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut told = shutdown.clone();
        tokio::select! {
            biased;
            _ = told.wait_for(|stop| *stop) => Ok(()),
            Some(ended) = self.tasks.join_next() => {
                ended.context("a part of the relay panicked")??;
                // The parts hear of shutdown on their own; one may have ended before we heard.
                if *shutdown.borrow() {
                    return Ok(());
                }
                anyhow::bail!("a part of the relay ended by itself")
            }
        }
    }

    /// Until every task has ended.
    pub(crate) async fn finished(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.context("a part of the relay panicked")??;
        }
        Ok(())
    }
}
