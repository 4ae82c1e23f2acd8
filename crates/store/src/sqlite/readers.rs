use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::StoreError;
use crate::sqlite::connection::open_reader;
use crate::sqlite::held_file::HeldFile;

/// A few connections that read. In WAL mode they see the last commit and hold up nobody.
#[derive(Clone)]
pub(crate) struct Readers(Arc<Shared>);

struct Shared {
    file: HeldFile,
    busy: Duration,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

const CONNECTIONS: usize = 4;

impl Readers {
    pub(crate) fn new(file: HeldFile, busy: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        Self(Arc::new(Shared { file, busy, idle: Mutex::default(), permits }))
    }

    /// Runs `query` on a thread that may block; everything it reads is of one moment.
    pub(crate) async fn read<T, Q>(&self, doing: &'static str, query: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> Result<T, Unread> + Send + 'static,
    {
        let permit = self.0.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let shared = self.0.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // Held to the end, also if the caller stops waiting: never more than so many at once.
            let _permit = permit;
            catch_unwind(AssertUnwindSafe(|| shared.read(doing, query)))
        });
        match reading.await {
            Ok(Ok(result)) => result,
            _ => Err(StoreError::Panicked { thread: "store-reader" }),
        }
    }

    /// Of the database.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.file.path()
    }

    /// Takes no more; returns when the last query has ended.
    pub(crate) async fn close(&self) {
        let count = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let all = self.0.permits.clone().acquire_many_owned(count).await;
        self.0.permits.close();
        self.0.idle().clear();
        drop(all);
    }
}

/// Why a query has no result.
pub(crate) enum Unread {
    Sqlite(rusqlite::Error),
    Form { what: &'static str, value: String },
}

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Shared {
    fn read<T>(
        &self,
        doing: &'static str,
        query: impl FnOnce(&Connection) -> Result<T, Unread>,
    ) -> Result<T, StoreError> {
        self.file.check()?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(self.file.path(), self.busy)?,
        };
        let failed = |e| StoreError::sqlite(doing, e);
        let snapshot = connection.unchecked_transaction().map_err(failed)?;
        let result = query(&snapshot);
        snapshot.finish().map_err(failed)?;
        let result = result.map_err(|unread| match unread {
            Unread::Sqlite(error) => failed(error),
            Unread::Form { what, value } => StoreError::Unreadable { what, value },
        })?;
        // Only one that did well is used again.
        self.idle().push(connection);
        Ok(result)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
