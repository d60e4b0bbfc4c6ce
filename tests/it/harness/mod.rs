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
mod wait;

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
pub(crate) use wait::{PATIENCE, eventually, within};

pub(crate) use load::{Command, History, Op};

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
