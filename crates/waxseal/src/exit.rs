//! Exit statuses (UX 1.3), so that a service manager knows whether starting again may help.

/// Fine.
pub const OK: u8 = 0;
/// Failed while running; a restart may help.
pub const FAILED: u8 = 1;
/// The command line is wrong (clap's own status).
pub const USAGE: u8 = 2;
/// What was given is not of the form that was asked for.
pub const DATA: u8 = 65;
/// No such file.
pub const NO_INPUT: u8 = 66;
/// A port or the upstream is not available.
pub const UNAVAILABLE: u8 = 69;
/// It may work later.
pub const TEMPORARY: u8 = 75;
/// Not permitted.
pub const NO_PERMISSION: u8 = 77;
/// The configuration is wrong.
pub const CONFIG: u8 = 78;

/// An error with the exit status it means.
#[derive(Debug)]
pub struct Failure {
    /// The status.
    pub status: u8,
    /// What to print; nothing when it has been printed already.
    pub error: Option<anyhow::Error>,
}

/// What a command returns: its exit status or a failure.
pub type Outcome = Result<u8, Failure>;

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(FAILED, error)
    }
}

impl Failure {
    /// An error with a status of its own.
    pub fn new(status: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { status, error: Some(error.into()) }
    }

    /// A failure the person has been told of.
    pub fn told(status: u8) -> Self {
        Self { status, error: None }
    }

    /// Says what went wrong and what caused it, on standard error. Last on the screen.
    pub fn report(&self) {
        let Some(error) = &self.error else { return };
        // Somebody who closed our output ("| head") wants no complaint about it.
        let broken_pipe = error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
        if !broken_pipe {
            eprintln!("error: {error:#}");
        }
    }
}
