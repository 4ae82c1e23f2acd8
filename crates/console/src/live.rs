use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use store::Store;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use crate::office::Office;

/// Far fewer than a browser opens by mistake; more would only be a leak.
const WAITING: usize = 8;
const COMMENT_EVERY: Duration = Duration::from_secs(20);

/// A stream that says when there is something new: `event: seen`, the id being the newest event's number.
///
/// It carries no content: the page fetches what it shows, so there is one way of rendering it and
/// nothing is missed across a reconnect.
pub(crate) fn stream(
    store: &Arc<dyn Store>,
    office: &Arc<dyn Office>,
    shutdown: watch::Receiver<bool>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(tell(store.committed(), office.arrivals(), shutdown, sender));
    Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(COMMENT_EVERY))
}

async fn tell(
    mut committed: watch::Receiver<i64>,
    mut arrivals: watch::Receiver<u64>,
    mut shutdown: watch::Receiver<bool>,
    page: mpsc::Sender<Result<Event, Infallible>>,
) {
    // One at once: a page that reconnects may have missed something.
    loop {
        let newest = *committed.borrow_and_update();
        arrivals.mark_unchanged();
        let news = Event::default().event("seen").id(newest.to_string()).data(newest.to_string());
        if page.send(Ok(news)).await.is_err() {
            return;
        }
        let more = tokio::select! {
            changed = committed.changed() => changed.is_ok(),
            changed = arrivals.changed() => changed.is_ok(),
            _ = shutdown.changed() => false,
            () = page.closed() => false,
        };
        if !more {
            return;
        }
    }
}
