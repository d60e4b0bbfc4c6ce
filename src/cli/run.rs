//! `segue run`.

use super::{ConfigFile, Failure, Outcome};
use crate::{app, config::Config, ops::drain::Drained};
use clap::Args;
use std::error::Error;

/// Run the proxy until it is told to stop.
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigFile,
}

impl Run {
    pub(super) fn run(self) -> Outcome {
        let config = Config::load(&self.config.path)?;
        let drained = app::run(&config).map_err(|error| {
            let advice = error.advice().map(|it| format!("\n{it}")).unwrap_or_default();
            Failure { code: error.exit_code(), text: chain(&error) + &advice }
        })?;
        match drained {
            Drained::Finished | Drained::TimedOut => Ok(String::new()),
            Drained::Forced(stop) => {
                let text = "stopped at once, as asked".to_owned();
                Err(Failure { code: stop.exit_code(), text })
            }
        }
    }
}

/// The error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        text.push_str(": ");
        text.push_str(&it.to_string());
        cause = it.source();
    }
    text
}
