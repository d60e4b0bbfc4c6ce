//! Segue: a transparent, RESP-aware failover proxy for Redis and Valkey.
//!
//! Layers, from the top down; each may name only what stands below it:
//!
//! ```text
//! main, cli -> app -> ops -> { proxy | control } -> net -> telemetry -> config -> pure
//! ```
//!
//! `proxy` (the data plane) and `control` (the control plane) never name each other:
//! `app` joins them with channels of `pure` types. `tests/tidy.rs` holds these rules.

pub mod app;
pub mod cli;
pub mod config;
pub mod control;
pub mod net;
pub mod ops;
pub mod proxy;
pub mod pure;
pub mod telemetry;
