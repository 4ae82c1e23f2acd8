//! `waxseal demo`: the whole way of a mail on one computer, over real sockets, with nothing to set up.

mod comparing;
mod front_door;
mod house;
mod news;
mod office;
mod recipient;
mod samples;
mod script;

use tokio::sync::watch;

use crate::cli::DemoArgs;
use crate::exit::{self, Failure, Outcome};
use crate::output::say;
use crate::signals;
use house::DemoHouse;

/// Runs the demo until Ctrl-C, or, with `--script`, until it has shown what it can.
pub(crate) async fn demo(args: &DemoArgs) -> Outcome {
    let mut shutdown = signals::shutdown()?;
    let (stop, stopping) = watch::channel(false);
    let mut house = DemoHouse::open(args.keep.as_deref(), &stopping).await.map_err(unavailable)?;
    say(&house.welcome());
    let printing = news::print(house.store(), &house.office(), stopping.clone());

    let outcome = if args.script {
        tokio::select! {
            shown = script::play(&house) => shown,
            _ = shutdown.wait_for(|stop| *stop) => Err(anyhow::anyhow!("ended by a signal before the end")),
        }
    } else {
        show(args, &mut house, shutdown).await
    };
    stop.send_replace(true);
    // What is still to be said is said while there is a store to read it from.
    let _ = printing.await;
    let finished = house.close().await;
    outcome?;
    finished?;
    say(&house::last_words(args.keep.as_deref()));
    Ok(exit::OK)
}

async fn show(args: &DemoArgs, house: &mut DemoHouse, shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
    say("  Stop it with Ctrl-C.\n");
    house.seed().await?;
    let page = house.page();
    match std::env::var("SSH_CONNECTION") {
        Ok(connection) => say(&house.over_ssh(&connection)),
        Err(_) if !args.no_open => {
            // No browser is no reason to fail: the address is on the screen.
            if open::that_detached(&page).is_err() {
                say(&format!("  No browser could be started here; open {page} yourself.\n"));
            }
        }
        Err(_) => {}
    }
    house.serve_until(shutdown).await
}

fn unavailable(error: anyhow::Error) -> Failure {
    Failure::new(exit::UNAVAILABLE, error)
}
