//! The command line: which command was meant, what it said, and the exit code.
//!
//! Each command is a struct with its flags and a `run` that prints nothing: text and exit
//! code are values, so that a test needs no process. Exit codes are those of sysexits(3).

mod adopt;
mod change;
mod check;
mod config;
mod confirm;
mod drill;
mod events;
mod failover;
mod hold;
mod run;
mod status;
mod switchover;

use crate::config::ConfigError;
use clap::{Args, Parser, Subcommand};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

/// `EX_USAGE`: the command was used wrongly.
const USAGE: u8 = 64;

/// `EX_CONFIG`: says "fix the file", not "try again".
const CONFIG: u8 = 78;

/// A transparent, RESP-aware failover proxy for Redis and Valkey.
#[derive(Debug, Parser)]
#[command(name = "segue", version = VERSION, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The version, and the commit that it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SEGUE_COMMIT"), ")");

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Config(config::Effective),
    Status(status::Status),
    Events(events::Events),
    Switchover(switchover::Switchover),
    Adopt(adopt::Adoption),
    Failover(failover::Failover),
    Hold(hold::Hold),
    Release(hold::Release),
    Drill(Box<drill::Drill>),
}

/// The flag that all commands share.
#[derive(Args, Debug)]
pub(crate) struct ConfigFile {
    /// The configuration file.
    #[arg(long = "config", value_name = "FILE", default_value = "proxy.yaml")]
    pub(crate) path: PathBuf,
}

/// What a command that went well has to say on standard output.
pub(crate) type Outcome = Result<String, Failure>;

/// What a command that went wrong has to say on standard error, and its exit code.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) text: String,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { code: CONFIG, text: error.report() }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(Cli { command }) => command,
        Err(error) => return misunderstood(&error),
    };
    let outcome = match command {
        Command::Run(it) => it.run(),
        Command::Check(it) => it.run(),
        Command::Config(it) => it.run(),
        Command::Status(it) => it.run(),
        Command::Events(it) => it.run(),
        Command::Switchover(it) => it.run(),
        Command::Adopt(it) => it.run(),
        Command::Failover(it) => it.run(),
        Command::Hold(it) => it.run(),
        Command::Release(it) => it.run(),
        Command::Drill(it) => it.run(),
    };
    match outcome {
        Ok(text) => say(&mut io::stdout(), &text, ExitCode::SUCCESS),
        Err(Failure { code, text }) => say(&mut io::stderr(), &text, ExitCode::from(code)),
    }
}

/// Help and version are answers; everything else is a mistake. Clap itself would exit with 2,
/// which scripts cannot tell from a failure of the command.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
    error.print().map_or(ExitCode::FAILURE, |()| code)
}

fn say(stream: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    if text.is_empty() {
        return code;
    }
    // `println!` panics on a closed pipe, and `segue check | head` closes it.
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = write!(stream, "{text}{end}").and_then(|()| stream.flush());
    written.map_or(ExitCode::FAILURE, |()| code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn says_which_commit_it_is() {
        assert!(VERSION.starts_with("0."), "{VERSION}");
        assert!(VERSION.ends_with(')') && !VERSION.ends_with("()"), "{VERSION}");
    }

    #[test]
    fn what_is_said_ends_with_one_line_break() {
        for (text, expected) in [("", ""), ("a", "a\n"), ("a\n", "a\n"), ("a\nb", "a\nb\n")] {
            let mut stream = Vec::new();
            say(&mut stream, text, ExitCode::SUCCESS);
            assert_eq!(String::from_utf8(stream).unwrap(), expected);
        }
    }
}
