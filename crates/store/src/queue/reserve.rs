use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::files::{create_private, sync_folder_of};
use crate::log;

/// Room on the queue's disk that is taken beforehand, and given away when the disk is full: what came of a handoff
/// can then still be written down. Without that, mail that a provider has would be handed on again.
///
/// On file systems that compress or copy on write, room that was taken is not sure to be there again.
#[derive(Clone, Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
}

/// Its name in the spool folder.
const FILE: &str = "queue.reserve";
/// A whole WAL before it is folded in, twice.
pub(crate) const OCTETS: u64 = 8 << 20;

impl Reserve {
    pub(crate) fn in_spool(spool: &Path) -> Self {
        Self { path: spool.join(FILE) }
    }

    /// Is the room taken?
    pub(crate) fn is_held(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() >= OCTETS)
    }

    /// Gives the room away. False: there was none to give.
    pub(crate) fn give(&self) -> bool {
        match std::fs::remove_file(&self.path) {
            Ok(()) => {
                log::reserve_given(&self.path);
                true
            }
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    log::body_left(&self.path, &error);
                }
                false
            }
        }
    }

    /// Takes it, if so much stays free on top that it would not be given away again at once. Blocks. True: it is held.
    pub(crate) fn take(&self, free: u64, low: u64) -> bool {
        if self.is_held() {
            return true;
        }
        if free.saturating_sub(OCTETS) < low.max(OCTETS) {
            return false;
        }
        let draft = self.path.with_extension("part");
        let _ = std::fs::remove_file(&draft);
        let taken = create_private(&draft).and_then(|mut file| {
            fill(&mut file)?;
            file.sync_all()?;
            std::fs::rename(&draft, &self.path)?;
            sync_folder_of(&self.path)
        });
        if taken.is_err() {
            // Somebody else has used the room meanwhile.
            let _ = std::fs::remove_file(&draft);
        }
        taken.is_ok()
    }
}

fn fill(file: &mut std::fs::File) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, OCTETS).is_ok() {
        return Ok(());
    }
    // Not zeros: some file systems keep those in no room at all.
    let piece = vec![0x57; 1 << 16];
    for _ in 0..OCTETS >> 16 {
        file.write_all(&piece)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_taken_given_and_taken_again_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::in_spool(folder.path());
        assert!(!reserve.is_held() && !reserve.give());
        for (free, low, taken) in
            [(OCTETS * 2 - 1, 0, false), (OCTETS * 3 - 1, OCTETS * 2, false), (OCTETS * 3, OCTETS * 2, true)]
        {
            assert_eq!(reserve.take(free, low), taken, "{free} {low}");
            assert_eq!(reserve.is_held(), taken);
        }
        assert!(reserve.take(0, 0), "it is held already");
        assert!(reserve.give() && !reserve.is_held() && !reserve.give());
        std::fs::write(&reserve.path, "half of it").unwrap();
        assert!(!reserve.is_held());
        assert!(reserve.take(u64::MAX, 0) && reserve.is_held());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
