//! The guards of the control plane, one file each: what must not happen, on real servers.

mod adopt;
mod amnesia;
mod fence;
mod never;
mod rejoin;
mod sentinel;
mod several;
mod stall;
mod start;
mod witness;

use crate::harness::{PATIENCE, Proxy, segue, within};
use serde_json::Value as Json;
use std::time::{Duration, Instant};

/// Lets `span` pass, for what is a matter of time by itself: how long a process stays away.
fn pass(span: Duration) {
    let from = Instant::now();
    if !span.is_zero() {
        let limit = span + PATIENCE;
        within(limit, "the time has passed", || (from.elapsed() >= span).then_some(()));
    }
}

/// Runs `segue adopt`; its exit code, and its answer if it gave one as JSON.
#[track_caller]
fn adopt(proxy: &Proxy, arguments: &[&str]) -> (Option<i32>, Json) {
    let config = proxy.config();
    let config = config.to_str().expect("UTF-8");
    let output =
        segue(&["adopt", "--config", config]).args(arguments).output().expect("the command runs");
    let answer = serde_json::from_slice(&output.stdout).unwrap_or(Json::Null);
    (output.status.code(), answer)
}
