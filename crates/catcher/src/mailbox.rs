use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::config::CatcherConfig;

/// One mail as it was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaughtMail {
    /// Its place in the order of arrival, from 1; never given twice.
    pub number: u64,
    /// What stood between the angle brackets of MAIL.
    pub reverse_path: String,
    /// What stood between the angle brackets of each RCPT that was accepted, in order.
    pub recipients: Vec<String>,
    /// The content octet by octet, dots unstuffed, the final line end included.
    pub content: Vec<u8>,
}

/// The newest mails, within bounds.
#[derive(Debug)]
pub(crate) struct Mailbox {
    max_mails: usize,
    max_octets: usize,
    shelf: Mutex<Shelf>,
    arrivals: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Shelf {
    mails: VecDeque<Arc<CaughtMail>>,
    octets: usize,
    last_number: u64,
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new(config: &CatcherConfig) -> Self {
        Self {
            max_mails: config.max_mails,
            max_octets: config.max_octets,
            shelf: Mutex::default(),
            arrivals: watch::Sender::new(0),
        }
    }

    /// Numbers the mail, puts it on the shelf and tells those who wait. None once closed.
    pub(crate) fn put(&self, reverse_path: String, recipients: Vec<String>, content: Vec<u8>) -> Option<u64> {
        let mut kept = self.lock();
        if kept.closed {
            return None;
        }
        kept.last_number += 1;
        let number = kept.last_number;
        kept.octets += content.len();
        kept.mails.push_back(Arc::new(CaughtMail { number, reverse_path, recipients, content }));
        while kept.mails.len() > 1 && (kept.mails.len() > self.max_mails || kept.octets > self.max_octets) {
            if let Some(oldest) = kept.mails.pop_front() {
                kept.octets -= oldest.content.len();
            }
        }
        // Under the lock, so that the number never goes back.
        self.arrivals.send_replace(number);
        Some(number)
    }

    pub(crate) fn all(&self) -> Vec<Arc<CaughtMail>> {
        self.lock().mails.iter().cloned().collect()
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<CaughtMail>> {
        let kept = self.lock();
        let at = kept.mails.binary_search_by_key(&number, |mail| mail.number).ok()?;
        kept.mails.get(at).cloned()
    }

    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    pub(crate) fn close(&self) {
        let mut kept = self.lock();
        kept.closed = true;
        kept.mails = VecDeque::new();
        kept.octets = 0;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// A thread that panicked left the shelf as it was before or after one mail.
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(max_mails: usize, max_octets: usize) -> Mailbox {
        Mailbox::new(&CatcherConfig { max_mails, max_octets, ..CatcherConfig::default() })
    }

    fn put(mailbox: &Mailbox, octets: usize) -> Option<u64> {
        mailbox.put("a@example.org".into(), vec!["b@example.org".into()], vec![b'x'; octets])
    }

    fn numbers(mailbox: &Mailbox) -> Vec<u64> {
        mailbox.all().iter().map(|mail| mail.number).collect()
    }

    #[test]
    fn keeps_the_newest_within_both_bounds() {
        let by_count = mailbox(3, 1_000);
        for number in 1..=5 {
            assert_eq!(put(&by_count, 10), Some(number));
        }
        assert_eq!(numbers(&by_count), [3, 4, 5]);
        assert_eq!(by_count.get(2), None);
        assert_eq!(by_count.get(3).unwrap().number, 3);
        assert_eq!(by_count.get(6), None);

        let by_octets = mailbox(100, 25);
        for _ in 0..4 {
            put(&by_octets, 10);
        }
        assert_eq!(numbers(&by_octets), [3, 4]);
        put(&by_octets, 26);
        assert_eq!(numbers(&by_octets), [5], "the newest stays, whatever its size");
        put(&by_octets, 1);
        assert_eq!(numbers(&by_octets), [6], "27 octets are too many, one is not");
    }

    #[test]
    fn tells_the_newest_number() {
        let mailbox = mailbox(1, 10);
        let mut arrivals = mailbox.arrivals();
        assert_eq!(*arrivals.borrow_and_update(), 0);
        put(&mailbox, 1);
        put(&mailbox, 1);
        assert!(arrivals.has_changed().unwrap());
        assert_eq!(*arrivals.borrow_and_update(), 2);
    }

    #[test]
    fn takes_nothing_once_closed() {
        let mailbox = mailbox(10, 10);
        put(&mailbox, 1);
        mailbox.close();
        assert_eq!(put(&mailbox, 1), None);
        assert!(mailbox.all().is_empty() && mailbox.is_closed());
    }
}
