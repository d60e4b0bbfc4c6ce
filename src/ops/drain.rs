//! The orderly end: stop accepting, let sessions finish what is in flight, then close.
//!
//! ```text
//! running --SIGTERM--> draining --all sessions closed--> Finished
//!                         |------- drain.timeout ------> TimedOut
//!                         +------- second signal ------> Forced
//! ```

use super::signals::{Signals, Stop};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

/// How a drain ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Drained {
    /// Every session finished what it had in flight.
    Finished,
    /// `drain.timeout` passed; what is left is cut.
    TimedOut,
    /// A second signal; what is left is cut at once.
    Forced(Stop),
}

impl Drained {
    /// What the process ends with. A drain that took too long was still asked for, and is
    /// no failure to whoever asked.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Finished | Self::TimedOut => ExitCode::SUCCESS,
            Self::Forced(stop) => ExitCode::from(stop.exit_code()),
        }
    }
}

/// Turns `draining` true and waits until `closed` (every session has ended), for `limit` at
/// most.
pub async fn drain(
    draining: &watch::Sender<bool>,
    closed: impl Future<Output = ()>,
    limit: Duration,
    signals: &mut Signals,
) -> Drained {
    drain_unless(draining, closed, limit, signals.stop()).await
}

async fn drain_unless(
    draining: &watch::Sender<bool>,
    closed: impl Future<Output = ()>,
    limit: Duration,
    stop: impl Future<Output = Stop>,
) -> Drained {
    let began = Instant::now();
    draining.send_replace(true);
    info!(limit_ms = limit.as_millis(), "Draining");
    let drained = tokio::select! {
        // Done before late: when both are true, nothing was cut.
        biased;
        () = closed => Drained::Finished,
        stop = stop => Drained::Forced(stop),
        () = sleep(limit) => Drained::TimedOut,
    };
    let elapsed_ms = began.elapsed().as_millis();
    match drained {
        Drained::Finished => info!(elapsed_ms, "Drained"),
        Drained::TimedOut => warn!(elapsed_ms, "Drain timed out; cutting what is left"),
        Drained::Forced(_) => warn!(elapsed_ms, "Asked again; cutting what is left"),
    }
    drained
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    async fn ended(
        closed: impl Future<Output = ()>,
        limit: Duration,
        stop: impl Future<Output = Stop>,
    ) -> Drained {
        let draining = watch::Sender::new(false);
        let drained = drain_unless(&draining, closed, limit, stop).await;
        assert!(*draining.borrow(), "nobody is let in any more");
        drained
    }

    #[tokio::test]
    async fn ends_by_whatever_comes_first() {
        const LONG: Duration = Duration::from_secs(3_600);
        assert_eq!(ended(ready(()), LONG, pending()).await, Drained::Finished);
        assert_eq!(
            ended(ready(()), Duration::ZERO, ready(Stop::Interrupt)).await,
            Drained::Finished
        );
        assert_eq!(ended(pending(), Duration::ZERO, pending()).await, Drained::TimedOut);
        let forced = ended(pending(), LONG, ready(Stop::Terminate)).await;
        assert_eq!(forced, Drained::Forced(Stop::Terminate));
    }

    #[test]
    fn only_force_is_a_failure() {
        let code = |drained: Drained| format!("{:?}", drained.exit_code());
        assert_eq!(code(Drained::Finished), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(Drained::TimedOut), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(Drained::Forced(Stop::Terminate)), format!("{:?}", ExitCode::from(143)));
        assert_eq!(code(Drained::Forced(Stop::Interrupt)), format!("{:?}", ExitCode::from(130)));
    }
}
