use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::queue::reserve::{OCTETS, Reserve};
use crate::{StoreError, log};

/// Is there room for one more? The disk is asked once in a while; between, what we take is counted off.
pub(crate) struct Room {
    free: Box<dyn Fn() -> io::Result<u64> + Send + Sync>,
    low: u64,
    every: Duration,
    reserve: Option<Reserve>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    free: u64,
    told: bool,
}

const EVERY: Duration = Duration::from_secs(1);

impl Room {
    /// On the file system of `folder`, of which `low` octets are to stay free.
    pub(crate) fn on(folder: PathBuf, low: u64) -> Self {
        Self::asking(move || free_octets(&folder), low, EVERY)
    }

    /// While the reserve is used up there is no room.
    pub(crate) fn with_reserve(self, reserve: Reserve) -> Self {
        Self { reserve: Some(reserve), ..self }
    }

    pub(crate) fn asking(
        free: impl Fn() -> io::Result<u64> + Send + Sync + 'static,
        low: u64,
        every: Duration,
    ) -> Self {
        Self { free: Box::new(free), low, every, reserve: None, seen: Mutex::default() }
    }

    /// # Errors
    /// [`StoreError::DiskLow`].
    pub(crate) fn take(&self, octets: u64) -> Result<(), StoreError> {
        if self.low == 0 && self.reserve.is_none() {
            return Ok(());
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.is_none_or(|at| at.elapsed() >= self.every) {
            // A file system that does not say does not stand in the way: it refuses by itself when it is full.
            seen.free = (self.free)().unwrap_or(u64::MAX);
            seen.at = Some(Instant::now());
            if !self.reserve_is_held(&mut seen.free) {
                seen.free = 0;
            }
        }
        let left = seen.free.checked_sub(octets).filter(|left| *left >= self.low);
        if let Some(left) = left {
            seen.free = left;
            if std::mem::take(&mut seen.told) {
                log::queue_has_room();
            }
            return Ok(());
        }
        if !std::mem::replace(&mut seen.told, true) {
            log::queue_disk_low(seen.free, self.low);
        }
        Err(StoreError::DiskLow)
    }

    /// Takes the reserve again if it was given away and there is room. Blocks when it does.
    pub(crate) fn has_reserve(&self) -> bool {
        let mut free = (self.free)().unwrap_or(u64::MAX);
        self.reserve_is_held(&mut free)
    }

    fn reserve_is_held(&self, free: &mut u64) -> bool {
        let Some(reserve) = &self.reserve else { return true };
        if reserve.is_held() {
            return true;
        }
        let taken = reserve.take(*free, self.low);
        if taken {
            *free = free.saturating_sub(OCTETS);
        }
        taken
    }
}

#[cfg(unix)]
fn free_octets(folder: &std::path::Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(folder)?;
    // What is left for those who are not root.
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

#[cfg(not(unix))]
fn free_octets(_folder: &std::path::Path) -> io::Result<u64> {
    Ok(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn keeps_so_much_free_and_takes_more_when_there_is_room_again() {
        let free = Arc::new(AtomicU64::new(1_000));
        let asked = free.clone();
        let room = Room::asking(move || Ok(asked.load(Ordering::SeqCst)), 900, Duration::ZERO);
        room.take(100).unwrap();
        assert!(matches!(room.take(101), Err(StoreError::DiskLow)));
        free.store(899, Ordering::SeqCst);
        assert!(matches!(room.take(0), Err(StoreError::DiskLow)));
        free.store(2_000, Ordering::SeqCst);
        room.take(101).unwrap();
    }

    #[test]
    fn counts_off_what_it_takes_until_it_asks_again() {
        let room = Room::asking(|| Ok(1_000), 500, Duration::from_hours(1));
        room.take(300).unwrap();
        assert!(matches!(room.take(300), Err(StoreError::DiskLow)));
        room.take(200).unwrap();
    }

    #[test]
    fn a_system_that_does_not_say_does_not_stand_in_the_way() {
        Room::asking(|| Err(io::Error::other("no")), 500, EVERY).take(1 << 40).unwrap();
        let here = Room::on(std::env::temp_dir(), 1);
        here.take(1).unwrap();
        assert!(matches!(Room::on(std::env::temp_dir(), u64::MAX).take(1), Err(StoreError::DiskLow)));
    }
}
