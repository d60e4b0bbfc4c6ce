//! The configuration as users meet it: the real binary on good and broken files.
//!
//! Goal: whatever is wrong with a file, one run of `segue check` says all of it, says where,
//! and ends with the code that a service manager does not retry on. The shipped file is
//! right, complete, and means what the code means without it.
//!
//! Method: each `config/broken/NAME.yaml` stands beside `NAME.txt`, the whole of what must be
//! said about it. The rest compares files through `segue config`, which shows every key.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end, in helpers too"
)]

use segue::config::Config;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Issue "done when": at least as many broken files as this.
const BROKEN_MIN: usize = 20;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn segue(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it speaks UTF-8")
}

/// What went to standard output of a command that must go well.
#[track_caller]
fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = segue(folder, arguments);
    assert_eq!(text(&output.stderr), "", "{arguments:?}");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    text(&output.stdout).to_owned()
}

fn fixtures() -> PathBuf {
    Path::new(ROOT).join("tests/config")
}

#[test]
fn every_broken_file_gets_all_of_its_problems() {
    let folder = fixtures().join("broken");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.len() >= BROKEN_MIN, "only {} broken files", names.len());

    let mut wrong = Vec::new();
    for name in names {
        let expected = fs::read_to_string(folder.join(&name).with_extension("txt")).unwrap();
        let output = segue(&folder, &["check", "--config", &name]);
        let said = text(&output.stderr);
        if said != expected {
            wrong.push(format!("{name}: expected\n{expected}{name}: said\n{said}"));
        }
        if output.status.code() != Some(78) || !output.stdout.is_empty() {
            wrong.push(format!("{name}: {}, standard output {:?}", output.status, output.stdout));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_file_that_is_not_there_is_bad_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["check", "config", "run"] {
        let output = segue(folder.path(), &[command]);
        assert_eq!(
            text(&output.stderr),
            "proxy.yaml: cannot be read: No such file or directory (os error 2)\n\
             Name the configuration file with --config.\n"
        );
        assert_eq!(output.status.code(), Some(78), "{command}");
        assert_eq!(segue(folder.path(), &[command, "--config", "."]).status.code(), Some(78));
    }
}

#[test]
fn run_refuses_what_check_refuses() {
    let folder = fixtures().join("broken");
    let output = segue(&folder, &["run", "--config", "loop.yaml"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stderr), fs::read_to_string(folder.join("loop.txt")).unwrap());
}

#[test]
fn the_shipped_file_is_right() {
    assert_eq!(said(Path::new(ROOT), &["check"]), "proxy.yaml: ok\n");
}

#[test]
fn the_shipped_file_says_what_the_code_does_without_it() {
    let folder = tempfile::tempdir().unwrap();
    // Only what has no default.
    let least = "http: {}\ngroup: { nodes: [{ name: a, address: 127.0.0.1:7001 }, \
                 { name: b, address: 127.0.0.1:7002 }, { name: c, address: 127.0.0.1:7003 }] }";
    fs::write(folder.path().join("proxy.yaml"), least).unwrap();
    assert_eq!(said(folder.path(), &["config"]), said(Path::new(ROOT), &["config"]));
}

#[test]
fn what_config_shows_can_be_used_instead_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for file in [Path::new(ROOT).join("proxy.yaml"), fixtures().join("full.yaml")] {
        let shown = said(folder.path(), &["config", "--config", file.to_str().unwrap()]);
        fs::write(folder.path().join("again.yaml"), &shown).unwrap();
        assert_eq!(said(folder.path(), &["config", "--config", "again.yaml"]), shown);
    }
}

#[test]
fn config_shows_every_value_of_the_file() {
    let shown = said(&fixtures(), &["config", "--config", "full.yaml"]);
    for line in [
        "- address: '[::1]:6381'",
        "- address: unix:/run/segue.sock",
        "  token_file: /run/secrets/segue token",
        "    replication_address: 10.0.0.10:6379",
        "    replication_address: '[2001:db8::1]:6379'",
        "    priority: 0",
        "    password_env: REDIS_PASSWORD",
        "  timeout: 1s500ms",
        "  down_after: 1m30s",
        "  max_lag_bytes: 0B",
        "  max_bytes: 100MB",
        "  max_in_flight: 1500KB",
        "  max_query_buffer: 65537B",
        "  - sync",
        "  level: debug",
    ] {
        assert!(shown.lines().any(|it| it == line), "{line} is not in\n{shown}");
    }
}

#[test]
fn secrets_are_read_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let password = "correct-horse-battery";
    fs::write(folder.path().join("password"), format!("{password}\n")).unwrap();
    let yaml = "group: { nodes: [{ name: a, address: h:1 }, { name: b, address: h:2 }], \
                credentials: { password_file: password } }";
    fs::write(folder.path().join("proxy.yaml"), yaml).unwrap();
    assert_eq!(said(folder.path(), &["check"]), "proxy.yaml: ok\n");
    assert!(!said(folder.path(), &["config"]).contains(password));

    fs::remove_file(folder.path().join("password")).unwrap();
    assert_eq!(segue(folder.path(), &["check"]).status.code(), Some(78));
    assert_eq!(said(folder.path(), &["check", "--without-secrets"]), "proxy.yaml: ok\n");
    said(folder.path(), &["config"]);
}

#[test]
fn warnings_are_said_and_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "group: { nodes: [{ name: a, address: h:1 }] }\nhold: { timeout: 500ms }\n";
    fs::write(folder.path().join("proxy.yaml"), yaml).unwrap();
    assert_eq!(
        said(folder.path(), &["check"]),
        "proxy.yaml:1:10: warning: group.nodes: has a single node: there is nothing to fail over to\n\
         proxy.yaml:2:9: warning: hold.timeout: is 500ms, less than health.down_after (1s): \
         clients are refused before a failover can begin\n\
         proxy.yaml: ok, with 2 warnings\n"
    );
}

#[test]
fn wrong_flags_are_told_apart_from_wrong_files() {
    let root = Path::new(ROOT);
    for arguments in
        [&[][..], &["chek"], &["check", "--confg", "a"], &["check", "--config"], &["run", "a"]]
    {
        let output = segue(root, arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(text(&output.stderr).contains("--help"), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_version_names_the_commit() {
    let said = said(Path::new(ROOT), &["--version"]);
    let version = concat!("segue ", env!("CARGO_PKG_VERSION"), " (");
    let commit = said.strip_prefix(version).and_then(|it| it.strip_suffix(")\n")).unwrap();
    let is_hash = commit.len() >= 7 && commit.chars().all(|it| it.is_ascii_hexdigit());
    assert!(is_hash || commit == "unknown", "{said}");
}

#[test]
fn a_reader_that_hangs_up_causes_no_panic() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    command.arg("config").current_dir(ROOT).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Closed before the binary has read its file, or at the latest before it is done.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
}

/// Whatever stands in the file, reading it ends with a configuration or with a reason.
#[test]
fn no_text_causes_a_panic() {
    let shipped = fs::read_to_string(Path::new(ROOT).join("proxy.yaml")).unwrap();
    let full = fs::read_to_string(fixtures().join("full.yaml")).unwrap();
    let tokens =
        ["{", "}", "[", "]", ":", "- ", "\n", "\t", "&a", "*a", "!t", "'", "\"", "|", "\0", "ß"];
    for text in [&shipped, &full] {
        for (at, _) in text.char_indices() {
            let (before, after) = text.split_at(at);
            let token = tokens[at % tokens.len()];
            for broken in [before.to_owned(), after.to_owned(), format!("{before}{token}{after}")] {
                if let Err(problems) = Config::parse(&broken) {
                    assert!(problems.iter().len() > 0, "refused without a reason:\n{broken}");
                }
            }
        }
    }
    for opening in ["[", "{a: ", "- "] {
        Config::parse(&opening.repeat(100_000)).expect_err("nobody nests like this");
    }
}
