use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envelope::Reply;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

/// What all listeners together may hold: connections, and octets of content under way.
#[derive(Debug)]
pub struct Limits {
    max_connections: usize,
    max_connections_per_ip: usize,
    connections: Mutex<Connections>,
    octets: Arc<Semaphore>,
    /// How many wait for room for their octets.
    waiting: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Connections {
    open: usize,
    per_ip: HashMap<IpAddr, usize>,
    next_number: u64,
    /// Those that have not logged in and are not being answered, oldest first.
    strangers: BTreeMap<u64, Arc<Notify>>,
    /// Those that were told to go and are still there.
    leaving: HashSet<u64>,
}

/// How many may be on their way out at once, and so beyond the limit of connections.
const MOST_LEAVING: usize = 64;

impl Limits {
    /// `max_octets` is for all connections at once. It should be several times the largest
    /// message: one that does not fit into it at all gets 452 each time. The allocator may
    /// hold up to twice as much while contents grow.
    pub fn new(max_connections: usize, max_connections_per_ip: usize, max_octets: usize) -> Arc<Self> {
        let octets = Arc::new(Semaphore::new(max_octets.min(Semaphore::MAX_PERMITS)));
        let connections = Mutex::default();
        let waiting = watch::Sender::new(0);
        Arc::new(Self { max_connections, max_connections_per_ip, connections, octets, waiting })
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.connections().open
    }

    /// How many octets of content may still come in.
    pub fn free_octets(&self) -> usize {
        self.octets.available_permits()
    }

    /// Lets a connection in, or says why not. When all places are taken, the oldest connection that has not
    /// logged in and is not being answered is told to go: many that are only held open keep nobody out.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Admission, Reply> {
        let key = counted_as(ip);
        let mut connections = self.connections();
        let from_here = connections.per_ip.get(&key).copied().unwrap_or(0);
        if from_here >= self.max_connections_per_ip {
            return Err(Reply::of(421, "4.7.0", "Too many connections from your address"));
        }
        if connections.open - connections.leaving.len() >= self.max_connections && !connections.make_place() {
            return Err(Reply::of(421, "4.3.2", "Too many connections, try again later"));
        }
        connections.per_ip.insert(key, from_here + 1);
        connections.open += 1;
        connections.next_number += 1;
        let number = connections.next_number;
        Ok(Admission { limits: Arc::clone(self), key, number, cue: Arc::default() })
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for `octets` more, or `None` when there was none within `patience`.
    pub(crate) async fn reserve(&self, octets: usize, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let octets = u32::try_from(octets).ok()?;
        if let Ok(room) = Arc::clone(&self.octets).try_acquire_many_owned(octets) {
            return Some(room);
        }
        let _waiting = Waiting::new(&self.waiting);
        let room = Arc::clone(&self.octets).acquire_many_owned(octets);
        timeout(patience, room).await.ok()?.ok()
    }

    /// How many wait for room: while some do, who holds room and brings nothing is in their way.
    pub(crate) fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }
}

impl Connections {
    /// False when nobody can be told to go.
    fn make_place(&mut self) -> bool {
        if self.leaving.len() >= MOST_LEAVING {
            return false;
        }
        let Some((number, cue)) = self.strangers.pop_first() else { return false };
        self.leaving.insert(number);
        cue.notify_one();
        true
    }
}

/// One more that waits for room, until this is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

/// An IPv4 address, or the /64 that one IPv6 customer has to himself.
fn counted_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A connection that counts, until this is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Arc<Limits>,
    key: IpAddr,
    number: u64,
    cue: Arc<Notify>,
}

impl Admission {
    /// From now on the connection may be told to go, as far as others need its place.
    pub(crate) fn may_be_ended(&self) {
        let mut connections = self.limits.connections();
        if !connections.leaving.contains(&self.number) {
            connections.strangers.insert(self.number, Arc::clone(&self.cue));
        }
    }

    /// It has logged in, or it is being answered: it stays. One that was told to go in the same moment may have
    /// logged in before it hears of it; then it is one too many for a while.
    pub(crate) fn stays(&self) {
        let mut connections = self.limits.connections();
        connections.strangers.remove(&self.number);
        connections.leaving.remove(&self.number);
    }

    /// Resolves when it is told to go.
    pub(crate) async fn told_to_go(&self) {
        self.cue.notified().await;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut connections = self.limits.connections();
        connections.open = connections.open.saturating_sub(1);
        connections.strangers.remove(&self.number);
        connections.leaving.remove(&self.number);
        if let Some(from_here) = connections.per_ip.get_mut(&self.key) {
            *from_here = from_here.saturating_sub(1);
            if *from_here == 0 {
                connections.per_ip.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_customer() {
        let limits = Limits::new(4, 2, 0);
        let code =
            |ip: &str| limits.admit(ip.parse().unwrap()).map_err(|reply| reply.to_string()[..9].to_owned());
        let a = code("192.0.2.1").unwrap();
        let b = code("::ffff:192.0.2.1").unwrap();
        assert_eq!(code("192.0.2.1").unwrap_err(), "421 4.7.0");
        let _c = code("2001:db8::1").unwrap();
        let _d = code("2001:db8::ffff:1").unwrap();
        assert_eq!(code("2001:db8:0:1::1").unwrap_err(), "421 4.3.2");
        drop(a);
        assert_eq!(code("2001:db8::2").unwrap_err(), "421 4.7.0");
        let _e = code("192.0.2.1").unwrap();
        drop(b);
        assert_eq!(limits.open_connections(), 3);
    }

    #[test]
    fn the_oldest_stranger_makes_place() {
        let limits = Limits::new(2, 100, 0);
        let admit = || limits.admit("192.0.2.1".parse().unwrap());
        let [oldest, newer] = [admit().unwrap(), admit().unwrap()];
        assert!(admit().is_err(), "both are being answered");
        newer.may_be_ended();
        oldest.may_be_ended();
        oldest.stays();
        let third = admit().unwrap();
        assert!(limits.connections().leaving.contains(&newer.number));
        assert!(admit().is_err(), "nobody is left to go");
        newer.may_be_ended();
        assert!(admit().is_err(), "nobody goes twice");
        drop(newer);
        assert_eq!(limits.open_connections(), 2);
        third.may_be_ended();
        oldest.may_be_ended();
        let _fourth = admit().unwrap();
        assert!(limits.connections().leaving.contains(&oldest.number));
        drop(oldest);
        drop(third);
        let connections = limits.connections();
        assert_eq!((connections.open, connections.strangers.len(), connections.leaving.len()), (1, 0, 0));
    }
}
