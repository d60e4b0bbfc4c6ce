//! What a primary says of its own commands: the reply to `COMMAND`.
//!
//! It tells about modules, and about servers newer than this table. Each command is an
//! array of name, arity, flags, three key positions, and, since 7.0, categories, tips, key
//! specifications and subcommands, which are arrays of the same form
//! (<https://redis.io/docs/latest/commands/command/>).

use super::{Class, Effect};
use crate::pure::resp::reply::Kind;
use crate::pure::resp::reply::{items, kind, text};

/// Where the flags stand in the description of a command.
const FLAGS_AT: usize = 2;

/// Where the subcommands stand.
const SUBCOMMANDS_AT: usize = 9;

/// A command as a node describes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Learnt {
    /// Lower case; `parent|sub` for a subcommand.
    pub name: String,
    /// It never changes data.
    pub readonly: bool,
    /// It may change data.
    pub write: bool,
    /// It may wait.
    pub blocking: bool,
    /// It may be sent before `AUTH`.
    pub no_auth: bool,
    /// It is refused inside `MULTI`.
    pub no_multi: bool,
    /// It speaks to subscribers, so others may notice although no data changes.
    pub pubsub: bool,
}

impl Learnt {
    pub(super) fn class(&self) -> Class {
        let harmless = self.readonly && !self.write && !self.pubsub;
        Class {
            effect: if harmless { Effect::Read } else { Effect::Write },
            is_blocking: self.blocking,
            no_auth: self.no_auth,
            no_multi: self.no_multi,
            // What a module's command does to its connection nobody says.
            is_known: false,
            ..Class::UNKNOWN
        }
    }
}

/// The commands in `frame`, a complete reply to `COMMAND`. None if it is something else,
/// such as an error. Descriptions that do not fit are left out.
pub fn parse(frame: &[u8]) -> Option<Vec<Learnt>> {
    if kind(frame)? != Kind::Array {
        return None;
    }
    let mut all = Vec::new();
    for command in items(frame) {
        let Some(learnt) = describe(command) else { continue };
        // A parent stands before its subcommands, which do not nest further.
        all.push(learnt);
        let subcommands = items(command).nth(SUBCOMMANDS_AT).unwrap_or_default();
        all.extend(items(subcommands).filter_map(describe));
    }
    Some(all)
}

fn describe(command: &[u8]) -> Option<Learnt> {
    let mut fields = items(command);
    let name = std::str::from_utf8(text(fields.next()?)?).ok()?.to_ascii_lowercase();
    let mut learnt = Learnt { name, ..Learnt::default() };
    // One field is behind us.
    for flag in items(fields.nth(FLAGS_AT - 1)?) {
        match text(flag)? {
            b"readonly" => learnt.readonly = true,
            b"write" => learnt.write = true,
            b"blocking" => learnt.blocking = true,
            b"no_auth" => learnt.no_auth = true,
            b"no_multi" => learnt.no_multi = true,
            b"pubsub" => learnt.pubsub = true,
            _ => {}
        }
    }
    Some(learnt)
}
