//! Whether the history of one register with unique values is linearizable: the zones of Gibbons
//! and Korach, in O(n log n).
//!
//! A *cluster* is a write with the reads of its value. Its zone lies between the earliest end and
//! the latest begin of its operations. Where the end comes first the zone is *forward*: the
//! register certainly had the value all through it. Otherwise it is *backward*: one moment in it
//! would do. A history is linearizable just if no two forward zones overlap, no backward zone lies
//! in a forward one, and no read ends before its write began.
//!
//! A write of unknown outcome has no end; if nobody read it, it is left out: it may never have run.

use super::{NEVER, Nanos};
use std::collections::BTreeMap;

/// An operation on the register. `V` is a value; `None` is what it held at the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<V> {
    pub(crate) value: Option<V>,
    pub(crate) is_write: bool,
    pub(crate) invoked: Nanos,
    /// [`NEVER`] if the outcome is unknown.
    pub(crate) done: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Cluster {
    write: Option<(Nanos, Nanos)>,
    is_read: bool,
    first_end: Nanos,
    last_begin: Nanos,
}

#[derive(Clone, Copy, Debug)]
struct Zone<V> {
    value: Option<V>,
    low: Nanos,
    high: Nanos,
}

/// Says why `accesses` are not linearizable.
pub(crate) fn check<V: Copy + Ord + std::fmt::Debug>(accesses: &[Access<V>]) -> Result<(), String> {
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    for (value, cluster) in clusters(accesses)? {
        let Some((begin, end)) = cluster.write else {
            return Err(format!("{value:?} was read and never written"));
        };
        if cluster.is_read && cluster.first_end < begin {
            return Err(format!("{value:?} was read before it was written"));
        }
        if !cluster.is_read && end == NEVER {
            continue;
        }
        if cluster.first_end < cluster.last_begin {
            forward.push(Zone { value, low: cluster.first_end, high: cluster.last_begin });
        } else {
            backward.push(Zone { value, low: cluster.last_begin, high: cluster.first_end });
        }
    }
    forward.sort_by_key(|it| it.low);
    for pair in forward.windows(2) {
        let [one, other] = pair else { continue };
        if other.low < one.high {
            return Err(format!(
                "{:?} was there until {} at least, and {:?} since {}",
                one.value, one.high, other.value, other.low
            ));
        }
    }
    for zone in backward {
        // The last forward zone that begins before this one; they do not overlap.
        let at = forward.partition_point(|it| it.low < zone.low);
        let around = at.checked_sub(1).and_then(|it| forward.get(it));
        if let Some(around) = around.filter(|it| zone.high < it.high) {
            return Err(format!(
                "{:?} was there from {} to {}, and {:?} in between",
                around.value, around.low, around.high, zone.value
            ));
        }
    }
    Ok(())
}

fn clusters<V: Copy + Ord + std::fmt::Debug>(
    accesses: &[Access<V>],
) -> Result<BTreeMap<Option<V>, Cluster>, String> {
    let mut clusters = BTreeMap::new();
    // The beginning is written before everything.
    let first = Cluster { write: Some((0, 0)), is_read: false, first_end: 0, last_begin: 0 };
    clusters.insert(None, first);
    for it in accesses {
        let cluster = clusters.entry(it.value).or_insert(Cluster {
            write: None,
            is_read: false,
            first_end: NEVER,
            last_begin: 0,
        });
        if it.is_write && cluster.write.replace((it.invoked, it.done)).is_some() {
            return Err(format!("{:?} was written twice: values must be unique", it.value));
        }
        cluster.is_read |= !it.is_write;
        cluster.first_end = cluster.first_end.min(it.done);
        cluster.last_begin = cluster.last_begin.max(it.invoked);
    }
    Ok(clusters)
}
