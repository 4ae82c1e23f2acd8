use std::io::IsTerminal;
use std::path::Path;

use envelope::{Clock, SystemClock};
use serde_json::json;

use crate::certificates::{self, Finding};
use crate::cli::{CheckArgs, Part};
use crate::config::{self, Config, ProblemKind, Problems};
use crate::exit::{self, Failure, Outcome};
use crate::wiring;

/// Finds every mistake in a configuration file and in the certificates it names; starts and changes nothing.
pub(crate) fn check(args: &CheckArgs) -> Outcome {
    let file = &args.config.config;
    let problems = match load(file, args.only) {
        Err(problems) => problems,
        Ok(config) => {
            let (mistakes, notes): (Vec<_>, Vec<_>) = certificates::findings(&config, SystemClock.now())
                .into_iter()
                .partition(|finding| finding.is_mistake);
            let mistakes = mistakes.into_iter().map(|found| (found.message, found.key, found.help));
            let Some(problems) = Problems::of_files(file, mistakes.collect()) else {
                fine(args, &config, &notes);
                return Ok(exit::OK);
            };
            problems
        }
    };
    if args.json {
        println!("{}", problems.to_json());
        return Err(Failure::told(exit_status(&problems)));
    }
    Err(refused(&problems))
}

fn fine(args: &CheckArgs, config: &Config, notes: &[Finding]) {
    let file = args.config.config.display();
    if args.json {
        let notes: serde_json::Value = notes
            .iter()
            .map(|note| {
                json!({
                    "level": "note", "message": note.message, "key": note.key, "file": file.to_string(),
                    "line": null, "column": null, "note": null, "help": note.help,
                })
            })
            .collect();
        println!("{notes}");
    } else if !args.quiet {
        println!("{file}: fine; {}", wiring::summary(config));
        for Finding { message, help, .. } in notes {
            println!("note: {message}{}", help.as_ref().map(|help| format!("; {help}")).unwrap_or_default());
        }
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
