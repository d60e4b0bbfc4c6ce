//! File descriptors: as many as the hard limit allows, checked against `sessions.max`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// One to the client, one to the node.
const PER_SESSION: u64 = 2;

/// Listeners, probes, logs, the runtimes' own, and 64 connections of each HTTP server.
const RESERVE: u64 = 192;

/// Raises the soft limit of open files to the hard one and says what it is now.
///
/// The soft limit is low (1024 as a rule) for programs that use `select(2)`; we do not.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        warn!(%error, soft = limit.current, hard = limit.maximum, "Could not raise the limit of open files");
    }
    // No limit is said as `None`.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many sessions there is room for: `configured`, or fewer if the limit of open files is
/// too low, and then it says so.
pub fn sessions_allowed(configured: u64, open_files: u64) -> u64 {
    let room = room(open_files);
    if room >= configured {
        info!(open_files, sessions_max = configured, "Limit of open files suffices");
        return configured;
    }
    warn!(
        open_files,
        needed = needed(configured),
        configured,
        sessions_max = room,
        "Limit of open files is too low for sessions.max; fewer sessions are let in",
    );
    room
}

/// Sessions that fit; always one, so that a hopeless limit shows as refused connections and
/// not as a proxy that lets nobody in.
const fn room(open_files: u64) -> u64 {
    let room = open_files.saturating_sub(RESERVE) / PER_SESSION;
    if room == 0 { 1 } else { room }
}

const fn needed(sessions: u64) -> u64 {
    sessions.saturating_mul(PER_SESSION).saturating_add(RESERVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_fit_the_open_files() {
        assert_eq!(sessions_allowed(10_000, needed(10_000)), 10_000, "exactly enough");
        assert_eq!(sessions_allowed(10_000, needed(10_000) - 1), 9_999, "one too few");
        assert_eq!(sessions_allowed(10_000, 1_024), 416);
        assert_eq!(sessions_allowed(10_000, 10), 1, "never nobody");
        assert_eq!(sessions_allowed(10_000, u64::MAX), 10_000, "no limit");
    }

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raise_open_files(), hard);
    }
}
