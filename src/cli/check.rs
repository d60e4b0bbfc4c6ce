//! `segue check`.

use super::{ConfigFile, Outcome};
use crate::config::Config;
use clap::Args;
use std::fmt::Write;

/// Check a configuration file and say everything that is wrong with it.
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// Do not read the password and token files that it names.
    #[arg(long)]
    without_secrets: bool,
}

impl Check {
    pub(super) fn run(self) -> Outcome {
        let path = &self.config.path;
        let config = if self.without_secrets {
            Config::load_without_secrets(path)?
        } else {
            Config::load(path)?
        };
        let file = path.display();
        let mut text = String::new();
        for warning in config.warnings() {
            let (at, key, what) = (warning.at(), warning.key(), warning.text());
            // Writing to a string does not fail.
            let _ = writeln!(text, "{file}:{at}: warning: {key}: {what}");
        }
        let _ = match config.warnings().len() {
            0 => write!(text, "{file}: ok"),
            1 => write!(text, "{file}: ok, with 1 warning"),
            many => write!(text, "{file}: ok, with {many} warnings"),
        };
        Ok(text)
    }
}
