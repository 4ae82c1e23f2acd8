use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use envelope::{Clock, Timestamp};

use super::pair::{Pair, PairError, day};
use super::shown::Shown;

/// How often the files are looked at. They are read each time: a time stamp says nothing of a file that was
/// changed twice within its grain, or put in place with an old one.
const EVERY: Duration = Duration::from_secs(2);
/// So often in a row a pair may be unusable before that is said: key and certificate are replaced one after
/// the other, and a file is not written at once.
const LOOKS_BEFORE_A_WORD: u32 = 3;
const LARGEST_OCTETS: u64 = 1 << 20;

/// A certificate and its key in two files of the operator's, which are read again when they change.
pub(crate) struct WatchedFiles {
    certificate: PathBuf,
    key: PathBuf,
    clock: Arc<dyn Clock>,
    /// What is in use.
    used: Texts,
    /// What was found last and is not used, and how often.
    refused: Option<(Found, u32)>,
    /// The operator was told of a pair that is not used, and not yet that all is well again.
    complained: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What the files hold, or which of them cannot be read and why.
type Found = Result<Texts, String>;

/// Why a new pair is not used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Objection {
    #[error("{0}")]
    Unreadable(String),
    #[error("{file}: {why}")]
    Unusable { file: String, why: PairError },
    #[error("the new certificate expired on {0}")]
    Expired(String),
    #[error("the new certificate is not valid yet")]
    NotYet,
}

impl WatchedFiles {
    /// Reads them once; what comes out is theirs from the start.
    ///
    /// # Errors
    /// When they cannot be used. One that has expired can: something is better than nothing there.
    pub(crate) fn open(
        certificate: PathBuf,
        key: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<(Self, Pair)> {
        let used = texts(&certificate, &key).map_err(|why| anyhow::anyhow!("cannot read {why}"))?;
        let pair = Pair::from_pem(&used.certificate, &used.key)
            .with_context(|| format!("{} and {} cannot be used", certificate.display(), key.display()))?;
        Ok((Self { certificate, key, clock, used, refused: None, complained: false }, pair))
    }

    /// Looks at them for ever.
    pub(crate) async fn watch(mut self, shown: &Shown) {
        loop {
            tokio::time::sleep(EVERY).await;
            // Disks can hang, and the threads that serve must not.
            let looked = tokio::task::spawn_blocking(move || {
                let seen = self.look();
                (self, seen)
            });
            let Ok((back, seen)) = looked.await else {
                tracing::error!(
                    "the certificate's files are not looked at any more: the program has a bug there"
                );
                return std::future::pending().await;
            };
            self = back;
            if let Some(pair) = seen {
                shown.show_everywhere(pair.certified());
            }
        }
    }

    /// One look; a pair when there is a new one that is good.
    fn look(&mut self) -> Option<Pair> {
        let found = match texts(&self.certificate, &self.key) {
            Ok(texts) if texts == self.used => {
                self.refused = None;
                if std::mem::take(&mut self.complained) {
                    tracing::info!("the certificate's files are again those in use");
                }
                return None;
            }
            found => found,
        };
        match self.judged(&found, self.clock.now()) {
            Ok((texts, pair)) => {
                tracing::info!(
                    file = %self.certificate.display(),
                    valid_until = day(pair.not_after()),
                    "a new certificate is in use"
                );
                (self.used, self.refused, self.complained) = (texts, None, false);
                Some(pair)
            }
            Err(objection) => {
                let looks = match self.refused.take() {
                    Some((before, looks)) if before == found => looks.saturating_add(1),
                    _ => 1,
                };
                if looks == LOOKS_BEFORE_A_WORD {
                    self.complained = true;
                    tracing::error!(
                        problem = %objection,
                        "the new certificate is not used, the one before stays: put both files right"
                    );
                }
                self.refused = Some((found, looks));
                None
            }
        }
    }

    fn judged(&self, found: &Found, now: Timestamp) -> Result<(Texts, Pair), Objection> {
        let texts = found.as_ref().map_err(|why| Objection::Unreadable(why.clone()))?;
        let pair = Pair::from_pem(&texts.certificate, &texts.key).map_err(|why| {
            let file = if why.is_about_the_key() { &self.key } else { &self.certificate };
            Objection::Unusable { file: file.display().to_string(), why }
        })?;
        if pair.has_expired(now) {
            return Err(Objection::Expired(day(pair.not_after())));
        }
        if !pair.has_begun(now) {
            return Err(Objection::NotYet);
        }
        Ok((texts.clone(), pair))
    }
}

fn texts(certificate: &Path, key: &Path) -> Found {
    let text = |path: &Path| read(path).map_err(|error| format!("{}: {error}", path.display()));
    Ok(Texts { certificate: text(certificate)?, key: text(key)? })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for somebody to write into it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut octets = Vec::new();
    let read = fs::File::open(path)?.take(LARGEST_OCTETS + 1).read_to_end(&mut octets)?;
    if u64::try_from(read).is_ok_and(|read| read > LARGEST_OCTETS) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use envelope::ManualClock;

    use super::super::pair::tests::made;
    use super::*;

    /// What happens to the files, one look after the other.
    #[test]
    fn replaced_one_after_the_other_or_badly() {
        let folder = tempfile::tempdir().unwrap();
        let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let pairs: Vec<(String, String)> = (0..4).map(|_| made(&["a.test"], 2026, 2028)).collect();
        let expired = made(&["a.test"], 2020, 2021);
        let future = made(&["a.test"], 2030, 2031);
        fs::write(&cert_file, &pairs[0].0).unwrap();
        fs::write(&key_file, &pairs[0].1).unwrap();
        let clock = Arc::new(ManualClock::new("2026-06-01T00:00:00.000Z".parse().unwrap()));
        let (mut files, first) =
            WatchedFiles::open(cert_file.clone(), key_file.clone(), clock.clone()).unwrap();
        assert!(first.covers("a.test"));
        assert!(files.look().is_none(), "nothing changed");

        let steps: &[(&str, Option<&str>, Option<&str>, bool)] = &[
            ("certificate first", Some(&pairs[1].0), None, false),
            ("then its key", None, Some(&pairs[1].1), true),
            ("key first", None, Some(&pairs[2].1), false),
            ("then its certificate", Some(&pairs[2].0), None, true),
            ("half a certificate", Some(&pairs[3].0[..200]), Some(&pairs[3].1), false),
            ("the other half", Some(&pairs[3].0), None, true),
            ("nothing", Some(""), Some(""), false),
            ("garbage", Some("garbage"), Some("garbage"), false),
            ("expired", Some(&expired.0), Some(&expired.1), false),
            ("the same octets as are in use", Some(&pairs[3].0), Some(&pairs[3].1), false),
            ("not valid yet", Some(&future.0), Some(&future.1), false),
            ("an old one back", Some(&pairs[0].0), Some(&pairs[0].1), true),
        ];
        for (what, certificate, key, is_used) in steps {
            if let Some(text) = certificate {
                fs::write(&cert_file, text).unwrap();
            }
            if let Some(text) = key {
                fs::write(&key_file, text).unwrap();
            }
            let seen = files.look();
            assert_eq!(seen.is_some(), *is_used, "{what}");
            assert!(files.look().is_none(), "{what}: once");
        }
        fs::write(&cert_file, &future.0).unwrap();
        fs::write(&key_file, &future.1).unwrap();
        assert!(files.look().is_none());
        clock.set("2030-06-01T00:00:00.000Z".parse().unwrap());
        assert!(files.look().is_some(), "its time has come");

        // Gone, and a link swapped in one step as some tools do it.
        fs::remove_file(&cert_file).unwrap();
        assert!(files.look().is_none());
        clock.set("2026-06-01T00:00:00.000Z".parse().unwrap());
        fs::write(folder.path().join("new.pem"), &pairs[1].0).unwrap();
        fs::write(&key_file, &pairs[1].1).unwrap();
        std::os::unix::fs::symlink("new.pem", &cert_file).unwrap();
        assert!(files.look().is_some());
        fs::write(&cert_file, vec![b'x'; 2 << 20]).unwrap();
        assert!(files.look().is_none(), "too large");
    }
}
