use std::io::IsTerminal;
use std::path::Path;

use crate::cli::{CheckArgs, Part};
use crate::config::{self, Config, ProblemKind};
use crate::exit::{self, Failure, Outcome};
use crate::wiring;

/// Finds every mistake in a configuration file; starts and changes nothing.
pub(crate) fn check(args: &CheckArgs) -> Outcome {
    let file = &args.config.config;
    match load(file, args.only) {
        Ok(config) => {
            if args.json {
                println!("[]");
            } else if !args.quiet {
                println!("{}: fine; {}", file.display(), wiring::summary(&config));
            }
            Ok(exit::OK)
        }
        Err(problems) if args.json => {
            println!("{}", problems.to_json());
            Err(Failure::told(exit_status(&problems)))
        }
        Err(problems) => Err(refused(&problems)),
    }
}

/// The configuration for a command that needs one; every mistake is printed.
pub(crate) fn read(file: &Path) -> Result<Config, Failure> {
    config::load(file).map_err(|problems| refused(&problems))
}

/// The same for a command that runs a part only.
pub(crate) fn read_for(file: &Path, only: Option<Part>) -> Result<Config, Failure> {
    load(file, only).map_err(|problems| refused(&problems))
}

fn load(file: &Path, only: Option<Part>) -> Result<Config, config::Problems> {
    if only == Some(Part::Track) { config::load_for_tracking(file) } else { config::load(file) }
}

fn refused(problems: &config::Problems) -> Failure {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    eprint!("{}", problems.render(colours));
    Failure::told(exit_status(problems))
}

fn exit_status(problems: &config::Problems) -> u8 {
    match problems.kind() {
        ProblemKind::NotFound => exit::NO_INPUT,
        ProblemKind::NoPermission => exit::NO_PERMISSION,
        ProblemKind::Config => exit::CONFIG,
    }
}
