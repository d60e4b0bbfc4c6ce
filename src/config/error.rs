//! Why a configuration file could not be used.

use super::problems::{Mark, Problem, Problems};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// A thousand times the shipped file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why a configuration file could not be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// There is no such file, or it cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it says cannot be used. One line a problem, as `file:line:column: key: text`.
    #[error("{}", Listing { path, problems })]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        problems: Problems,
    },
}

impl ConfigError {
    /// Every line of what a person should read about it, the causes included.
    pub fn report(&self) -> String {
        match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                format!("{self}: {source}\nName the configuration file with --config.")
            }
            Self::Unreadable { source, .. } => format!("{self}: {source}"),
            Self::Invalid { problems, .. } => {
                let count = problems.iter().len();
                let plural = if count == 1 { "" } else { "s" };
                format!("{self}\n{count} problem{plural}")
            }
        }
    }
}

/// One line of a report: where in `file`, and what.
pub(super) fn line(path: &Path, problem: &Problem) -> String {
    format!("{}:{problem}", path.display())
}

/// Reads the file at `path` and makes something of it.
pub(super) fn read<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, Problems>,
) -> Result<T, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let about = fs::metadata(path).map_err(unreadable)?;
    if about.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let parsed = match String::from_utf8(bytes) {
        Ok(text) => parse(&text),
        Err(error) => Err(not_text(error.as_bytes(), error.utf8_error().valid_up_to())),
    };
    parsed.map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
}

fn not_text(bytes: &[u8], valid: usize) -> Problems {
    let good = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let before = good.split('\n').next_back().unwrap_or_default();
    let at =
        Mark { line: good.split('\n').count(), column: before.chars().count().saturating_add(1) };
    Problems::one(Problem::new(at, "", "is not text in UTF-8"))
}

struct Listing<'a> {
    path: &'a Path,
    problems: &'a Problems,
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.problems.iter().map(|it| line(self.path, it)).collect();
        f.write_str(&lines.join("\n"))
    }
}
