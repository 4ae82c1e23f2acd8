use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use envelope::RelayId;
use store::{NewMessage, QueuedMessage};
use tokio::sync::Notify;

/// Messages on their way from a client's connection through the queue to the dispatcher, who need not read from disk
/// what is in memory still. They are on disk all the same before anybody hears of them: what is dropped here, or not
/// taken in time, is found there.
///
/// One that is in here is not looked for in the queue: it would be handed on by two who do not know of one another.
#[derive(Default)]
pub(crate) struct NewlyQueued {
    coming: Mutex<Coming>,
    /// Rung when one is there.
    bell: Notify,
}

#[derive(Default)]
struct Coming {
    messages: HashMap<RelayId, Place>,
    /// Of the contents of all of them.
    octets: usize,
}

struct Place {
    octets: usize,
    /// `None`: it is being written to disk.
    fresh: Option<Fresh>,
}

/// A message that is on disk, and has not changed there since.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) message: QueuedMessage,
    pub(crate) content: Arc<Vec<u8>>,
    queued: Instant,
}

/// A message that is being written to disk. Dropped without [`Expected::is_there`], it is the queue's alone.
pub(crate) struct Expected<'a> {
    newly_queued: &'a NewlyQueued,
    id: RelayId,
}

/// What waits longer for its turn waits on disk.
const MOST: usize = 64;
const MOST_OCTETS: usize = 8 << 20;
/// Another process may hold or delete it: whoever comes to it later looks again.
const FRESH_FOR: Duration = Duration::from_millis(250);

impl NewlyQueued {
    /// Before the message is put. `None`: there are enough.
    pub(crate) fn expect(&self, new: &NewMessage) -> Option<Expected<'_>> {
        let (id, octets) = (new.message.id, new.content.len());
        let mut coming = self.coming();
        if coming.messages.len() >= MOST || coming.octets + octets > MOST_OCTETS {
            return None;
        }
        coming.octets += octets;
        coming.messages.insert(id, Place { octets, fresh: None });
        Some(Expected { newly_queued: self, id })
    }

    /// Those that are on disk by now.
    pub(crate) fn take(&self) -> Vec<Fresh> {
        let mut coming = self.coming();
        let ready = |(id, place): (&RelayId, &Place)| place.fresh.as_ref().map(|_| *id);
        let ready: Vec<RelayId> = coming.messages.iter().filter_map(ready).collect();
        ready.into_iter().filter_map(|id| coming.remove(id)).collect()
    }

    /// It was found in the queue: from now on it is not in here, and what is there of it is returned.
    pub(crate) fn found(&self, id: RelayId) -> Option<Fresh> {
        self.coming().remove(id)
    }

    /// Those that are not to be looked for in the queue.
    pub(crate) fn ids(&self) -> Vec<RelayId> {
        self.coming().messages.keys().copied().collect()
    }

    /// Until one is there, or the queue's alone.
    pub(crate) async fn some_are_there(&self) {
        self.bell.notified().await;
    }

    /// A panic elsewhere leaves nothing half-written in it.
    fn coming(&self) -> MutexGuard<'_, Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected<'_> {
    /// It is on disk.
    pub(crate) fn is_there(self, message: QueuedMessage, content: Arc<Vec<u8>>) {
        let mut coming = self.newly_queued.coming();
        // Unless it was found in the queue before we came to say so.
        if let Some(place) = coming.messages.get_mut(&self.id) {
            place.fresh = Some(Fresh { message, content, queued: Instant::now() });
            drop(coming);
            self.newly_queued.bell.notify_one();
        }
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        let mut coming = self.newly_queued.coming();
        if coming.messages.get(&self.id).is_some_and(|place| place.fresh.is_none()) {
            coming.remove(self.id);
            drop(coming);
            self.newly_queued.bell.notify_one();
        }
    }
}

impl Coming {
    fn remove(&mut self, id: RelayId) -> Option<Fresh> {
        let place = self.messages.remove(&id)?;
        self.octets -= place.octets;
        place.fresh
    }
}

impl Fresh {
    pub(crate) fn is_fresh(&self) -> bool {
        self.queued.elapsed() < FRESH_FOR
    }
}

#[cfg(test)]
mod tests {
    use envelope::{MailParameters, ReversePath, Timestamp};
    use store::{Copies, QueueState};

    use super::*;

    fn new(n: u8, octets: usize) -> NewMessage {
        let message = QueuedMessage {
            id: RelayId::from_bytes([n; 16]),
            queued_at: Timestamp::from_unix_millis(0),
            sender: "ana@x.test".into(),
            upstream: "own".into(),
            reverse_path: ReversePath::Null,
            parameters: MailParameters::default(),
            copies: Copies::Shared,
            octets: octets as u64,
            state: QueueState::Waiting,
            delay_told: false,
            recipients: vec![],
        };
        NewMessage { message, content: Arc::new(vec![b'x'; octets]) }
    }

    fn is_there(expected: Expected<'_>, new: &NewMessage) {
        expected.is_there(new.message.clone(), new.content.clone());
    }

    #[test]
    fn a_message_goes_by_one_way_only() {
        let newly_queued = NewlyQueued::default();
        let (taken, found_late, found_early, not_put) = (new(1, 10), new(2, 10), new(3, 10), new(4, 10));
        let [first, second, third, fourth] =
            [&taken, &found_late, &found_early, &not_put].map(|new| newly_queued.expect(new).unwrap());
        assert_eq!(newly_queued.ids().len(), 4, "none of them is looked for in the queue");
        assert!(newly_queued.take().is_empty(), "none is on disk");

        is_there(first, &taken);
        let ids: Vec<_> = newly_queued.take().iter().map(|fresh| fresh.message.id).collect();
        assert_eq!(ids, [taken.message.id]);
        assert!(newly_queued.take().is_empty(), "once");

        is_there(second, &found_late);
        assert_eq!(newly_queued.found(found_late.message.id).unwrap().message, found_late.message);

        assert!(newly_queued.found(found_early.message.id).is_none());
        is_there(third, &found_early);
        assert!(newly_queued.take().is_empty(), "it was handed on, perhaps, and is gone by now");

        drop(fourth);
        assert!(newly_queued.ids().is_empty());
        assert_eq!(newly_queued.coming().octets, 0);
    }

    #[test]
    fn it_holds_so_many_and_so_much() {
        let newly_queued = NewlyQueued::default();
        let all: Vec<_> = (0..100).filter_map(|n| newly_queued.expect(&new(n, 1))).collect();
        assert_eq!(all.len(), MOST);
        drop(all);
        let large = newly_queued.expect(&new(1, MOST_OCTETS - 1));
        assert!(large.is_some() && newly_queued.expect(&new(2, 2)).is_none());
        drop(large);
        assert!(newly_queued.expect(&new(3, MOST_OCTETS + 1)).is_none());
    }
}
