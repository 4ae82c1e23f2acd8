use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError, mpsc as std_mpsc};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::{StoreError, log};

/// A thread that owns one file and writes to it, collecting what waits and committing it together: while one
/// sync runs the next batch gathers, so the sync is the timer.
pub(crate) struct Worker<C: Committer> {
    inbox: Mutex<Option<mpsc::Sender<Waiting<C>>>>,
    stopped: Mutex<std_mpsc::Receiver<()>>,
}

/// What a worker's thread does with a batch.
pub(crate) trait Committer: Send + 'static {
    /// One write.
    type Item: Send;
    /// What its writer is told.
    type Answer: Send;
    /// The name of the thread.
    const NAME: &'static str;

    /// Writes all of it, syncs once, and says for each item what became of it, in their order.
    fn commit(&mut self, batch: &[Self::Item]) -> Vec<Result<Self::Answer, StoreError>>;

    /// After a panic in `commit`: leaves nothing half done.
    fn recover(&mut self);
}

struct Waiting<C: Committer> {
    item: C::Item,
    answer: oneshot::Sender<Result<C::Answer, StoreError>>,
}

/// Writes that may wait at once; the next writer waits for room.
const INBOX: usize = 1_024;
/// Larger batches bring nothing more, and make the first of them wait longer (FIELD.md section 6).
const MAX_BATCH: usize = 1_000;
/// How long dropping the last handle may hold up whoever drops it.
const LAST_COMMIT: Duration = Duration::from_secs(5);

impl<C: Committer> Worker<C> {
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn spawn(mut committer: C) -> std::io::Result<Self> {
        let (sender, inbox) = mpsc::channel(INBOX);
        let (running, stopped) = std_mpsc::channel();
        std::thread::Builder::new().name(C::NAME.to_owned()).spawn(move || {
            work(&mut committer, inbox);
            // Closes the file before anybody is told that it is closed.
            drop(committer);
            drop(running);
        })?;
        Ok(Self { inbox: Mutex::new(Some(sender)), stopped: Mutex::new(stopped) })
    }

    /// Waits for room, then for the commit. Given up, the write may still be committed.
    pub(crate) async fn commit(&self, item: C::Item) -> Result<C::Answer, StoreError> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { item, answer };
        inbox.ok_or(StoreError::Closed)?.send(waiting).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes no more; what waits is still committed.
    pub(crate) fn close(&self) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Blocks until the thread has ended, or for some seconds.
    pub(crate) fn wait(&self) {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        // Never sent to: it is disconnected when the thread ends, however it ends.
        let _ = stopped.recv_timeout(LAST_COMMIT);
    }
}

impl<C: Committer> Drop for Worker<C> {
    fn drop(&mut self) {
        self.close();
        self.wait();
    }
}

fn work<C: Committer>(committer: &mut C, mut inbox: mpsc::Receiver<Waiting<C>>) {
    while let Some(first) = inbox.blocking_recv() {
        let (mut items, mut answers) = (vec![first.item], vec![first.answer]);
        while items.len() < MAX_BATCH
            && let Ok(next) = inbox.try_recv()
        {
            items.push(next.item);
            answers.push(next.answer);
        }
        // A panic must not end the thread: everybody after it would wait for nothing.
        let results = catch_unwind(AssertUnwindSafe(|| committer.commit(&items))).unwrap_or_else(|_| {
            log::panicked(C::NAME);
            committer.recover();
            items.iter().map(|_| Err(StoreError::Panicked { thread: C::NAME })).collect()
        });
        // What goes with them, a file perhaps, is gone when the answers come.
        drop(items);
        for (answer, result) in answers.into_iter().zip(results) {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Notes its batches; the first one waits for a sign.
    struct Noting {
        begin: std_mpsc::Receiver<()>,
        batches: Arc<Mutex<Vec<Vec<u32>>>>,
    }

    impl Committer for Noting {
        type Item = u32;
        type Answer = u32;
        const NAME: &'static str = "noting";

        fn commit(&mut self, batch: &[u32]) -> Vec<Result<u32, StoreError>> {
            self.begin.recv().unwrap();
            self.batches.lock().unwrap().push(batch.to_vec());
            assert!(!batch.contains(&13), "as a test asked");
            batch.iter().map(|item| Ok(item * 2)).collect()
        }

        fn recover(&mut self) {}
    }

    #[tokio::test]
    async fn what_waits_is_committed_together_and_answered_each() {
        let (go, begin) = std_mpsc::channel();
        let batches = Arc::new(Mutex::default());
        let worker = Worker::spawn(Noting { begin, batches: batches.clone() }).unwrap();
        let worker = Arc::new(worker);
        let writers: Vec<_> = (100..164)
            .map(|item| {
                let worker = worker.clone();
                tokio::spawn(async move { worker.commit(item).await })
            })
            .collect();
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        go.send(()).unwrap();
        for (item, writer) in (100..).zip(writers) {
            assert_eq!(writer.await.unwrap().unwrap(), item * 2);
        }
        // How many the first batch caught is chance; the second has all the rest.
        let batches = std::mem::take(&mut *batches.lock().unwrap());
        assert!((1..=2).contains(&batches.len()), "{batches:?}");
        assert_eq!(batches.concat(), (100..164).collect::<Vec<_>>(), "in their order");
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_a_dead_thread_is_too() {
        let (go, begin) = std_mpsc::channel();
        let worker = Worker::spawn(Noting { begin, batches: Arc::default() }).unwrap();
        go.send(()).unwrap();
        assert!(matches!(worker.commit(13).await, Err(StoreError::Panicked { .. })));
        go.send(()).unwrap();
        assert_eq!(worker.commit(1).await.unwrap(), 2);
        worker.close();
        assert!(matches!(worker.commit(1).await, Err(StoreError::Closed)));
        worker.wait();
    }

    #[tokio::test]
    async fn no_more_wait_than_there_is_room_for() {
        let (go, begin) = std_mpsc::channel();
        let worker = Arc::new(Worker::spawn(Noting { begin, batches: Arc::default() }).unwrap());
        for item in 0..3_000 {
            let worker = worker.clone();
            tokio::spawn(async move { worker.commit(item).await });
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let free = worker.inbox.lock().unwrap().as_ref().unwrap().capacity();
        assert_eq!(free, 0, "the others wait outside, each in its own task");
        drop(go);
    }
}
