//! Command line, configuration, wiring, signals.
//!
//! [`main`] reads the command line and calls one function a command. `run` reads downward: read the
//! configuration, build the house, open the doors, serve, drain.

mod cli;
pub mod config;
pub mod exit;

mod certificates;
mod doors;
mod house;
mod ingest;
mod key_file;
mod logging;
mod rule_book;
mod run;
mod signals;
mod wiring;

mod backstage;
mod check;
mod damaged;
mod demo;
mod events;
mod forgetting;
mod keys_command;
mod messages;
mod output;
mod preview;
mod purging;
mod queue;
mod revoke;
mod sender;
mod suppress;
mod token;
mod upstream_command;

mod app_password;

mod intel;
mod verdict;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use exit::{Failure, Outcome};

/// The whole program.
pub fn main() -> ExitCode {
    // Before anything may speak TLS: decision 0005.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let Some(command) = cli.command else {
        let _ = Cli::command().print_help();
        return Ok(exit::OK);
    };
    match command {
        Command::Demo(args) => in_runtime(demo::demo(&args)),
        Command::Run(args) => in_runtime(run::run(&args)),
        Command::Check(args) => check::check(&args),
        Command::Preview(args) => preview::preview(&args),
        Command::Messages(args) => in_runtime(messages::messages(&args)),
        Command::Events(args) => in_runtime(events::events(&args)),
        Command::Ingest(args) => in_runtime(ingest::ingest(&args)),
        Command::Verdict(args) => verdict::verdict(&args),
        Command::Intel(command) => intel::intel(command),
        Command::Queue(command) => in_runtime(queue::queue(command)),
        Command::Token(command) => in_runtime(token::token(command)),
        Command::Upstream(command) => in_runtime(upstream_command::upstream(command)),
        Command::Sender(command) => in_runtime(sender::sender(command)),
        Command::Keys(command) => keys_command::keys(command),
        Command::Suppress(command) => in_runtime(suppress::suppress(command)),
        Command::Purge(args) => in_runtime(purging::command(&args)),
        Command::Forget(args) => in_runtime(forgetting::forget(&args)),
        Command::Export(args) => in_runtime(forgetting::export(&args)),
        Command::Revoke(args) => in_runtime(revoke::revoke(&args)),
    }
}

fn in_runtime(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(exit::FAILED, anyhow::Error::new(error).context("no runtime could be started"))
    })?;
    let outcome = runtime.block_on(command);
    // A thread that hangs in a system call must not keep the program from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}
