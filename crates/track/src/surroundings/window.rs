use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use envelope::RelayId;
use verdict::Kind;

use super::source::Source;

/// What was seen lately, as much of it as other hits are judged by. In memory only, and bounded.
#[derive(Default)]
pub(crate) struct Window {
    seen: VecDeque<Seen>,
    /// The number of the first one in `seen`.
    first: u64,
    by_event: HashMap<RelayId, u64>,
    by_reader: HashMap<(RelayId, Option<u16>), VecDeque<u64>>,
    by_address: HashMap<IpAddr, VecDeque<u64>>,
}

/// One open or click.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) event: RelayId,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) kind: Kind,
    pub(crate) message: RelayId,
    /// `None`: the copy all of them share.
    pub(crate) recipient: Option<u16>,
    pub(crate) link: Option<u16>,
    pub(crate) source: Option<Source>,
    /// All of it; never written anywhere.
    pub(crate) address: Option<IpAddr>,
    /// The client program, as it names itself. Never written anywhere from here.
    pub(crate) agent: Option<Arc<str>>,
    /// Tells one recipient, and one recipient's domain, from another.
    pub(crate) reader: Option<(u64, u64)>,
    /// It is judged a person's.
    pub(crate) person: bool,
    /// It is on the hidden link.
    pub(crate) honeypot: bool,
}

/// No rule looks further.
pub(crate) const LONGEST_MS: i64 = 3_600_000;
/// Of all messages together: some 30 MB.
const MOST: usize = 50_000;
/// Of one reader or address; many more are a machine's anyway.
const MOST_LOOKED_AT: usize = 2_000;

impl Window {
    /// Over what was known of the same event; an address that was known in full stays known.
    pub(crate) fn insert(&mut self, seen: Seen) {
        if let Some(place) = self.by_event.get(&seen.event).and_then(|number| self.place(*number)) {
            let known = &mut self.seen[place];
            known.person = seen.person;
            known.reader = seen.reader.or(known.reader);
            known.agent = known.agent.take().or(seen.agent);
            known.honeypot |= seen.honeypot;
            return;
        }
        let number = self.first + self.seen.len() as u64;
        self.by_event.insert(seen.event, number);
        self.by_reader.entry((seen.message, seen.recipient)).or_default().push_back(number);
        if let Some(address) = seen.address {
            self.by_address.entry(address).or_default().push_back(number);
        }
        let old = seen.at - LONGEST_MS;
        self.seen.push_back(seen);
        while self.seen.len() > MOST || self.seen.front().is_some_and(|oldest| oldest.at < old) {
            self.forget_oldest();
        }
    }

    pub(crate) fn event(&self, id: RelayId) -> Option<&Seen> {
        self.get(*self.by_event.get(&id)?)
    }

    /// Who it was, as it is judged now.
    pub(crate) fn judged(&mut self, event: RelayId, person: bool) {
        if let Some(place) = self.by_event.get(&event).and_then(|number| self.place(*number)) {
            self.seen[place].person = person;
        }
    }

    /// Hits on the same copy of the same message as `hit`, so many milliseconds before and after it; without it.
    pub(crate) fn of_reader(&self, hit: &Seen, before: i64, after: i64) -> impl Iterator<Item = &Seen> {
        let numbers = self.by_reader.get(&(hit.message, hit.recipient));
        self.around(numbers, hit, before, after)
    }

    /// The same of its address.
    pub(crate) fn of_address(&self, hit: &Seen, before: i64, after: i64) -> impl Iterator<Item = &Seen> {
        let numbers = hit.address.and_then(|address| self.by_address.get(&address));
        self.around(numbers, hit, before, after)
    }

    fn around<'a>(
        &'a self,
        numbers: Option<&'a VecDeque<u64>>,
        hit: &Seen,
        before: i64,
        after: i64,
    ) -> impl Iterator<Item = &'a Seen> {
        let (event, at) = (hit.event, hit.at);
        let newest_first = numbers.into_iter().flatten().rev().filter_map(|number| self.get(*number));
        newest_first
            // What comes in late is a little out of order, so this does not stop at the first that is too old.
            .take(MOST_LOOKED_AT)
            .filter(move |seen| seen.event != event && seen.at >= at - before && seen.at <= at + after)
    }

    fn get(&self, number: u64) -> Option<&Seen> {
        self.seen.get(self.place(number)?)
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok().filter(|place| *place < self.seen.len())
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.seen.pop_front() else { return };
        self.first += 1;
        self.by_event.remove(&oldest.event);
        forget_first(&mut self.by_reader, (oldest.message, oldest.recipient));
        if let Some(address) = oldest.address {
            forget_first(&mut self.by_address, address);
        }
    }
}

/// Numbers are in order everywhere, so the oldest of all is the first of its list.
fn forget_first<K: std::hash::Hash + Eq>(lists: &mut HashMap<K, VecDeque<u64>>, key: K) {
    if let Entry::Occupied(mut list) = lists.entry(key) {
        list.get_mut().pop_front();
        if list.get().is_empty() {
            list.remove();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use envelope::Timestamp;

    use super::*;

    /// A click on link 0 of the first recipient's copy of the first message.
    pub(crate) fn seen(number: u16, at_ms: i64, address: &str) -> Seen {
        let mut random = [0; 10];
        random[8..].copy_from_slice(&number.to_be_bytes());
        let address = address.parse().ok();
        Seen {
            event: RelayId::new(Timestamp::from_unix_millis(at_ms), random),
            at: at_ms,
            kind: Kind::Click,
            message: RelayId::from_bytes([1; 16]),
            recipient: Some(0),
            link: Some(0),
            source: address.map(Source::of),
            address,
            agent: None,
            reader: None,
            person: true,
            honeypot: false,
        }
    }

    #[test]
    fn knows_what_is_around_and_forgets_what_is_old() {
        let mut window = Window::default();
        for (number, at) in [(0, 0), (1, 1_000), (2, 1_500), (3, 900)] {
            window.insert(seen(number, at, "192.0.2.1"));
        }
        window.insert(Seen { recipient: None, ..seen(4, 1_000, "192.0.2.1") });
        window.insert(seen(1, 1_000, ""));
        let hit = seen(1, 1_000, "192.0.2.1");
        let of_reader: Vec<_> = window.of_reader(&hit, 500, 500).map(|seen| seen.at).collect();
        assert_eq!(of_reader, [900, 1_500]);
        assert_eq!(window.of_address(&hit, 1_000, 0).count(), 3);
        assert_eq!(window.event(hit.event).unwrap().address, hit.address, "what was known in full stays so");

        window.insert(seen(5, LONGEST_MS + 1_000, "192.0.2.2"));
        assert_eq!(window.seen.len(), 5);
        assert_eq!(window.of_reader(&hit, i64::MAX / 2, i64::MAX / 2).count(), 3);
        window.insert(seen(6, 3 * LONGEST_MS, "192.0.2.2"));
        assert_eq!((window.seen.len(), window.by_event.len()), (1, 1));
        assert_eq!((window.by_reader.len(), window.by_address.len()), (1, 1));
    }

    #[test]
    fn is_bounded() {
        let mut window = Window::default();
        let mut hit = seen(0, 0, "192.0.2.1");
        for number in 0..u64::try_from(MOST).unwrap() + 1_000 {
            let mut id = [0; 16];
            id[8..].copy_from_slice(&number.to_be_bytes());
            hit.event = RelayId::from_bytes(id);
            window.insert(hit.clone());
        }
        assert_eq!((window.seen.len(), window.by_event.len()), (MOST, MOST));
        assert_eq!(window.of_reader(&hit, 1, 1).count(), MOST_LOOKED_AT - 1);
    }
}
