//! The classes of the commands that came last, by how their requests begin: most of what an
//! application sends begins like something that it sent a moment ago. Then the name need not be
//! taken out, nor the table asked.
//!
//! # Invariants
//!
//! * Only a beginning that reaches to the line end behind the name is remembered, and only of a
//!   command without subcommands: what follows cannot change the class.

use super::{Class, Table};
use crate::pure::resp::request::{self, Head};

/// A power of two: each beginning has one place.
const SLOTS: usize = 32;

/// `*12\r\n$15\r\n`, a long name, and its line end. Others are looked up each time.
const BEGIN_MAX: usize = 28;

#[derive(Clone, Copy, Debug)]
struct Slot {
    begin: [u8; BEGIN_MAX],
    len: usize,
    class: Class,
}

/// What was looked up in one table.
#[derive(Clone, Debug)]
pub struct Recent(Box<[Slot; SLOTS]>);

impl Default for Recent {
    fn default() -> Self {
        let empty = Slot { begin: [0; BEGIN_MAX], len: 0, class: Class::UNKNOWN };
        Self(Box::new([empty; SLOTS]))
    }
}

impl Recent {
    /// The class in `table`, always the same one, of the complete request `frame`.
    pub fn classify(&mut self, table: &Table, frame: &[u8]) -> Class {
        if let Some(slot) = self.0.get(place(frame))
            && let Some(begin) = slot.begin.get(..slot.len)
            && frame.starts_with(begin)
            && slot.len > 0
        {
            return slot.class;
        }
        let Head::Ready { name, sub } = request::head(frame) else {
            return table.lookup(b"", b"");
        };
        let class = table.lookup(name, sub);
        if !name.is_empty() && !table.has_subcommands(name) {
            self.remember(frame, name, class);
        }
        class
    }

    fn remember(&mut self, frame: &[u8], name: &[u8], class: Class) {
        // The name stands behind two header lines.
        let header: usize = frame.split_inclusive(|&it| it == b'\n').take(2).map(<[u8]>::len).sum();
        let len = header + name.len() + b"\r\n".len();
        if let Some(slot) = self.0.get_mut(place(frame))
            && let Some(begin) = slot.begin.get_mut(..len)
            && let Some(seen) = frame.get(..len)
        {
            begin.copy_from_slice(seen);
            (slot.len, slot.class) = (len, class);
        }
    }
}

/// Where a request that begins like `frame` is remembered: eight bytes, which reach into the name
/// of most, say so.
fn place(frame: &[u8]) -> usize {
    let word = frame.get(4..).and_then(<[u8]>::first_chunk).map_or(0, |it| u64::from_le_bytes(*it));
    // Fibonacci hashing; the upper bits depend on all of the word. 64 - 5 bits for 32 places.
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::resp::write;
    use proptest::prelude::*;

    fn frame(args: &[&[u8]]) -> Vec<u8> {
        let mut frame = Vec::new();
        write::request(&mut frame, args);
        frame
    }

    #[test]
    fn a_container_is_judged_by_its_subcommand_each_time() {
        let (table, mut recent) = (Table::builtin(), Recent::default());
        for sub in [&b"ID"[..], b"KILL", b"SETNAME", b"ID", b"NO-SUCH"] {
            let class = recent.classify(&table, &frame(&[b"CLIENT", sub]));
            assert_eq!(class, table.lookup(b"CLIENT", sub));
        }
    }

    #[test]
    fn a_longer_name_that_begins_alike_is_another_command() {
        let (table, mut recent) = (Table::builtin(), Recent::default());
        for name in [&b"GET"[..], b"GETDEL", b"GET", b"GETX", b"GETEX"] {
            let class = recent.classify(&table, &frame(&[name, b"key"]));
            assert_eq!(class, table.lookup(name, b""), "{name:?}");
        }
    }

    proptest! {
        /// Whatever came before, the class is the table's.
        #[test]
        fn says_what_the_table_says(
            picks in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..3, any::<bool>()), 1..80),
        ) {
            let (table, mut recent) = (Table::builtin(), Recent::default());
            let names: Vec<Vec<&[u8]>> = super::super::table::BUILTIN
                .lines()
                .filter(|it| !it.starts_with('#'))
                .filter_map(|it| it.split(' ').next())
                .map(|it| it.split('|').map(str::as_bytes).collect())
                .collect();
            for (pick, more, is_upper) in picks {
                let words = pick.get(&names);
                let words: Vec<Vec<u8>> = words
                    .iter()
                    .map(|it| if is_upper { it.to_ascii_uppercase() } else { it.to_vec() })
                    .chain(std::iter::repeat_n(b"value".to_vec(), more))
                    .collect();
                let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                let frame = frame(&words);
                let Head::Ready { name, sub } = request::head(&frame) else { panic!("no head") };
                prop_assert_eq!(recent.classify(&table, &frame), table.lookup(name, sub));
            }
        }
    }
}
