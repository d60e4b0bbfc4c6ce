//! `segue status`.
//!
//! Exit codes: 0 when Segue answered, whatever it said (a group without a primary is not
//! Segue's failure, and a container must not be restarted for it: that is what `/readyz` is
//! for); 69 (`EX_UNAVAILABLE`) when it cannot be reached or does not answer; 77
//! (`EX_NOPERM`) without its token; 78 when the configuration file cannot be used.

use super::{Failure, Outcome};
use crate::config::Config;
use crate::ops::client::{Address, Client, ClientError};
use crate::ops::status::Status as Report;
use clap::Args;
use secrecy::SecretString;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

mod table;

/// `EX_UNAVAILABLE`: nobody there, or nobody who answers.
pub(super) const UNAVAILABLE: u8 = 69;

/// `EX_OSERR`: this machine cannot even ask.
pub(super) const OS_ERROR: u8 = 71;

/// `EX_NOPERM`: somebody there, who does not answer us.
pub(super) const NO_PERMISSION: u8 = 77;

/// `EX_NOINPUT`: a file that a flag names cannot be read.
pub(super) const NO_INPUT: u8 = 66;

/// How often `--watch` asks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Cursor to the top left corner, everything erased (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Which Segue is asked.
#[derive(Args, Debug)]
pub(super) struct Target {
    /// The configuration of the Segue to ask; its control.address is where it is asked.
    #[arg(long, value_name = "FILE", default_value = "proxy.yaml")]
    config: PathBuf,
    /// Where to ask instead: unix:/path or host:port.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    control: Option<Address>,
    /// The file with the token, for host:port.
    #[arg(long, value_name = "FILE", requires = "control")]
    token_file: Option<PathBuf>,
}

impl Target {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let Some(address) = &self.control else {
            let config = Config::load_for_control(&self.config)?;
            let control = config.control();
            return Ok(Client::new(control.address().into(), control.token().cloned()));
        };
        let Some(path) = &self.token_file else { return Ok(Client::new(address.clone(), None)) };
        let token = fs::read_to_string(path).map_err(|error| Failure {
            code: NO_INPUT,
            text: format!("{}: cannot be read: {error}", path.display()),
        })?;
        Ok(Client::new(address.clone(), Some(SecretString::from(token.trim_end()))))
    }
}

impl Target {
    /// The configuration file, unless the address of the control socket was given instead.
    pub(super) fn config(&self) -> Option<&Path> {
        self.control.is_none().then_some(self.config.as_path())
    }
}

/// What the commands that ask do it with.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(|error| Failure {
        code: OS_ERROR,
        text: format!("cannot start a runtime: {error}"),
    })
}

/// Show the nodes, their roles and lag, the sessions, and what is held.
///
/// Exits with 0 if Segue answers, whether or not there is a primary; with 69 if it does not.
#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    target: Target,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
    /// Ask again every second until interrupted.
    #[arg(long)]
    watch: bool,
}

impl Status {
    pub(super) fn run(self) -> Outcome {
        let client = self.target.client()?;
        let runtime = runtime()?;
        if self.watch {
            self.watch(&client, &runtime, &mut io::stdout(), WATCH_EVERY);
            return Ok(String::new());
        }
        let report = runtime.block_on(client.status()).map_err(|error| failure(&error))?;
        Ok(self.render(&report))
    }

    /// Shows one answer after the other until nobody reads them. A Segue that does not
    /// answer is shown as well: whoever watches a restart wants to see its end.
    fn watch(&self, client: &Client, runtime: &Runtime, output: &mut impl Write, every: Duration) {
        let clear = if self.json { "" } else { CLEAR };
        loop {
            let text = match runtime.block_on(client.status()) {
                Ok(report) => self.render(&report),
                // A line of JSON or none: scripts that follow must be able to read all.
                Err(_) if self.json => String::new(),
                Err(error) => failure(&error).text,
            };
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            let written = write!(output, "{clear}{text}{end}").and_then(|()| output.flush());
            if written.is_err() {
                return;
            }
            thread::sleep(every);
        }
    }

    fn render(&self, report: &Report) -> String {
        let json = match (self.json, self.watch) {
            (false, _) => return table::render(report),
            (true, false) => serde_json::to_string_pretty(report),
            (true, true) => serde_json::to_string(report),
        };
        json.expect("a status has no map whose keys are not text")
    }
}

/// The error, its causes, and what to do.
pub(super) fn failure(error: &ClientError) -> Failure {
    let code = match error {
        ClientError::Unreachable { .. }
        | ClientError::Timeout { .. }
        | ClientError::Nonsense { .. } => UNAVAILABLE,
        ClientError::Unauthorized { .. } => NO_PERMISSION,
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        text.push_str(": ");
        text.push_str(&it.to_string());
        cause = it.source();
    }
    Failure { code, text: format!("{text}\n{}", error.advice()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;
    use std::os::unix::net::UnixListener;

    fn status(control: &Path) -> Status {
        Status {
            target: Target {
                config: PathBuf::from("proxy.yaml"),
                control: Some(Address::Unix(control.to_owned())),
                token_file: None,
            },
            json: false,
            watch: false,
        }
    }

    #[test]
    fn nobody_there_is_unavailable_and_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("segue.sock");
        let failure = status(&path).run().expect_err("nobody is there");
        assert_eq!(failure.code, UNAVAILABLE);
        let expected = format!(
            "cannot reach Segue at unix:{}: No such file or directory (os error 2)\n\
             Is it running? Name its configuration with --config, or its control.address with \
             --control.",
            path.display()
        );
        assert_eq!(failure.text, expected);
    }

    #[test]
    fn a_stale_socket_is_unavailable_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("segue.sock");
        drop(UnixListener::bind(&path).expect("binds"));
        assert_eq!(status(&path).run().expect_err("nobody is there").code, UNAVAILABLE);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_from_a_segue_that_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut status = status(dir.path());
        status.target.token_file = Some(dir.path().join("token"));
        assert_eq!(status.run().expect_err("no token file").code, NO_INPUT);
        let status = Status {
            target: Target {
                config: dir.path().join("proxy.yaml"),
                control: None,
                token_file: None,
            },
            json: false,
            watch: false,
        };
        assert_eq!(status.run().expect_err("no configuration").code, 78);
    }

    /// A pipe whose reader closes it after some lines.
    struct Pipe {
        written: String,
        lines_left: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.written.push_str(&String::from_utf8_lossy(text));
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.lines_left = self.lines_left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(())
        }
    }

    #[test]
    fn a_watch_goes_on_until_nobody_reads_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut status = status(&dir.path().join("segue.sock"));
        status.watch = true;
        let runtime = Builder::new_current_thread().enable_all().build().expect("builds");
        let client = status.target.client().expect("an address is enough");
        let watched = |status: &Status| {
            let mut pipe = Pipe { written: String::new(), lines_left: 2 };
            status.watch(&client, &runtime, &mut pipe, Duration::ZERO);
            pipe.written
        };
        let text = watched(&status);
        assert_eq!(text.matches(CLEAR).count(), 3, "{text}");
        assert_eq!(text.matches("cannot reach Segue").count(), 3, "{text}");
        status.json = true;
        assert_eq!(watched(&status), "", "nothing but JSON");
    }

    #[test]
    fn flags_that_contradict_are_refused() {
        let parses = |flags: &[&str]| Cli::try_parse_from([&["segue", "status"], flags].concat());
        assert!(parses(&[]).is_ok());
        assert!(parses(&["--control", "unix:/run/segue.sock", "--json", "--watch"]).is_ok());
        assert!(parses(&["--control", "localhost:1", "--token-file", "token"]).is_ok());
        assert!(parses(&["--control", "nonsense"]).is_err());
        assert!(parses(&["--control", "localhost:1", "--config", "proxy.yaml"]).is_err());
        assert!(parses(&["--token-file", "token"]).is_err(), "with a file it stands there");
    }
}
