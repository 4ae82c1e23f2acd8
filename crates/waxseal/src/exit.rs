//! Exit statuses (UX 1.3), so that a service manager knows whether starting again may help.

/// Fine.
pub const OK: u8 = 0;
/// Failed while running; a restart may help.
pub const FAILED: u8 = 1;
/// The command line is wrong (clap's own status).
pub const USAGE: u8 = 2;
/// No such file.
pub const NO_INPUT: u8 = 66;
/// A port or the upstream is not available.
pub const UNAVAILABLE: u8 = 69;
/// Not permitted.
pub const NO_PERMISSION: u8 = 77;
/// The configuration is wrong.
pub const CONFIG: u8 = 78;

/// An error with the exit status it means.
#[derive(Debug)]
pub struct Failure {
    /// The status.
    pub status: u8,
    /// What to print.
    pub error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { status: FAILED, error: error.into() }
    }
}

impl Failure {
    /// An error with a status of its own.
    pub fn new(status: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { status, error: error.into() }
    }
}

/// What a command returns: its exit status or a failure.
pub type Outcome = Result<u8, Failure>;
