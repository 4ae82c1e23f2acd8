use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::Config;

/// Where keys and certificates that we made or were given are kept: beside the keys that sign links.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn of(config: &Config) -> Self {
        let keys = config.store.signing_key_file.parent();
        Self(keys.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(".")).join("tls"))
    }

    #[cfg(test)]
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes it, for nobody but us.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .with_context(|| format!("cannot make the folder {}", self.0.display()))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// `None` when it is not there.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)) {
            Ok(octets) => Ok(Some(octets)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a file in the place of the one before: whole or not at all, on disk when this returns, for nobody
    /// but us to read.
    pub(crate) fn write(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        let draft = self.path(&format!("{name}.new-{}", std::process::id()));
        let written = (|| {
            let _ = fs::remove_file(&draft);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(octets)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.0)?.sync_all()
        })();
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// Whether or not it was there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn written_whole_and_private() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::at(&scratch.path().join("a/tls"));
        folder.make().unwrap();
        folder.make().unwrap();
        assert_eq!(folder.read("x.pem").unwrap(), None);
        for text in [b"one".as_slice(), b"two"] {
            folder.write("x.pem", text).unwrap();
            assert_eq!(folder.read("x.pem").unwrap().unwrap(), text);
        }
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path("x.pem")), mode(folder.path(""))), (0o600, 0o700));
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1, "no draft is left");
        folder.remove("x.pem").unwrap();
        folder.remove("x.pem").unwrap();
        assert_eq!(folder.read("x.pem").unwrap(), None);
    }
}
