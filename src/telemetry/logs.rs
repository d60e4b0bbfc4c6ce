//! Logs: one line an event, text or JSON, to standard error.
//!
//! Lines go through a bounded queue to a thread of their own: a log pipe that nobody reads
//! must not stop a worker. What does not fit is dropped and counted
//! (`segue_log_lines_dropped_total`). Transitions of the group are kept as well; see `recent`.
//!
//! # Deliberately absent
//!
//! No filter from the environment: `log.level` is the one place where the level stands.
//! No log files and no rotation: whoever starts Segue owns its standard error.

use super::recent::{JOURNAL, Recent};
use crate::config::{Log, LogFormat, LogLevel};
use std::io::{self, IsTerminal, Write};
use tracing::Dispatch;
use tracing::dispatcher::{SetGlobalDefaultError, set_global_default};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// Lines that may wait to be written: under 1 MB at some 200 bytes a line, and more than
/// a failover of a thousand sessions logs at DEBUG.
const LINES_MAX: usize = 4_096;

/// Keeps the writer alive: when it goes, what is queued is written and logging ends.
#[derive(Debug)]
#[must_use = "dropping it ends logging"]
pub struct Logs {
    dropped: Dropped,
    recent: Recent,
    _writer: WorkerGuard,
}

/// How many lines were lost. The default counts nothing: logging was never set up.
#[derive(Clone, Default)]
pub struct Dropped(Option<ErrorCounter>);

impl Dropped {
    /// Lines lost so far.
    pub fn lines(&self) -> usize {
        self.0.as_ref().map_or(0, ErrorCounter::dropped_lines)
    }
}

impl std::fmt::Debug for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dropped").field(&self.lines()).finish()
    }
}

impl Logs {
    /// The counter of lost lines.
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }

    /// The last transitions of the group.
    pub fn recent(&self) -> Recent {
        self.recent.clone()
    }
}

/// Sends the logs of the whole process to standard error.
///
/// # Errors
///
/// If something else has claimed the logs of this process.
pub fn init(config: Log) -> Result<Logs, SetGlobalDefaultError> {
    let (writer, logs) = writer(io::stderr());
    let colour = io::stderr().is_terminal();
    let recent = logs.recent();
    set_global_default(dispatch(config.level(), config.format(), colour, writer, recent))?;
    Ok(logs)
}

fn writer(output: impl Write + Send + 'static) -> (NonBlocking, Logs) {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("logs")
        .finish(output);
    let dropped = Dropped(Some(writer.error_counter()));
    (writer, Logs { dropped, recent: Recent::default(), _writer: guard })
}

fn dispatch(
    level: LogLevel,
    format: LogFormat,
    colour: bool,
    writer: NonBlocking,
    recent: Recent,
) -> Dispatch {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(colour).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Each with a filter of its own: a quiet log does not make the memory forget.
    let journal = Targets::new().with_target(JOURNAL, LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(lines.with_filter(level))
        .with(recent.with_filter(journal))
        .into()
}

#[cfg(test)]
mod tests {
    use super::super::recent::KEPT_MAX;
    use super::*;
    use std::sync::mpsc;
    use tracing::{debug, dispatcher, info, warn};

    /// Hands what is written to a test.
    struct Sent(mpsc::Sender<Vec<u8>>);

    impl Write for Sent {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(level: LogLevel, format: LogFormat, log: impl FnOnce()) -> String {
        let (sender, receiver) = mpsc::channel();
        let (writer, logs) = writer(Sent(sender));
        let recent = logs.recent();
        dispatcher::with_default(&dispatch(level, format, false, writer, recent), log);
        // Writes what is queued, and drops the sender.
        drop(logs);
        String::from_utf8(receiver.iter().flatten().collect()).expect("text")
    }

    #[test]
    fn a_text_line_has_level_phrase_and_fields() {
        let text = lines(LogLevel::Info, LogFormat::Text, || {
            warn!(node = "a", "Primary is suspect");
            debug!("Session closed");
        });
        assert!(text.contains(" WARN "), "{text}");
        assert!(text.ends_with("Primary is suspect node=\"a\"\n"), "{text}");
        assert_eq!(text.lines().count(), 1, "nothing below the level: {text}");
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields_on_top() {
        let text = lines(LogLevel::Debug, LogFormat::Json, || info!(epoch = 7, "Failed over"));
        let line: serde_json::Value = serde_json::from_str(&text).expect("one object");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "Failed over");
        assert_eq!(line["epoch"], 7);
    }

    #[test]
    fn transitions_are_kept_whatever_the_level_and_nothing_else_is() {
        let (sender, receiver) = mpsc::channel();
        let (writer, logs) = writer(Sent(sender));
        let recent = logs.recent();
        let quiet = dispatch(LogLevel::Error, LogFormat::Text, false, writer, recent.clone());
        dispatcher::with_default(&quiet, || {
            for epoch in 0..=KEPT_MAX {
                info!(target: JOURNAL, epoch, primary = "b", reason = %"why", "Failed over");
            }
            debug!(target: JOURNAL, "too much");
            warn!("Session closed");
        });
        drop((logs, quiet));
        assert_eq!(receiver.iter().count(), 0, "none of it is an error");
        let kept = recent.list();
        assert_eq!(kept.len(), KEPT_MAX, "the oldest is forgotten");
        let last = kept.last().expect("kept");
        assert_eq!((last.seq, last.level.as_str()), (KEPT_MAX as u64 + 1, "INFO"));
        assert_eq!(last.message, "Failed over");
        let fields: Vec<_> = last.fields.iter().map(|(a, b)| format!("{a}={b}")).collect();
        assert_eq!(fields, ["epoch=256", "primary=b", "reason=why"]);
    }

    /// Takes nothing until the test lets go: a log pipe that nobody reads.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // Ends when the test drops its sender.
            let _: Result<(), _> = self.0.recv();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_pipe_costs_lines_not_time() {
        let (unstick, stuck) = mpsc::channel();
        let (writer, logs) = writer(Stuck(stuck));
        let dropped = logs.dropped();
        let dispatch = dispatch(LogLevel::Info, LogFormat::Text, false, writer, logs.recent());
        dispatcher::with_default(&dispatch, || {
            for _ in 0..LINES_MAX + 100 {
                info!("Failed over");
            }
        });
        // One line may be with the writer's thread.
        assert!((99..=100).contains(&dropped.lines()), "{dropped:?}");
        drop(unstick);
    }
}
