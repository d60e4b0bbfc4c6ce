//! File descriptors: as many as the hard limit allows, checked against `sessions.max`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// One to the client, one to the node.
const PER_SESSION: u64 = 2;

/// Listeners, probes, logs, the runtimes of listeners and control plane, and 64 connections of
/// each HTTP server.
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
/// too low, and then it says so. All workers together take `workers` descriptors for themselves.
pub fn sessions_allowed(configured: u64, workers: u64, open_files: u64) -> u64 {
    let room = room(workers, open_files);
    if room >= configured {
        info!(open_files, sessions_max = configured, "Limit of open files suffices");
        return configured;
    }
    warn!(
        open_files,
        needed = needed(configured, workers),
        configured,
        sessions_max = room,
        "Limit of open files is too low for sessions.max; fewer sessions are let in. Raise it (ulimit -n, \
         LimitNOFILE), or lower sessions.max",
    );
    room
}

/// Sessions that fit; always one, so that a hopeless limit shows as refused connections and
/// not as a proxy that lets nobody in.
const fn room(workers: u64, open_files: u64) -> u64 {
    let room = open_files.saturating_sub(RESERVE).saturating_sub(workers) / PER_SESSION;
    if room == 0 { 1 } else { room }
}

const fn needed(sessions: u64, workers: u64) -> u64 {
    sessions.saturating_mul(PER_SESSION).saturating_add(workers).saturating_add(RESERVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_fit_the_open_files() {
        assert_eq!(sessions_allowed(10_000, 0, needed(10_000, 0)), 10_000, "exactly enough");
        assert_eq!(sessions_allowed(10_000, 0, needed(10_000, 0) - 1), 9_999, "one too few");
        assert_eq!(sessions_allowed(10_000, 0, 1_024), 416);
        assert_eq!(sessions_allowed(10_000, 0, 10), 1, "never nobody");
        assert_eq!(sessions_allowed(10_000, 0, u64::MAX), 10_000, "no limit");
    }

    #[test]
    fn what_workers_take_is_not_there_for_sessions() {
        let workers = 64 * crate::proxy::descriptors(2);
        let enough = needed(10_000, workers);
        assert_eq!(enough, needed(10_000, 0) + workers);
        assert_eq!(sessions_allowed(10_000, workers, enough), 10_000, "exactly enough");
        assert_eq!(sessions_allowed(10_000, workers, enough - 1), 9_999, "one too few");
        let (one, many) =
            (sessions_allowed(10_000, 0, 8_192), sessions_allowed(10_000, workers, 8_192));
        assert_eq!(one - many, workers / PER_SESSION);
    }

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raise_open_files(), hard);
    }
}
