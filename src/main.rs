//! The `segue` binary: hands the command line to [`segue::cli`] and its exit code to the shell.

use std::process::ExitCode;

fn main() -> ExitCode {
    segue::cli::main()
}
