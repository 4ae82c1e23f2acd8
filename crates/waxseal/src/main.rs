//! The `waxseal` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    waxseal::main()
}
