//! Everything that is wrong with a configuration, each with its key path and its place.
//!
//! Reading never stops at the first problem: an operator who edits a file wants the whole
//! list. What is valid but questionable is a warning and stops nothing.

use std::{collections::BTreeMap, fmt};

/// A place in the file; both count from 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong, or questionable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    at: Mark,
    key: String,
    text: String,
}

impl Problem {
    pub(super) fn new(at: Mark, key: &str, text: impl Into<String>) -> Self {
        Self { at, key: key.to_owned(), text: text.into() }
    }

    /// Where it stands; a key that is missing stands where its section does.
    pub const fn at(&self) -> Mark {
        self.at
    }

    /// The path of the key, such as `group.nodes[1].address`; empty for the file as a whole.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong, as a predicate of the key.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, key, text } = self;
        write!(f, "{at}: ")?;
        if key.is_empty() { write!(f, "the file {text}") } else { write!(f, "{key}: {text}") }
    }
}

/// Everything that is wrong with one file, in its order. Never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }

    pub(super) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// What reading finds out, while it goes on.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Keys whose value is a stand-in, because what the file says is wrong by itself.
    wrong: Vec<String>,
    /// Where each key path of the file stands.
    places: BTreeMap<String, Mark>,
    /// Keys that nobody asked for, with their section; named at the end, when all keys are known.
    strays: Vec<(String, String)>,
    /// Every key path that a section asked for, without list positions.
    known: Vec<String>,
}

impl Findings {
    /// Says that the value of `key` is wrong.
    pub(super) fn push(&mut self, key: &str, text: impl Into<String>) {
        self.push_at(self.nearest(key), key, text);
    }

    /// Like `push`, at a place that is not the key's.
    pub(super) fn push_at(&mut self, at: Mark, key: &str, text: impl Into<String>) {
        self.errors.push(Problem::new(at, key, text));
        self.wrong.push(key.to_owned());
    }

    /// Says that `key` and `other` do not fit together.
    ///
    /// Says nothing if one of them is wrong by itself: then its value is a stand-in, and a rule
    /// about it would send the reader the wrong way.
    pub(super) fn push_rule(&mut self, key: &str, other: &str, text: impl Into<String>) {
        if !self.concerns(key) && !self.concerns(other) {
            self.errors.push(Problem::new(self.nearest(key), key, text));
        }
    }

    /// Says that `key` is questionable, unless a key that the rule looks at is wrong anyway.
    pub(super) fn warn(&mut self, key: &str, others: &[&str], text: impl Into<String>) {
        if !self.concerns(key) && !others.iter().any(|it| self.concerns(it)) {
            let at = self.nearest(key);
            self.warnings.push(Problem::new(at, key, text));
        }
    }

    /// Whether something is wrong by itself with `key` or below it.
    pub(super) fn concerns(&self, key: &str) -> bool {
        self.wrong.iter().any(|it| {
            it.strip_prefix(key).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('.') || rest.starts_with('[')
            })
        })
    }

    /// Remembers where `path` stands.
    pub(super) fn place(&mut self, path: &str, at: Mark) {
        self.places.insert(path.to_owned(), at);
    }

    /// Where `path` stands, if the file has it.
    pub(super) fn placed(&self, path: &str) -> Option<Mark> {
        self.places.get(path).copied()
    }

    /// Remembers that `path` is a key that can be written.
    pub(super) fn know(&mut self, path: &str) {
        let path = without_positions(path);
        if !self.known.contains(&path) {
            self.known.push(path);
        }
    }

    /// Remembers that nobody reads `key` of `section`.
    pub(super) fn stray(&mut self, section: &str, key: &str) {
        self.strays.push((section.to_owned(), key.to_owned()));
    }

    /// Ends with a problem after which the rest of the file means nothing.
    pub(super) fn stop(mut self, last: Problem) -> Problems {
        self.errors.push(last);
        Problems(self.errors)
    }

    /// Names the unknown keys and puts everything into the order of the file: the warnings,
    /// or else the problems.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Problems> {
        for (section, key) in std::mem::take(&mut self.strays) {
            let text = super::suggest::unknown_key(&section, &key, &self.known);
            self.push(&super::yaml::join(&section, &key), text);
        }
        let Self { mut errors, mut warnings, .. } = self;
        errors.sort_by_key(Problem::at);
        warnings.sort_by_key(Problem::at);
        if errors.is_empty() { Ok(warnings) } else { Err(Problems(errors)) }
    }

    /// Every place, in the order of the paths.
    #[cfg(test)]
    pub(super) fn places(&self) -> impl Iterator<Item = (&str, Mark)> {
        self.places.iter().map(|(path, at)| (path.as_str(), *at))
    }

    /// Every key path that was asked for, without list positions.
    #[cfg(test)]
    pub(super) fn known(&self) -> &[String] {
        &self.known
    }

    /// Where `key` stands, or else what it would stand in.
    fn nearest(&self, key: &str) -> Mark {
        let mut path = key;
        loop {
            if let Some(at) = self.placed(path) {
                return at;
            }
            let Some(cut) = path.rfind(['.', '[']) else { return Mark { line: 1, column: 1 } };
            path = path.get(..cut).unwrap_or_default();
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `group.nodes[2].name` as `group.nodes.name`: the same key in every item of a list.
pub(super) fn without_positions(path: &str) -> String {
    let mut kept = String::with_capacity(path.len());
    for part in path.split('[') {
        kept.push_str(part.split_once(']').map_or(part, |(_, rest)| rest));
    }
    kept
}
