use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use seal::Keys;

/// Reads the signing keys, or makes them on the first run with mode 0600.
///
/// # Errors
/// When the file cannot be read or made, is not a key file, or others may read it. Never makes a new
/// one in place of one that is there: old links would die with it.
pub(crate) fn read_or_make(path: &Path) -> anyhow::Result<Keys> {
    if path.try_exists().unwrap_or(true) { read(path) } else { make(path) }
}

fn read(path: &Path) -> anyhow::Result<Keys> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the signing keys in {}", path.display()))?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("{} may be read by others; run: chmod 600 {}", path.display(), path.display());
    }
    Keys::parse(&text).with_context(|| format!("{} is not a key file", path.display()))
}

fn make(path: &Path) -> anyhow::Result<Keys> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|e| anyhow::anyhow!("the system gives no random octets: {e}"))?;
    write(path, &Keys::generate(secret).to_text())
        .with_context(|| format!("cannot make the signing keys in {}", path.display()))?;
    tracing::info!(file = %path.display(), "made new signing keys: keep them in every backup");
    // Read back: should another process have made some at the same moment, those are the ones on disk.
    read(path)
}

/// Whole or not at all, and on disk before the first link is signed with it. A file that is there by now stays.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // Unlike a rename, a link never takes the place of what another process has put there meanwhile.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(folder)?.sync_all()
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
}
