use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use crate::StoreError;
use crate::sqlite::connection::open_reader;

/// A thread that notices what other processes commit: nothing tells, so it asks. Ends when it is dropped.
pub(crate) struct Watcher {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(crate) fn start(
        path: &Path,
        busy: Duration,
        every: Duration,
        changed: watch::Sender<u64>,
    ) -> Result<Self, StoreError> {
        let connection = open_reader(path, busy)?;
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("queue-watcher".to_owned()).spawn(move || {
            let mut seen = data_version(&connection);
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let version = data_version(&connection);
                // Our own writer is another connection too: the queue is looked through once more than needed.
                if version.is_some() && version != seen {
                    seen = version;
                    changed.send_modify(|number| *number = number.wrapping_add(1));
                }
            }
        });
        let thread = thread.map_err(|e| StoreError::file("starting a thread for", path, e))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It must have closed its connection before the writer closes its own and folds the WAL.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Changes when another connection has committed.
fn data_version(connection: &Connection) -> Option<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0)).ok()
}
