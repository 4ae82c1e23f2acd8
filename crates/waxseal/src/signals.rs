use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit;

/// Becomes true at the first TERM, INT or HUP (nothing is read again; a mail under way must not be cut off). A second one ends the program at once: the person means it.
///
/// # Errors
/// When the system does not let us listen for signals.
pub(crate) fn shutdown() -> std::io::Result<watch::Receiver<bool>> {
    let (begin, begun) = watch::channel(false);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        for signals in 1_u8.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if signals > 1 {
                tracing::warn!("ended by a second signal; what was under way is given up");
                std::process::exit(exit::FAILED.into());
            }
            tracing::info!("shutting down; a second signal ends at once");
            begin.send_replace(true);
        }
    });
    Ok(begun)
}
