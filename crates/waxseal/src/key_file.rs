use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use envelope::{Clock, SystemClock};
use seal::Keys;

/// Reads the signing keys, or makes them on the first run with mode 0600.
///
/// # Errors
/// When the file cannot be read or made, is not a key file, or others may read it. Never makes a new
/// one in place of one that is there: old links would die with it.
pub(crate) fn read_or_make(path: &Path) -> anyhow::Result<Keys> {
    if path.try_exists().unwrap_or(true) { read(path) } else { make(path) }
}

/// Reads the signing keys, which have to be there.
pub(crate) fn read(path: &Path) -> anyhow::Result<Keys> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the signing keys in {}", path.display()))?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("{} may be read by others; run: chmod 600 {}", path.display(), path.display());
    }
    Keys::parse(&text).with_context(|| format!("{} is not a key file", path.display()))
}

/// 32 octets nobody can guess.
pub(crate) fn secret() -> anyhow::Result<[u8; 32]> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|e| anyhow::anyhow!("the system gives no random octets: {e}"))?;
    Ok(secret)
}

/// The key file while one process changes it: another one that would too waits.
pub(crate) struct Changing {
    path: PathBuf,
    /// The system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl Changing {
    /// # Errors
    /// When the lock file beside it cannot be made.
    pub(crate) fn begin(path: &Path) -> anyhow::Result<Self> {
        // A link of the operator's to where the keys really are stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        fs::create_dir_all(folder_of(&path))?;
        let beside = with_suffix(&path, "lock");
        let open = || {
            // With the folder's own owner in mind: the lock is nobody's secret and holds nothing.
            let lock =
                OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&beside)?;
            lock.lock()?;
            Ok::<_, io::Error>(lock)
        };
        let lock = open().with_context(|| format!("cannot lock {}", beside.display()))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where the keys really are.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there now; `None`: nothing.
    pub(crate) fn keys(&self) -> anyhow::Result<Option<Keys>> {
        if self.path.try_exists().unwrap_or(true) { read(&self.path).map(Some) } else { Ok(None) }
    }

    /// Puts `keys` in the place of what is there, whole or not at all, and keeps what was there beside it, under
    /// the name that it returns.
    pub(crate) fn replace(&self, keys: &Keys) -> anyhow::Result<Option<PathBuf>> {
        let replaced = || {
            let owner = fs::metadata(&self.path).ok().map(|file| (file.uid(), file.gid()));
            let backup = match owner {
                None => None,
                Some(owner) => {
                    let backup = with_suffix(&self.path, "bak");
                    let draft = draft(&backup, &fs::read_to_string(&self.path)?, Some(owner))?;
                    fs::rename(&draft, &backup)?;
                    Some(backup)
                }
            };
            let draft = draft(&self.path, &keys.to_text(), owner)?;
            fs::rename(&draft, &self.path)?;
            File::open(folder_of(&self.path))?.sync_all()?;
            Ok::<_, io::Error>(backup)
        };
        replaced().with_context(|| format!("cannot write the signing keys to {}", self.path.display()))
    }
}

fn make(path: &Path) -> anyhow::Result<Keys> {
    write(path, &Keys::generate_at(secret()?, SystemClock.now()).to_text())
        .with_context(|| format!("cannot make the signing keys in {}", path.display()))?;
    tracing::info!(file = %path.display(), "made new signing keys: keep them in every backup");
    // Read back: should another process have made some at the same moment, those are the ones on disk.
    read(path)
}

/// Whole or not at all, and on disk before the first link is signed with it. A file that is there by now stays.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    let draft = draft(path, text, None)?;
    // Unlike a rename, a link never takes the place of what another process has put there meanwhile.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(folder)?.sync_all()
}

/// A file beside `path` with this text in it, on disk; `owner`'s, where root writes for somebody else.
fn draft(path: &Path, text: &str, owner: Option<(u32, u32)>) -> io::Result<PathBuf> {
    let draft = with_suffix(path, &format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.metadata()?;
    if let Some((user, group)) = owner
        && (user, group) != (written.uid(), written.gid())
    {
        // The service could not read what root left it, and would not begin again.
        chown(&draft, Some(user), Some(group))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(draft)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `links.key.bak` of `links.key`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_kept_private_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/links.key");
        let made = read_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_make(&path).unwrap().to_text(), made.to_text());

        write(&path, "another process's").unwrap();
        assert_eq!(read_or_make(&path).unwrap().to_text(), made.to_text(), "the first that is there stays");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_or_make(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "garbage").unwrap();
        assert!(read_or_make(&path).is_err(), "a damaged file is never replaced");
        assert_eq!(fs::read_to_string(&path).unwrap(), "garbage");
    }

    #[test]
    fn what_takes_its_place_is_whole_private_and_leaves_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.key");
        let before = read_or_make(&real).unwrap().to_text();
        let path = folder.path().join("links.key");
        std::os::unix::fs::symlink(&real, &path).unwrap();
        // What a process that was killed in the middle of it left.
        fs::write(with_suffix(&real, &format!("new-{}", std::process::id())), "half a k").unwrap();

        let changing = Changing::begin(&path).unwrap();
        let mut keys = changing.keys().unwrap().unwrap();
        keys.rotate([9; 32]);
        let backup = changing.replace(&keys).unwrap().unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink(), "the operator's link stays");
        assert_eq!(read(&path).unwrap().to_text(), keys.to_text());
        assert_eq!(fs::read_to_string(&backup).unwrap(), before);
        for file in [&real, &backup] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["links.key", "real.key", "real.key.bak", "real.key.lock"]);
    }

    /// Without the lock the last one to write would have thrown away what the others added.
    #[test]
    fn those_who_change_it_at_once_lose_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("links.key");
        read_or_make(&path).unwrap();
        std::thread::scope(|scope| {
            for n in 0..16 {
                let path = &path;
                scope.spawn(move || {
                    let changing = Changing::begin(path).unwrap();
                    let mut keys = changing.keys().unwrap().unwrap();
                    keys.rotate([n; 32]);
                    changing.replace(&keys).unwrap();
                });
            }
        });
        assert_eq!(read(&path).unwrap().list().len(), 17);
    }
}
