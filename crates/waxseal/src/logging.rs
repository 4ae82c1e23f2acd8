use std::io::IsTerminal;

use relay::event::{Addresses, show_addresses};
use tracing_subscriber::EnvFilter;

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Colours on a terminal, plain text elsewhere.
    Auto,
    /// Plain text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends the log to standard error. `level` is one of tracing's words; `WAXSEAL_LOG` takes its place.
pub(crate) fn begin(level: &str, format: Format, addresses: Addresses) {
    show_addresses(addresses);
    let filter = std::env::var("WAXSEAL_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(level));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second call (tests) changes nothing.
    let _ = match format {
        Format::Json => log.json().flatten_event(true).try_init(),
        Format::Text => log.with_ansi(false).try_init(),
        Format::Auto => log.with_ansi(colours).try_init(),
    };
}
