//! YAML text as a tree in which every key knows its line and column.
//!
//! The tree is small on purpose: mappings, lists and single values, no types. What a value
//! means is decided by the key that reads it (`section`), so `off` is a word and `1e3` is not
//! a number unless a key says so.
//!
//! # Deliberately absent
//!
//! Anchors, aliases, tags, merge keys and several documents in one file: none of them is
//! needed by a file of this size, and each is a way for a file to mean what it does not show.

use super::problems::{Findings, Mark, Problem};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

/// No key of the file stands deeper than four levels.
const DEPTH_MAX: usize = 16;

/// A value and what is below it.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A single value, as text without its quotes.
    Scalar(String),
    /// Nothing at all, `~` or `null`.
    Nothing,
    /// A list.
    List(Vec<Self>),
    /// A mapping, in the order of the file, without the second of two equal keys.
    Map(Vec<(String, Self)>),
}

/// Reads `text`; where each key path stands goes to `findings`, as do keys that stand twice.
///
/// # Errors
///
/// If the text is not YAML, or YAML of a kind that is not accepted: nothing after that place
/// can be made sense of.
pub(super) fn parse(text: &str, findings: &mut Findings) -> Result<Node, Problem> {
    let mut builder = Builder { events: Parser::new_from_str(text), findings };
    builder.document()
}

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    findings: &'a mut Findings,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Mark), Problem> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, mark(&span))),
            Some(Err(error)) => Err(not_yaml(&error)),
            // The parser ends every stream with an event, after which nobody asks again.
            None => Ok((Event::StreamEnd, Mark { line: 1, column: 1 })),
        }
    }

    /// The one document of the text.
    fn document(&mut self) -> Result<Node, Problem> {
        let mut root = Node::Nothing;
        let mut documents = 0_usize;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(_) => {
                    documents = documents.saturating_add(1);
                    if documents > 1 {
                        return Err(Problem::new(
                            at,
                            "",
                            "has a second document here (`---`): only one is read",
                        ));
                    }
                }
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => root = self.node(event, at, "", 0)?,
            }
        }
    }

    /// The node that begins with `event`.
    fn node(
        &mut self,
        event: Event<'a>,
        at: Mark,
        path: &str,
        depth: usize,
    ) -> Result<Node, Problem> {
        if depth > DEPTH_MAX {
            return Err(Problem::new(
                at,
                path,
                format!("is nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_extras(at, path, anchor, tag.is_some())?;
                let plain = matches!(style, ScalarStyle::Plain);
                let nothing = plain && matches!(&*text, "" | "~" | "null");
                Ok(if nothing { Node::Nothing } else { Node::Scalar(text.into_owned()) })
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_extras(at, path, anchor, tag.is_some())?;
                self.list(path, depth)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_extras(at, path, anchor, tag.is_some())?;
                self.map(path, depth)
            }
            Event::Alias(_) => {
                Err(Problem::new(at, path, "is an alias (`*name`): write the value itself"))
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => {
                Err(Problem::new(at, path, "is not complete: a value is missing"))
            }
        }
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Node, Problem> {
        let mut items = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Node::List(items));
            }
            let path = format!("{path}[{}]", items.len());
            self.findings.place(&path, at);
            items.push(self.node(event, at, &path, depth.saturating_add(1))?);
        }
    }

    fn map(&mut self, path: &str, depth: usize) -> Result<Node, Problem> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Node::Map(entries)),
                Event::Scalar(key, _, anchor, tag) => {
                    refuse_extras(at, path, anchor, tag.is_some())?;
                    key.into_owned()
                }
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..) => {
                    return Err(Problem::new(at, path, "has a key here that is not a single word"));
                }
            };
            let path = join(path, &key);
            let first = self.findings.placed(&path);
            if let Some(first) = first {
                let line = first.line;
                self.findings.push_at(
                    at,
                    &path,
                    format!("is set a second time, first in line {line}"),
                );
            } else {
                self.findings.place(&path, at);
            }
            let (event, at) = self.next()?;
            // The second of two equal keys is read to the end and forgotten, below a path of
            // its own: its keys are not a second time those of the first.
            let below = if first.is_none() { path } else { format!("{path}(again)") };
            let node = self.node(event, at, &below, depth.saturating_add(1))?;
            if first.is_none() {
                entries.push((key, node));
            }
        }
    }
}

/// The path of `key` below `path`; the root has none.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn refuse_extras(at: Mark, path: &str, anchor: usize, tagged: bool) -> Result<(), Problem> {
    if anchor != 0 {
        let text = "has an anchor (`&name`): write the value wherever it is used";
        return Err(Problem::new(at, path, text));
    }
    if tagged {
        return Err(Problem::new(at, path, "has a tag (`!name`): write the plain value"));
    }
    Ok(())
}

fn not_yaml(error: &ScanError) -> Problem {
    // The parser says which rule was broken; what usually broke it is added for the commonest.
    let info = error.info();
    let hint = if info.contains("tab") {
        " (indent with spaces)"
    } else if info.contains("flow") {
        " (is a `[` or `{` above it not closed?)"
    } else if info.contains("mapping values") || info.contains("simple key") {
        " (is this line, or the one above it, indented as it should be?)"
    } else {
        ""
    };
    let at = error.marker();
    let mark = Mark { line: at.line().max(1), column: at.col().saturating_add(1) };
    Problem::new(mark, "", format!("is not YAML: {info}{hint}"))
}

fn mark(span: &Span) -> Mark {
    Mark { line: span.start.line(), column: span.start.col().saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each key of `text` stands, as `path@line:column`.
    fn places(text: &str) -> String {
        let mut findings = Findings::default();
        parse(text, &mut findings).unwrap();
        findings.places().map(|(path, at)| format!("{path}@{at}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_key_knows_its_place_in_both_styles() {
        for (text, expected) in [
            ("a: 1\nb:\n  c: 2\n", "a@1:1 b@2:1 b.c@3:3"),
            ("a: { b: 1, c: { d: 2 } }", "a@1:1 a.b@1:6 a.c@1:12 a.c.d@1:17"),
            ("# x\n\na: {\n  b: 1,\n  c: 2 }", "a@3:1 a.b@4:3 a.c@5:3"),
            (
                "a:\n  - b: 1\n    c: 2\n  - d: 3",
                "a@1:1 a[0]@2:5 a[0].b@2:5 a[0].c@3:5 a[1]@4:5 a[1].d@4:5",
            ),
            ("a: [{ b: 1 }, 2]", "a@1:1 a[0]@1:5 a[0].b@1:7 a[1]@1:15"),
            ("a: 'ü', ü\n", ""),
            ("'a': 1\r\n\"b\": |\r\n  x: 1\r\nc: 2\r\n", "a@1:1 b@2:1 c@4:1"),
            ("{ ä: 1, b: 2 }", "b@1:9 ä@1:3"),
            ("\u{feff}a: 1", "a@1:1"),
            ("---\na: 1\n...\n", "a@2:1"),
        ] {
            if expected.is_empty() {
                parse(text, &mut Findings::default()).unwrap_err();
            } else {
                assert_eq!(places(text), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn words_are_left_as_they_are() {
        let read = |text| parse(text, &mut Findings::default()).unwrap();
        for (text, expected) in
            [("a: off", "off"), ("a: 007", "007"), ("a: 'null'", "null"), ("a: ' x '", " x ")]
        {
            let Node::Map(entries) = read(text) else { panic!("{text}") };
            let [(_, Node::Scalar(value))] = entries.as_slice() else { panic!("{text}") };
            assert_eq!(value, expected);
        }
        assert!(matches!(read("# nothing\n"), Node::Nothing));
    }
}
