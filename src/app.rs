//! Joins the planes: threads, channels, and the end of the process.

use crate::config::Config;
use thiserror::Error;

/// Why the process ended before it was told to.
#[derive(Debug, Error)]
pub enum Error {
    /// Not every part of the process exists yet.
    #[error("there is nothing to run yet for {listens} listeners")]
    Incomplete {
        /// How many were asked for.
        listens: usize,
    },
}

impl Error {
    /// The exit code of sysexits(3).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Incomplete { .. } => 70,
        }
    }
}

/// Runs the proxy until it is told to stop.
///
/// # Errors
///
/// If something that it cannot do without is missing.
pub fn run(config: Config) -> Result<(), Error> {
    Err(Error::Incomplete { listens: config.listen().len() })
}
