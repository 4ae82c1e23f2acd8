use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envelope::Reply;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What all listeners together may hold: connections, and octets of content under way.
#[derive(Debug)]
pub struct Limits {
    max_connections: usize,
    max_connections_per_ip: usize,
    connections: Mutex<Connections>,
    octets: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Connections {
    open: usize,
    per_ip: HashMap<IpAddr, usize>,
}

impl Limits {
    /// `max_octets` is for all connections at once. It should be several times the largest
    /// message: one that does not fit into it at all gets 452 each time. The allocator may
    /// hold up to twice as much while contents grow.
    pub fn new(max_connections: usize, max_connections_per_ip: usize, max_octets: usize) -> Arc<Self> {
        let octets = Arc::new(Semaphore::new(max_octets.min(Semaphore::MAX_PERMITS)));
        let connections = Mutex::default();
        Arc::new(Self { max_connections, max_connections_per_ip, connections, octets })
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).open
    }

    /// How many octets of content may still come in.
    pub fn free_octets(&self) -> usize {
        self.octets.available_permits()
    }

    /// Lets a connection in, or says why not.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Admission, Reply> {
        let key = counted_as(ip);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.open >= self.max_connections {
            return Err(Reply::of(421, "4.3.2", "Too many connections, try again later"));
        }
        let from_here = connections.per_ip.entry(key).or_insert(0);
        if *from_here >= self.max_connections_per_ip {
            return Err(Reply::of(421, "4.7.0", "Too many connections from your address"));
        }
        *from_here += 1;
        connections.open += 1;
        Ok(Admission { limits: Arc::clone(self), key })
    }

    /// Room for `octets` more, or `None` when there was none within `patience`.
    pub(crate) async fn reserve(&self, octets: usize, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.octets).acquire_many_owned(u32::try_from(octets).ok()?);
        timeout(patience, room).await.ok()?.ok()
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
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut connections = self.limits.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.open = connections.open.saturating_sub(1);
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
}
