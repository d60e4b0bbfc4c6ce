//! Tells the binary which commit it was built from.
//!
//! `SEGUE_COMMIT` wins, for builds that have no `.git` (a container, a source archive); then
//! git is asked; without either the commit is `unknown`. Runs again only when the variable or
//! the commit changed.

#![allow(clippy::print_stdout, reason = "standard output is how a build script talks to cargo")]

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SEGUE_COMMIT");
    // Git appends a line to this log whenever HEAD moves. A path that does not exist would
    // make cargo run this script every time.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = env::var("SEGUE_COMMIT")
        .ok()
        .filter(|it| !it.trim().is_empty())
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=SEGUE_COMMIT={}", commit.trim());
}

/// What git answers, unless there is no git or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
