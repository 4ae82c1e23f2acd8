use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::forms::{is_file_name, is_hostname};

/// What a configuration means depends on this, besides its text.
pub(super) struct Surroundings<'a> {
    /// What the file is called, for the command that would set its mode right.
    pub file: &'a str,
    /// The folder that relative paths start from.
    pub base: &'a Path,
    /// May everybody on this machine read the file?
    pub readable_by_all: bool,
    /// Mail goes out from here, so there has to be an upstream.
    pub hands_on: bool,
    /// An environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
}

/// Keys, certificates and passwords are shorter, even bundles of every authority there is.
const LARGEST_FILE_OCTETS: u64 = 4 << 20;

impl Surroundings<'_> {
    /// The path from here; absolute ones stay.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// What stands in a file, or in a few words why that cannot be told.
    pub(super) fn read(&self, path: &Path) -> Result<String, &'static str> {
        let path = self.path(path);
        // Opening a pipe would wait for somebody to write into it.
        if fs::metadata(&path).map_err(|error| why(&error))?.is_file() {
            let octets = read_at_most(&path, LARGEST_FILE_OCTETS).map_err(|error| why(&error))?;
            return String::from_utf8(octets).map_err(|_| "it holds something else than text");
        }
        Err("it is not a file")
    }

    /// The value of an environment variable, or why there is none.
    pub(super) fn variable(&self, name: &str) -> Result<String, &'static str> {
        // Neither can be in a name, and asking the system for one may panic.
        if name.contains(['=', '\0']) {
            return Err("not the name of an environment variable");
        }
        let value = (self.environment)(name).ok_or("there is no such environment variable")?;
        value.into_string().map_err(|_| "it holds something else than text")
    }

    /// What a systemd credential holds (systemd.io/CREDENTIALS), or why that cannot be told.
    pub(super) fn credential(&self, name: &str) -> Result<String, &'static str> {
        if !is_file_name(name) {
            return Err("not the name of a credential");
        }
        let folder = (self.environment)("CREDENTIALS_DIRECTORY")
            .ok_or("there are no credentials: systemd did not set CREDENTIALS_DIRECTORY")?;
        self.read(&Path::new(&folder).join(name))
    }
}

fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file",
        io::ErrorKind::PermissionDenied => "we may not read it",
        io::ErrorKind::NotADirectory => "a part of its path is not a folder",
        io::ErrorKind::FileTooLarge => "it is too large",
        _ => "it cannot be read",
    }
}

fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_whole(&File::open(path)?, most)
}

/// # Errors
/// [`io::ErrorKind::FileTooLarge`] when there is more than `most` octets.
pub(super) fn read_whole(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut octets)?;
    if u64::try_from(read).is_ok_and(|read| read > most) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(octets)
}

/// The system's host name, if it is one that a greeting can carry.
pub(super) fn system_host_name() -> String {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .filter_map(|path| read_at_most(Path::new(path), 1_024).ok())
        .filter_map(|octets| String::from_utf8(octets).ok())
        .map(|name| name.trim().to_owned())
        .find(|name| is_hostname(name))
        .unwrap_or_else(|| "localhost".to_owned())
}
