use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use envelope::Timestamp;

use super::record;
use crate::certificates::pair::{Pair, day};
use crate::certificates::shown::Shown;
use crate::certificates::{Folder, self_signed};

/// Certificates come every two months.
const EVERY: Duration = Duration::from_secs(10);

/// What the process that tracks was given by the authority, as the one that relays sees it: `waxseal run --only relay`.
pub(crate) struct KeptFiles {
    folder: Folder,
    /// The certificate in use for each name, in DER; `None`: one of our own.
    used: BTreeMap<String, Option<Vec<u8>>>,
}

impl KeptFiles {
    /// Shows what there is, and a certificate of our own for names that have none yet.
    pub(crate) fn open(
        folder: Folder,
        names: Vec<String>,
        shown: &Shown,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        for name in &names {
            let placeholder = self_signed::placeholder(name, now).context("no certificate could be made")?;
            shown.show(name, placeholder.certified());
        }
        let mut files = Self { folder, used: names.into_iter().map(|name| (name, None)).collect() };
        files.look(shown);
        for (name, _) in files.used.iter().filter(|(_, used)| used.is_none()) {
            tracing::warn!(
                name,
                "there is no certificate for this name yet: the part that tracks, on this machine, asks for it"
            );
        }
        Ok(files)
    }

    /// For ever.
    pub(crate) async fn watch(mut self, shown: &Shown) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.look(shown);
        }
    }

    fn look(&mut self, shown: &Shown) {
        for (name, used) in &mut self.used {
            // What cannot be used is the other process's to complain of.
            let Ok(Some(pair)) = record::kept(&self.folder, name) else { continue };
            let own = der(&pair);
            if *used != own {
                tracing::info!(name, valid_until = day(pair.not_after()), "a kept certificate is in use");
                shown.show(name, pair.certified());
                *used = own;
            }
        }
    }
}

fn der(pair: &Pair) -> Option<Vec<u8>> {
    pair.certified().end_entity_cert().ok().map(|own| own.to_vec())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::certificates::pair::tests::made;

    #[test]
    fn what_another_process_puts_there_is_shown() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::at(&scratch.path().join("tls"));
        folder.make().unwrap();
        let shown = Arc::new(Shown::default());
        let now = "2026-01-01T00:00:00.000Z".parse().unwrap();
        let mut files = KeptFiles::open(folder.clone(), vec!["a.test".to_owned()], &shown, now).unwrap();
        assert_eq!(files.used["a.test"], None);
        let mut last = None;
        for _ in 0..2 {
            let (certificate, key) = made(&["a.test"], 2026, 2027);
            folder.write("a.test.pem", format!("{certificate}{key}").as_bytes()).unwrap();
            files.look(&shown);
            assert!(files.used["a.test"].is_some() && files.used["a.test"] != last);
            last = files.used["a.test"].clone();
        }
        folder.write("a.test.pem", b"garbage").unwrap();
        files.look(&shown);
        assert_eq!(files.used["a.test"], last, "the one before stays");
    }
}
