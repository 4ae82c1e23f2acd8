use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use envelope::{Clock, SystemClock, Timestamp};
use serde::Serialize;
use store::{Keep, Privacy, Purge, Purged, Store, StoreError};
use tokio::sync::watch;

use crate::cli::PurgeArgs;
use crate::exit::{self, Outcome};
use crate::messages::open;
use crate::{check, wiring};

/// How long what is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Events, and messages with what is known of them.
    pub(crate) events: Duration,
    /// Subjects.
    pub(crate) subjects: Duration,
    /// Evidence that settling has left.
    pub(crate) evidence: Duration,
}

/// Deletes what is over its time, at the start and every day.
pub(crate) struct Purging {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) terms: Terms,
    /// Where files of the journal are set aside.
    pub(crate) spool: PathBuf,
}

/// Rows in one transaction, so that an event waits some milliseconds at most.
const TOGETHER: u32 = 500;
/// Between two transactions: others are to have their turn.
const REST: Duration = Duration::from_millis(20);
const DAY: Duration = Duration::from_hours(24);
/// After a store that failed.
const SOON: Duration = Duration::from_mins(10);

impl Terms {
    /// Nothing from before these moments may be kept.
    pub(crate) fn at(self, now: Timestamp) -> Keep {
        let before = |time: Duration| {
            let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_unix_millis(now.unix_millis().saturating_sub(time).max(0))
        };
        Keep {
            events: before(self.events),
            subjects: before(self.subjects),
            evidence: before(self.evidence.min(self.events)),
        }
    }
}

impl Purging {
    /// Until `shutdown`.
    pub(crate) async fn run(self, mut shutdown: watch::Receiver<bool>) {
        loop {
            let pause = tokio::select! {
                purged = purge(&*self.store, self.terms.at(self.clock.now())) => match purged {
                    Ok(purged) => {
                        let set_aside = purge_set_aside(&self.spool, self.terms.events, false);
                        if !purged.is_nothing() || set_aside > 0 {
                            tracing::info!(
                                events = purged.events,
                                messages = purged.messages,
                                subjects = purged.subjects,
                                evidence = purged.evidence,
                                files = set_aside,
                                "deleted what is over its time"
                            );
                        }
                        DAY
                    }
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::warn!(%error, "what is over its time could not be deleted; trying again");
                        SOON
                    }
                },
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// All that is over its time, in small steps.
async fn purge<S: Privacy + ?Sized>(store: &S, keep: Keep) -> Result<Purged, StoreError> {
    let mut progress = Purge::default();
    loop {
        progress = store.purge(keep, progress, TOGETHER).await?;
        if progress.done {
            return Ok(progress.purged);
        }
        tokio::time::sleep(REST).await;
    }
}

/// Files of the journal that could not be replayed hold events too. Returns how many are, or were, too old.
fn purge_set_aside(spool: &Path, older_than: Duration, dry_run: bool) -> u64 {
    let Ok(entries) = std::fs::read_dir(spool) else { return 0 };
    let too_old = |path: &Path| {
        let aside = path.extension().is_some_and(|end| end == "damaged" || end == "refused");
        let changed = path.metadata().and_then(|metadata| metadata.modified());
        aside
            && changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > older_than))
    };
    let paths = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file() && too_old(path));
    paths.filter(|path| dry_run || std::fs::remove_file(path).is_ok()).count() as u64
}

/// What a purge did.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    #[serde(flatten)]
    purged: Purged,
    files: u64,
}

/// `waxseal purge`.
pub(crate) async fn command(args: &PurgeArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let terms = wiring::terms(&config);
    let keep = terms.at(SystemClock.now());
    let purged = if args.dry_run { store.over_its_time(keep).await } else { purge(&store, keep).await };
    let purged = purged.context("the store could not be purged")?;
    store.close().await;
    let files = purge_set_aside(&config.store.spool, terms.events, args.dry_run);
    let report = Report { dry_run: args.dry_run, purged, files };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(exit::OK);
    }
    if purged.is_nothing() && files == 0 {
        println!("Nothing is over its time.");
        return Ok(exit::OK);
    }
    println!(
        "{}{} events, {} messages, {} subjects, {} days of last opens, evidence of {} events, {} texts, {files} set-aside files.",
        if args.dry_run { "Would delete: " } else { "Deleted: " },
        purged.events,
        purged.messages,
        purged.subjects,
        purged.last_opens,
        purged.evidence,
        purged.words,
    );
    Ok(exit::OK)
}
