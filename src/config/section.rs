//! Reads the keys of one mapping, one by one, and collects what is wrong with them.
//!
//! A section asks for each key that it knows; what nobody asked for is an unknown key. A
//! value that cannot be read is a problem and is replaced by its default, so that everything
//! after it is still read and checked. Nothing that was read is worth anything unless
//! [`Findings`] is empty at the end.

use super::{
    problems::{Findings, Mark, Problem},
    yaml::{self, Node},
};

/// One mapping of the file while it is read.
pub(super) struct Section<'a> {
    path: String,
    entries: &'a [(String, Node)],
    /// Whether the file has a mapping here, or nothing; else no key is said to be missing.
    readable: bool,
    asked: Vec<&'static str>,
    problems: &'a mut Findings,
}

/// What each kind of value is made from: its text, or why not.
pub(super) type Read<T> = fn(&str) -> Result<T, String>;

impl<'a> Section<'a> {
    /// Reads the whole file.
    ///
    /// # Errors
    ///
    /// If it has no keys at all, but something else.
    pub(super) fn root<T>(
        node: &Node,
        problems: &mut Findings,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> Result<T, Problem> {
        if matches!(node, Node::Map(_) | Node::Nothing) {
            Ok(Section::of(String::new(), node, problems, read))
        } else {
            let text = format!("must have keys, such as `group:`, not be {}", kind(node));
            Err(Problem::new(Mark { line: 1, column: 1 }, "", text))
        }
    }

    fn of<T>(
        path: String,
        node: &Node,
        problems: &mut Findings,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let (entries, readable) = match node {
            Node::Map(entries) => (entries.as_slice(), true),
            // A section whose keys are all commented out has its defaults.
            Node::Nothing => (&[][..], true),
            Node::Scalar(_) | Node::List(_) => (&[][..], false),
        };
        let mut section = Section { path, entries, readable, asked: Vec::new(), problems };
        let value = read(&mut section);
        section.finish(kind(node));
        value
    }

    /// The path of this section.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of one of its keys.
    pub(super) fn path_of(&self, key: &str) -> String {
        yaml::join(&self.path, key)
    }

    /// Where problems go.
    pub(super) const fn problems(&mut self) -> &mut Findings {
        self.problems
    }

    /// Whether the file has `key`. Does not count as asking for it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(it, _)| it == key)
    }

    /// Keeps `key` from being called unknown, without making it one that exists.
    pub(super) fn pass(&mut self, key: &'static str) {
        self.asked.push(key);
    }

    /// The value of `key`, if the file has one that can be read.
    pub(super) fn take<T>(&mut self, key: &'static str, read: Read<T>) -> Option<T> {
        let path = self.path_of(key);
        let outcome = match self.ask(key)? {
            Node::Scalar(text) => read(text),
            Node::Nothing => Err("has no value".to_owned()),
            node @ (Node::List(_) | Node::Map(_)) => {
                Err(format!("must be a single value, not {}", kind(node)))
            }
        };
        outcome.map_err(|text| self.problems.push(&path, text)).ok()
    }

    /// The value of `key`, or its default.
    pub(super) fn or<T>(&mut self, key: &'static str, default: T, read: Read<T>) -> T {
        self.take(key, read).unwrap_or(default)
    }

    /// The value of `key`; that it is missing is a problem.
    pub(super) fn must<T>(&mut self, key: &'static str, read: Read<T>) -> Option<T> {
        if self.readable && !self.has(key) {
            let path = self.path_of(key);
            self.problems.push(&path, "is missing");
        }
        self.take(key, read)
    }

    /// The section `key`; with all of its defaults if the file does not have it.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let path = self.path_of(key);
        let node = self.ask(key).unwrap_or(&Node::Nothing);
        Section::of(path, node, self.problems, read)
    }

    /// The section `key`, if the file has it.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> Option<T> {
        let path = self.path_of(key);
        let node = self.ask(key)?;
        if matches!(node, Node::Nothing) {
            // Its presence means something, so an empty one is probably a slip.
            self.problems.push(&path, "has no value: give it keys, or leave it out");
            return None;
        }
        Some(Section::of(path, node, self.problems, read))
    }

    /// The sections in the list `key`, if the file has it.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Option<Vec<T>> {
        let items = self.list(key)?;
        let path = self.path_of(key);
        let mut values = Vec::with_capacity(items.len());
        for (position, node) in items.iter().enumerate() {
            let path = format!("{path}[{position}]");
            values.push(Section::of(path, node, self.problems, &mut read));
        }
        Some(values)
    }

    /// The single values in the list `key`, if the file has it, each with its path.
    pub(super) fn words<T>(
        &mut self,
        key: &'static str,
        read: Read<T>,
    ) -> Option<Vec<(String, T)>> {
        let items = self.list(key)?;
        let path = self.path_of(key);
        let mut values = Vec::with_capacity(items.len());
        for (position, node) in items.iter().enumerate() {
            let path = format!("{path}[{position}]");
            let outcome = match node {
                Node::Scalar(text) => read(text),
                Node::Nothing => Err("has no value".to_owned()),
                Node::List(_) | Node::Map(_) => {
                    Err(format!("must be a single value, not {}", kind(node)))
                }
            };
            match outcome {
                Ok(value) => values.push((path, value)),
                Err(text) => self.problems.push(&path, text),
            }
        }
        Some(values)
    }

    fn list(&mut self, key: &'static str) -> Option<&'a [Node]> {
        let path = self.path_of(key);
        let node = self.ask(key)?;
        let Node::List(items) = node else {
            self.problems.push(&path, format!("must be a list (`[ … ]`), not {}", kind(node)));
            return None;
        };
        Some(items)
    }

    fn ask(&mut self, key: &'static str) -> Option<&'a Node> {
        self.problems.know(&yaml::join(&self.path, key));
        self.asked.push(key);
        self.entries.iter().find(|(it, _)| it == key).map(|(_, node)| node)
    }

    fn finish(self, kind: &str) {
        if !self.readable {
            let keys: Vec<_> = self.asked.iter().map(|it| format!("`{it}`")).collect();
            let keys = keys.join(", ");
            self.problems.push(&self.path, format!("must have keys ({keys}), not be {kind}"));
        }
        for (key, _) in self.entries {
            if !self.asked.contains(&key.as_str()) {
                self.problems.stray(&self.path, key);
            }
        }
    }
}

const fn kind(node: &Node) -> &'static str {
    match node {
        Node::Scalar(_) => "a single value",
        Node::Nothing => "nothing",
        Node::List(_) => "a list",
        Node::Map(_) => "a mapping",
    }
}
