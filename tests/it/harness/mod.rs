//! What the tests stand on: processes that end with their test, a client that cannot hang, and
//! waiting by condition.
//!
//! Deliberately absent: fixed ports, fixed sleeps, retries, ending processes by name.

mod client;
mod group;
mod http;
mod load;
mod place;
mod port;
mod process;
mod proxy;
mod random;
mod relay;
mod sentinel;
mod server;
mod value;

pub(crate) use client::{Client, encode};
pub(crate) use group::{Group, wait_in_sync};
pub(crate) use load::{Load, Traffic};
pub(crate) use place::Place;
pub(crate) use port::Port;
pub(crate) use proxy::{Proxy, config_file, segue};
pub(crate) use random::Random;
pub(crate) use relay::Relay;
pub(crate) use sentinel::Sentinel;
pub(crate) use server::{Kind, Server};
pub(crate) use value::Value;

pub(crate) use load::{Command, History, Op};

use std::thread;
use std::time::{Duration, Instant};

/// No step of any test may take longer. Generous, because two cores carry everything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `probe` gives a value. The only place that sleeps.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// As [`eventually`], for what must not take as long as [`PATIENCE`].
#[track_caller]
pub(crate) fn within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < give_up, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Makes a test of every named `fn(Kind)` for each kind of server.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod redis {
            $(#[test] fn $test() { super::$test($crate::harness::Kind::Redis); })+
        }
        mod valkey {
            $(#[test] fn $test() { super::$test($crate::harness::Kind::Valkey); })+
        }
    };
}
