//! `segue config`.

use super::{ConfigFile, Outcome};
use crate::config::Config;
use clap::Args;

/// Show the effective configuration: every key with its value, without secrets.
#[derive(Args, Debug)]
pub(super) struct Effective {
    #[command(flatten)]
    config: ConfigFile,
}

impl Effective {
    pub(super) fn run(self) -> Outcome {
        // No secret is shown, so none is needed.
        Ok(Config::load_without_secrets(&self.config.path)?.to_yaml())
    }
}
