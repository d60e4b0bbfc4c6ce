//! What the tests of all sections share.

use super::{
    Config, Problem, problems::Findings, secret::Secrets, section::Section, suggest, yaml,
};
use std::collections::BTreeSet;

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

/// Every key path that exists, without list positions; the file has all optional sections.
fn known() -> Vec<String> {
    let text = include_str!("../../tests/config/full.yaml");
    let mut findings = Findings::default();
    let root = yaml::parse(text, &mut findings).unwrap();
    let read = |section: &mut Section<'_>| Config::sections(section, Secrets::Skip);
    Section::root(&root, &mut findings, read).unwrap();
    findings.known().to_vec()
}

#[test]
fn every_key_stands_in_the_shipped_file() {
    let text = include_str!("../../proxy.yaml");
    for path in known() {
        let leaf = path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{leaf}:")), "{path}");
    }
}

#[test]
fn the_manual_has_every_key_and_no_other() {
    let text = include_str!("../../docs/configuration.md");
    // The first cell of a row, or a heading, that is a key in backquotes.
    let documented: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `").or(line.trim_start_matches('#').strip_prefix(" `"))
        })
        .filter_map(|rest| rest.split_once('`'))
        .map(|(key, _)| key)
        .filter(|key| !key.starts_with("segue "))
        .collect();
    let known = known();
    assert_eq!(documented, known.iter().map(String::as_str).collect());
}

#[test]
fn the_manual_has_the_right_defaults() {
    let text = include_str!("../../docs/configuration.md");
    let config = config("http: {}").to_yaml();
    let mut section = String::new();
    let mut compared = 0;
    for line in config.lines() {
        let Some((key, value)) = line.trim_start_matches(['-', ' ']).split_once(':') else {
            continue;
        };
        if !line.starts_with([' ', '-']) {
            key.clone_into(&mut section);
        }
        let path = if key == section { section.clone() } else { format!("{section}.{key}") };
        // Nodes are nobody's default.
        if value.is_empty() || line.starts_with("  -") || line.starts_with("    ") {
            continue;
        }
        let row = format!("| `{path}` | `{}` |", value.trim());
        assert!(text.contains(&row), "{row}");
        compared += 1;
    }
    assert!(compared > 25, "compared only {compared} keys");
}

#[test]
fn a_slip_of_the_pen_in_any_key_is_understood() {
    for path in known() {
        let (section, leaf) = path.rsplit_once('.').unwrap_or(("", &path));
        let slip = format!("{leaf}x");
        let text = suggest::unknown_key(section, &slip, &known());
        assert!(text.ends_with(&format!("did you mean `{leaf}`?")), "{path}: {text}");
    }
}
