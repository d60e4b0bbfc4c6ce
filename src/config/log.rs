//! `log:`, how much is logged and in which form.

use super::{human, section::Section};
use serde::Serialize;

/// How much is logged and in which form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Log {
    level: LogLevel,
    format: LogFormat,
}

/// The least serious events that are still logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// A person must act now.
    Error,
    /// Degraded, recovering.
    Warn,
    /// What an operator asked for or will look for later.
    Info,
    /// Each session.
    Debug,
    /// Each request.
    Trace,
}

impl LogLevel {
    /// Its name, as in the file and as `tracing` reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    /// The least serious events that are still logged.
    pub const fn level(&self) -> LogLevel {
        self.level
    }

    /// The form of a line.
    pub const fn format(&self) -> LogFormat {
        self.format
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        use LogLevel::{Debug, Error, Info, Trace, Warn};
        let shipped = Self::default();
        Self {
            level: section.or("level", shipped.level, |text| {
                human::choice(text, &[Error, Warn, Info, Debug, Trace].map(|it| (it.name(), it)))
            }),
            format: section.or("format", shipped.format, |text| {
                human::choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
            }),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Text }
    }
}
