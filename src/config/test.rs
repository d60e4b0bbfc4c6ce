//! What the tests of all sections share.

use super::{Config, Problem};

/// A group, to stand after the lines that a test is about.
pub(super) const NODES: &str = "group: { nodes: [{ name: a, address: 127.0.0.1:7001 }, { name: b, address: 127.0.0.1:7002 }] }";

/// The configuration of `yaml` with a group.
#[track_caller]
pub(super) fn config(yaml: &str) -> Config {
    Config::parse(&format!("{yaml}\n{NODES}")).unwrap()
}

/// What is wrong with `yaml` with a group; empty if nothing is.
pub(super) fn errors(yaml: &str) -> String {
    errors_alone(&format!("{yaml}\n{NODES}"))
}

/// What is wrong with `yaml` as it is.
pub(super) fn errors_alone(yaml: &str) -> String {
    Config::parse(yaml).err().map(|it| it.to_string()).unwrap_or_default()
}

/// What is questionable about `yaml` with a group.
#[track_caller]
pub(super) fn warnings(yaml: &str) -> String {
    warnings_alone(&format!("{yaml}\n{NODES}"))
}

/// What is questionable about `yaml` as it is.
#[track_caller]
pub(super) fn warnings_alone(yaml: &str) -> String {
    let config = Config::parse(yaml).unwrap();
    config.warnings().iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
