use std::sync::Arc;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_what_every_queue_must() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    conformance::holds(async || {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let queue = SqliteQueue::open(&folder.path().join(number.to_string()), 0).unwrap();
        Arc::new(queue) as Arc<dyn Queue>
    })
    .await;
}
