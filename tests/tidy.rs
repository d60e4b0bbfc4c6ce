//! The rules of the house that neither compiler nor linter knows: layers, file size, headers, tests
//! that are ignored for no reason, paths of one machine, links that lead nowhere.
//!
//! Each test collects everything that is wrong before it fails.
//!
//! # Deliberately absent
//!
//! Anything that rustc, clippy or rustfmt can say. Length of functions is clippy's.

#![allow(clippy::panic, reason = "helpers of tests fail as tests do")]

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Layers of `src` from the bottom up, and what each may name with `crate::`.
const LAYERS: &[(&str, &[&str])] = &[
    ("pure", &["pure"]),
    ("config", &["pure", "config"]),
    ("telemetry", &["pure", "config", "telemetry"]),
    ("net", &["pure", "config", "telemetry", "net"]),
    // Siblings: data and control plane meet only in channels of pure types.
    ("proxy", &["pure", "config", "telemetry", "net", "proxy"]),
    ("control", &["pure", "config", "telemetry", "net", "control"]),
    ("ops", &["pure", "config", "telemetry", "net", "proxy", "control", "ops"]),
    ("app", &["pure", "config", "telemetry", "net", "proxy", "control", "ops", "app"]),
    ("cli", &["pure", "config", "telemetry", "net", "proxy", "control", "ops", "app", "cli"]),
];

/// Crates that the pure layer must never name.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "prometheus",
    "tracing",
    "tracing_subscriber",
    "serde_yaml",
    "socket2",
    "rustix",
];

const LINES_MAX: usize = 500;

/// Folders that are not part of the repository.
const FOREIGN: &[&str] = &["target", "bench-results", "node_modules", "__pycache__"];

#[test]
fn source_is_tidy() {
    let mut untidy = Vec::new();
    for path in files().filter(|it| has_extension(it, "rs")) {
        let text = read(&path);
        let mut complain = |what: String| untidy.push(format!("{}: {what}", path.display()));

        let lines = text.lines().count();
        if lines > LINES_MAX {
            complain(format!("{lines} lines, more than {LINES_MAX}: split it"));
        }
        if !text.starts_with("//! ") {
            complain("no `//!` header".to_owned());
        }
        // Written in two pieces, so that this line is not found.
        if text.contains(concat!("#[", "ignore]")) {
            complain("a test is ignored without a reason".to_owned());
        }
    }
    assert!(untidy.is_empty(), "\n{}", untidy.join("\n"));
}

#[test]
fn layers_look_down_only() {
    let mut untidy = Vec::new();
    for path in files().filter(|it| it.starts_with("src") && has_extension(it, "rs")) {
        let layer = layer_of(&path);
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            // A new module at the top belongs into the table.
            if !matches!(layer.as_str(), "lib" | "main") {
                untidy.push(format!("{}: `{layer}` is not in LAYERS", path.display()));
            }
            continue;
        };
        let code = without_comments(&read(&path));
        for named in crate_paths(&code) {
            if !allowed.contains(&named.as_str()) {
                untidy.push(format!("{}: `{layer}` names crate::{named}", path.display()));
            }
        }
        for krate in IMPURE.iter().filter(|_| layer == "pure") {
            if words(&code).any(|it| it == *krate) {
                untidy.push(format!("{}: pure code names `{krate}`", path.display()));
            }
        }
    }
    assert!(untidy.is_empty(), "\n{}", untidy.join("\n"));
}

#[test]
fn no_path_belongs_to_one_machine() {
    // Written in pieces, so that this file is not found.
    let homes = ["work", "farm", "root", "home"].map(|it| format!("/{it}/"));
    let mut untidy = Vec::new();
    for path in files().filter(|it| !has_extension(it, "lock")) {
        let Ok(text) = fs::read_to_string(at(&path)) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            let found = homes.iter().any(|home| {
                let mut ends = line.match_indices(home).map(|(start, _)| start + home.len());
                ends.any(|end| line.as_bytes().get(end).is_some_and(u8::is_ascii_lowercase))
            });
            if found {
                untidy.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(untidy.is_empty(), "\n{}", untidy.join("\n"));
}

#[test]
fn the_readme_names_both_commands() {
    let readme = read(Path::new("README.md"));
    for command in ["make run", "make test"] {
        assert!(readme.contains(command), "README.md does not name `{command}`");
    }
}

#[test]
fn links_lead_somewhere() {
    let mut untidy = Vec::new();
    for path in files().filter(|it| has_extension(it, "md")) {
        for link in links(&read(&path)) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = path.parent().unwrap_or(Path::new(""));
            let target = if file.is_empty() { path.clone() } else { folder.join(file) };
            let complain = |what: &str| format!("{}: {link}: {what}", path.display());
            if !at(&target).exists() {
                untidy.push(complain("no such file"));
            } else if !anchor.is_empty() && !anchors(&read(&target)).any(|it| it == anchor) {
                untidy.push(complain("no such heading"));
            }
        }
    }
    assert!(untidy.is_empty(), "\n{}", untidy.join("\n"));
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let code = "use crate::net; use crate::{config::{Config, Node}, pure}; crate::control::run()";
    let named: Vec<_> = crate_paths(code).collect();
    assert_eq!(named, ["net", "config", "pure", "control"]);
}

#[test]
fn headings_become_anchors() {
    let page =
        "# One `word`, two\n```\n# no heading\n```\n## `segue run` & co.\n[a](b.md) [c](d#e)";
    assert_eq!(anchors(page).collect::<Vec<_>>(), ["one-word-two", "segue-run--co"]);
    assert_eq!(links(page), ["b.md", "d#e"]);
}

fn at(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|it| it == extension)
}

/// Every file of the repository, by its path in it.
fn files() -> impl Iterator<Item = PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(at(&folder)).expect("a readable folder").flatten() {
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".") && name != ".ci";
            if hidden || FOREIGN.iter().any(|it| name == *it) {
                continue;
            }
            let path = folder.join(name);
            if entry.file_type().expect("a file type").is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found.into_iter()
}

/// `src/pure/time.rs` and `src/pure.rs` are of the layer `pure`.
fn layer_of(path: &Path) -> String {
    let Some(Component::Normal(second)) = path.components().nth(1) else { return String::new() };
    second.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Comments may speak of anything, in links too.
fn without_comments(text: &str) -> String {
    let code = text.lines().filter(|it| !it.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// What the code names right behind `crate::`, one by one for a group in braces.
fn crate_paths(code: &str) -> impl Iterator<Item = String> {
    code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(group) => group_names(group),
        None => words(rest).take(1).map(str::to_owned).collect(),
    })
}

/// The first word of each part of `a::{b, c}, d}`.
fn group_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut part) = (0, String::new());
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.extend(words(&part).take(1).map(str::to_owned));
                part.clear();
                if letter == '}' {
                    break;
                }
            }
            _ => part.push(letter),
        }
    }
    names
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !it.is_alphanumeric() && it != '_').filter(|it| !it.is_empty())
}

/// The lines of a page that are not inside a code block.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        !is_code && !fence
    })
}

/// Links to files of the repository.
fn links(page: &str) -> Vec<String> {
    let targets = prose(page).flat_map(|line| line.split("](").skip(1));
    let targets = targets.filter_map(|it| it.split_once(')')).map(|(target, _)| target);
    targets.filter(|it| !it.contains(':')).map(str::to_owned).collect()
}

/// Headings as they are linked to: lower case, without punctuation, with dashes.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    prose(page).filter(|it| it.starts_with('#')).map(|heading| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|it| it.is_alphanumeric() || "-_ ".contains(*it));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    })
}
