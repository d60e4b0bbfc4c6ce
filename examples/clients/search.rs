//! Looks for every acknowledged write on the node that serves in the end, without a proxy.

use crate::{
    book::{Book, Kind, Outcome, key_of, value_of},
    mixed::list_of,
    wire::{Reply, Wire, items, text},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    time::Duration,
};

/// How many values are asked for at once.
const VALUES_AT_ONCE: usize = 500;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Marks what is lost in the books. A write is lost if it was acknowledged and its key does not
/// have its value; a push, if nobody popped its element and it is in the list no more; a message
/// never is: nobody promised to keep it.
pub(crate) fn mark_lost(books: &mut [Book], address: SocketAddr) -> io::Result<()> {
    let mut wire = Wire::connect(address)?;
    let lists = lists(books, &mut wire)?;
    for book in books {
        let client = book.client;
        let mut writes: Vec<_> = book
            .operations
            .iter_mut()
            .filter(|it| matches!(it.kind, Kind::Write | Kind::Transaction))
            .filter(|it| it.outcome == Outcome::Done)
            .collect();
        for some in writes.chunks_mut(VALUES_AT_ONCE) {
            let keys: Vec<_> = some.iter().map(|it| key_of(client, it.number)).collect();
            let arguments = std::iter::once("MGET").chain(keys.iter().map(String::as_str));
            let values = call(&mut wire, &arguments.collect::<Vec<_>>())?;
            if items(&values).len() != keys.len() {
                return Err(io::Error::other(format!("MGET answered {values:?}")));
            }
            for ((write, key), value) in some.iter_mut().zip(&keys).zip(items(&values)) {
                write.is_lost = text(value) != Some(value_of(key));
            }
        }
        let Some(kept) = lists.get(&client) else { continue };
        let pushes = book.operations.iter_mut().filter(|it| it.kind == Kind::Push);
        for push in pushes.filter(|it| it.outcome == Outcome::Done) {
            push.is_lost = !kept.contains(&push.number);
        }
    }
    Ok(())
}

/// For each client that pushed, the numbers that were popped or are still in its list.
fn lists(books: &[Book], wire: &mut Wire) -> io::Result<BTreeMap<usize, BTreeSet<u64>>> {
    let did = |kind: Kind| move |it: &&Book| it.operations.iter().any(|op| op.kind == kind);
    // Pairs are numbered in the order of their clients.
    let givers: Vec<_> = books.iter().filter(did(Kind::Push)).map(|it| it.client).collect();
    let takers: Vec<_> = books.iter().filter(did(Kind::Pop)).collect();
    let mut lists = BTreeMap::new();
    for (pair, giver) in givers.into_iter().enumerate() {
        let popped = takers.get(pair).into_iter().flat_map(|it| &it.operations);
        let popped = popped.filter(|it| it.kind == Kind::Pop && it.outcome == Outcome::Done);
        let mut kept: BTreeSet<_> = popped.map(|it| it.number).collect();
        let left = call(wire, &["LRANGE", &list_of(pair), "0", "-1"])?;
        let numbers = items(&left).iter().filter_map(text);
        kept.extend(numbers.filter_map(|it| it.split(' ').next()?.parse::<u64>().ok()));
        lists.insert(giver, kept);
    }
    Ok(lists)
}

fn call(wire: &mut Wire, command: &[&str]) -> io::Result<Reply> {
    match wire.call(command, ANSWER_WITHIN)? {
        Reply::Error(error) => Err(io::Error::other(error)),
        reply => Ok(reply),
    }
}
