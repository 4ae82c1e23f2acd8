use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The places for connections: who has one, and who has to go when another needs it.
///
/// Nobody is turned away, because a pixel may be what they come for. When places run out, of all or of one
/// address, the connection that has been idle for longest is told to go: one that waits for a request, or for
/// the rest of one. So many that are only held open keep nobody out.
pub(crate) struct Places {
    most: usize,
    most_per_address: usize,
    /// Counts how often somebody became idle: who did so earlier has been idle for longer.
    turns: AtomicU64,
    open: AtomicUsize,
    /// How many of them were told to go.
    leaving: AtomicUsize,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    next_number: u64,
    taken: HashMap<u64, Arc<Seat>>,
    per_address: HashMap<IpAddr, usize>,
}

/// What others may know and say of a connection.
struct Seat {
    address: Mutex<Option<IpAddr>>,
    /// The turn at which it became idle; 0 while it is being answered.
    idle_since: AtomicU64,
    leaving: AtomicBool,
    cue: Notify,
}

/// A connection that counts, until this is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    seat: Arc<Seat>,
}

impl Places {
    /// Places for `most` connections, of which one address (of IPv6: one /64) has at most so many while others
    /// of it are idle.
    pub(crate) fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_per_address,
            turns: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
            seats: Mutex::default(),
        })
    }

    /// Lets a connection in. `address`: who it counts for; none, if it carries others.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Place {
        let seat = Arc::new(Seat {
            address: Mutex::new(None),
            idle_since: AtomicU64::new(self.next_turn()),
            leaving: AtomicBool::new(false),
            cue: Notify::new(),
        });
        let mut seats = self.seats();
        if self.open.load(Ordering::Relaxed) >= self.most.saturating_add(self.leaving.load(Ordering::Relaxed))
        {
            self.send_away(seats.taken.values());
        }
        seats.next_number += 1;
        let number = seats.next_number;
        seats.taken.insert(number, Arc::clone(&seat));
        self.open.fetch_add(1, Ordering::Relaxed);
        drop(seats);
        let place = Place { places: Arc::clone(self), number, seat };
        if let Some(address) = address {
            place.counts_for(address);
        }
        place
    }

    /// The one that has been idle for longest is told to go, if any is idle.
    fn send_away<'a>(&self, among: impl Iterator<Item = &'a Arc<Seat>>) {
        let idle = among.filter(|seat| !seat.leaving.load(Ordering::Relaxed)).filter_map(|seat| {
            let since = seat.idle_since.load(Ordering::Relaxed);
            (since != 0).then_some((since, seat))
        });
        if let Some((_, seat)) = idle.min_by_key(|(since, _)| *since) {
            self.tell_to_go(seat);
        }
    }

    fn tell_to_go(&self, seat: &Seat) {
        if !seat.leaving.swap(true, Ordering::Relaxed) {
            self.leaving.fetch_add(1, Ordering::Relaxed);
            seat.cue.notify_one();
        }
    }

    fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// From now on it counts for this address.
    pub(crate) fn counts_for(&self, address: IpAddr) {
        let key = counted_as(address);
        let mut seats = self.places.seats();
        if seats.per_address.get(&key).is_some_and(|open| *open >= self.places.most_per_address) {
            let of_it = seats.taken.values().filter(|seat| seat.address() == Some(key));
            self.places.send_away(of_it);
        }
        *seats.per_address.entry(key).or_default() += 1;
        *self.seat.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// Resolves when somebody else needs the place.
    pub(crate) async fn told_to_go(&self) {
        self.seat.cue.notified().await;
    }

    /// It is being answered until the result is dropped: so long it is not told to go.
    pub(crate) fn answering(&self) -> Answering<'_> {
        self.seat.idle_since.store(0, Ordering::Relaxed);
        Answering(self)
    }

    /// Is it being answered?
    pub(crate) fn is_answering(&self) -> bool {
        self.seat.idle_since.load(Ordering::Relaxed) == 0
    }
}

impl Seat {
    fn address(&self) -> Option<IpAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.places.seats();
        seats.taken.remove(&self.number);
        if let Some(address) = self.seat.address()
            && let Some(open) = seats.per_address.get_mut(&address)
        {
            *open -= 1;
            if *open == 0 {
                seats.per_address.remove(&address);
            }
        }
        self.places.open.fetch_sub(1, Ordering::Relaxed);
        if self.seat.leaving.load(Ordering::Relaxed) {
            self.places.leaving.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// See [`Place::answering`].
pub(crate) struct Answering<'a>(&'a Place);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        let Place { places, seat, .. } = self.0;
        seat.idle_since.store(places.next_turn(), Ordering::Relaxed);
        // Everybody was being answered when this one came in.
        let (open, leaving) = (&places.open, &places.leaving);
        if open.load(Ordering::Relaxed) > places.most.saturating_add(leaving.load(Ordering::Relaxed)) {
            places.tell_to_go(seat);
        }
    }
}

/// An IPv4 address, or the /64 that one IPv6 customer has to himself.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(place: &Place) -> bool {
        place.seat.leaving.load(Ordering::Relaxed)
    }

    #[test]
    fn the_one_that_is_idle_for_longest_goes() {
        let places = Places::new(3, 9);
        let [first, second, third] =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|a| places.admit(a.parse().ok()));
        assert!(![&first, &second, &third].into_iter().any(told));
        // The first is being answered, and the second was a moment ago.
        let answering = first.answering();
        drop(second.answering());
        let fourth = places.admit("192.0.2.4".parse().ok());
        assert_eq!([&first, &second, &third, &fourth].map(told), [false, false, true, false]);
        // The third is on its way, so it does not count; the next to go is the second.
        let fifth = places.admit(None);
        assert_eq!([&first, &second, &third, &fourth, &fifth].map(told), [false, true, true, false, false]);
        drop(answering);
        drop((third, second));
        assert_eq!(places.open.load(Ordering::Relaxed), 3);
        assert_eq!(places.leaving.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_address_that_has_its_share_gives_up_one_of_its_own() {
        let places = Places::new(100, 2);
        let other = places.admit("2001:db8:0:1::1".parse().ok());
        let first = places.admit("2001:db8::1".parse().ok());
        let second = places.admit("2001:db8::2".parse().ok());
        let third = places.admit("2001:db8::3".parse().ok());
        assert_eq!([&other, &first, &second, &third].map(told), [false, true, false, false], "one /64");
        drop(first);
        drop((second, third));
        assert_eq!(places.seats().per_address.len(), 1);
        // A proxy's connections count for whom it carries, once that is known.
        let carried = [places.admit(None), places.admit(None), places.admit(None)];
        for place in &carried {
            place.counts_for("2001:db8::9".parse().unwrap());
        }
        assert_eq!(carried.each_ref().map(told), [true, false, false]);
    }

    #[test]
    fn one_that_came_while_all_were_being_answered_goes_when_it_was_answered() {
        let places = Places::new(1, 9);
        let first = places.admit("192.0.2.1".parse().ok());
        let answering = first.answering();
        let second = places.admit("192.0.2.2".parse().ok());
        let too = second.answering();
        assert!(!told(&first) && !told(&second));
        drop(answering);
        assert!(told(&first));
        drop(too);
        assert!(!told(&second), "one of two is enough");
    }
}
