//! Stories of primaries that came back as another process, and of who knows more than they do.

use super::super::world_test::{Fault, World, params};
use super::super::{Guarded, Note, Params};
use crate::pure::detect::Health;
use crate::pure::topology::{NodeId, ReplId, Report};

fn steady(params: Params) -> World {
    let mut world = World::new(3, params);
    world.run(550);
    assert_eq!(serving(&world), Some(0));
    world
}

fn serving(world: &World) -> Option<u16> {
    world.route.primary().map(|it| it.node.0)
}

fn is_amnesia(note: &Note) -> bool {
    matches!(note, Note::Amnesia { .. })
}

fn has_released(world: &World) -> bool {
    world.notes.iter().any(|it| matches!(it, Note::Released { .. }))
}

/// Its replicas copy it at once; it need not be trusted first to be trusted less.
#[test]
fn what_came_back_empty_is_dead_before_it_counts_as_up() {
    let mut params = params();
    params.detect.rise = 5;
    let mut world = steady(params);
    world.fault(Fault::Kill(0));
    world.fault(Fault::Hang(1));
    world.fault(Fault::Hang(2));
    world.run(2_000);
    world.fault(Fault::Resume(1));
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
    world.run(150);
    let is_up = |it: &Note| {
        matches!(it, Note::HealthChanged { node: NodeId(0), from: Health::Down(_), .. })
    };
    assert!(!world.notes.iter().any(is_up), "{:?}", world.notes);
    assert!(world.notes.iter().any(is_amnesia), "{:?}", world.notes);
}

/// Node 1 went on by itself after the fork, and node 0 came back without a part that was before it.
fn apart(behind: u64) -> World {
    let mut world = steady(params());
    for n in [1, 2] {
        world.nodes[n].is_frozen = true;
    }
    world.run(100);
    let (history, offset) = (world.nodes[1].replid, world.nodes[1].offset);
    (world.nodes[0].replid, world.nodes[0].descends) = (500, Some((history, offset - 99)));
    world.run(200);
    world.fault(Fault::Kill(2));
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.nodes[0].descends = Some((history, offset - 99 - behind));
    world.nodes[0].offset = offset - 100 - behind;
    world.run(1_000);
    world
}

#[test]
fn who_went_on_by_himself_saves_what_was_served_before() {
    let world = apart(100);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
    assert!(world.notes.iter().any(is_amnesia), "{:?}", world.notes);
    let world = apart(0);
    assert_eq!(serving(&world), Some(0), "it lacks nothing: {:?}", world.notes);
    assert!(!world.notes.iter().any(is_amnesia), "{:?}", world.notes);
}

/// Node 1 was promoted behind our back out of an older history than the one that was served; what
/// comes back on node 0 is older still.
#[test]
fn who_would_replace_what_came_back_is_followed_at_once() {
    let mut world = steady(params());
    for n in [1, 2] {
        world.nodes[n].is_frozen = true;
    }
    let (history, offset) = (world.nodes[1].replid, world.nodes[1].offset);
    (world.nodes[1].replid, world.nodes[1].descends) = (501, Some((history, offset - 49)));
    (world.nodes[0].replid, world.nodes[0].descends) = (502, Some((501, offset - 20)));
    world.run(200);
    world.fault(Fault::Kill(2));
    world.fault(Fault::Kill(0));
    world.run(50);
    world.nodes[1].follows = None;
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.nodes[0].descends = Some((history, offset - 199));
    world.nodes[0].offset = offset - 200;
    world.run(1_000);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
    assert!(!has_released(&world), "{:?}", world.notes);
}

/// A worker that is stuck confirms late; who was to be followed meanwhile lacks what came back.
#[test]
fn whoever_is_followed_is_looked_at_again() {
    let mut world = steady(params());
    for n in [1, 2] {
        world.fault(Fault::Kill(n));
    }
    world.run(1_000);
    world.fault(Fault::SlowWorker(4_000));
    world.fault(Fault::Kill(0));
    world.nodes[0].follows = Some(1);
    world.nodes[0].is_frozen = true;
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: false });
    world.fault(Fault::Restart { node: 1, keeps_keys: false, alone: true });
    world.run(1_500);
    assert!(world.notes.iter().any(|it| matches!(it, Note::Committed { .. })), "{:?}", world.notes);
    world.nodes[2].is_frozen = true;
    world.fault(Fault::Restart { node: 2, keeps_keys: true, alone: false });
    world.nodes[2].replid = 1;
    world.nodes[2].offset = 1_300;
    world.run(4_000);
    assert_ne!(serving(&world), Some(1), "{:?}", world.notes);
}

/// Keys that clients wrote to the new process before it was noticed hide what it lost.
#[test]
fn in_a_guarded_group_keys_prove_nothing() {
    let guarded = Some(Guarded { replicas_min: 1, always_quorum: false });
    for (guarded, expected) in [(None, Some(0)), (guarded, Some(1))] {
        let mut world = steady(Params { guarded, ..params() });
        world.nodes[1].is_frozen = true;
        acknowledge(&mut world, 1);
        world.run(200);
        world.fault(Fault::Kill(2));
        world.fault(Fault::Kill(0));
        world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
        world.nodes[0].keys += 10;
        world.run(1_000);
        assert_eq!(serving(&world), expected, "{guarded:?} {:?}", world.notes);
    }
}

/// Tells that everything is acknowledged that `node` has.
fn acknowledge(world: &mut World, node: usize) {
    use crate::pure::topology::{Acknowledged, Epoch, ReplId};
    let it = &world.nodes[node];
    let replid = ReplId::parse(&format!("{:040x}", it.replid)).expect("an id");
    world.brain.acknowledged(Acknowledged { epoch: Epoch(1), replid, offset: it.offset });
}

/// Node 1 took over, went on, and node 0, which it took over from, did so as well.
#[test]
fn a_successor_has_what_its_predecessor_lacks() {
    use crate::pure::topology::{ReplId, Report, Role, RunId};
    let world = steady(params());
    let id = |n: u64| ReplId::parse(&format!("{n:040x}")).expect("an id");
    let old = Report {
        version: String::new(),
        run_id: RunId::parse(&"r".repeat(40)).expect("an id"),
        role: Role::Primary,
        replid: id(7),
        descends: None,
        offset: 300,
        loading: false,
        failing_over: false,
        followers: Vec::new(),
        keys: 50,
        expiring_keys: 0,
    };
    let new = |offset| Report {
        replid: id(8),
        descends: Some((id(7), 201)),
        offset,
        keys: 45,
        ..old.clone()
    };
    assert!(world.brain.holds_more(&new(210), &old), "its own ten bytes");
    assert!(!world.brain.holds_more(&new(200), &old), "nothing of its own");
}

/// Both went on from one history at one offset, and the lower run id would win between two deciders.
/// But it was ours, and was replaced by us.
#[test]
fn whom_we_replaced_is_nobody_elses_choice() {
    // Followed with its first answer, it would be so before it is demoted.
    let mut params = params();
    params.detect.rise = 1;
    let mut world = steady(params);
    world.nodes[2].is_frozen = true;
    world.run(100);
    world.fault(Fault::Kill(0));
    world.run(2_000);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
    world.fault(Fault::Hang(1));
    world.nodes[2].offset = world.nodes[1].descends.map_or(0, |it| it.1) - 1;
    world.run(3_000);
    assert_eq!(serving(&world), Some(2), "{:?}", world.notes);
    world.nodes[2].descends = world.nodes[1].descends;
    world.run(200);
    world.fault(Fault::Resume(1));
    world.run(1_000);
    assert_eq!(serving(&world), Some(2), "{:?}", world.notes);
}

/// Node 1 was promoted by hand, behind what nodes 0 and 2 have, crashed, and came back from an
/// append-only file without `lost` keys: what it has is of a history that nobody knows.
fn promoted_behind(lost: u64, more: u64) -> World {
    let mut world = steady(params());
    world.nodes[1].is_frozen = true;
    world.fault(Fault::Kill(0));
    world.run(100);
    for n in [1, 2] {
        world.nodes[n].is_frozen = true;
    }
    world.nodes[2].offset += 500;
    world.promote_by_hand(1);
    world.run(1_000);
    assert_eq!(serving(&world), Some(1), "{:?}", world.notes);
    world.nodes[2].keys = world.nodes[1].keys + more - lost;
    world.run(150);
    world.fault(Fault::Kill(1));
    world.run(50);
    world.fault(Fault::Restart { node: 1, keeps_keys: true, alone: true });
    world.nodes[1].keys -= lost;
    world.run(20_000);
    world
}

/// Each may have what the other lacks, and no name tells: what was served behind the fork, or what
/// the file lost from before it.
#[test]
fn who_came_back_with_less_than_it_said_and_who_went_on_are_told_apart_by_a_human() {
    let world = promoted_behind(100, 60);
    assert_eq!(serving(&world), None, "{:?}", world.notes);
    let is_told = |it: &Note| matches!(it, Note::Waiting { reason } if reason.contains("n2 went on by itself") && reason.contains("segue adopt"));
    assert!(world.notes.iter().any(is_told), "{:?}", world.notes);
    for (lost, more) in [(0, 60), (100, 0)] {
        let world = promoted_behind(lost, more);
        assert_eq!(serving(&world), Some(1), "nothing is missing: {:?}", world.notes);
        assert!(!world.notes.iter().any(is_amnesia), "{:?}", world.notes);
    }
}

/// It has as many keys as its replicas, and more: of a file that was written before it joined the
/// history that it served. One of which nobody has heard may have begun since; then keys tell, also if
/// they expire.
#[test]
fn a_file_of_another_line_lacks_what_was_served() {
    let cases = [
        (Some((77, 900)), 500, false, true),
        (Some((78, 900)), 500, false, false),
        (None, 500, false, false),
        (Some((77, 900)), 10, true, true),
        (Some((78, 900)), 10, true, true),
    ];
    for (descends, keys, is_cache, expected) in cases {
        let mut world = steady(params());
        let heard = world.brain.members[1].report().expect("it was heard").clone();
        let replid = ReplId::parse(&format!("{:040x}", 77)).expect("an id");
        world.brain.lineage.learn(&Report { replid, descends: None, ..heard });
        world.nodes.iter_mut().for_each(|it| it.is_cache = is_cache);
        world.run(200);
        world.fault(Fault::Kill(0));
        world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
        (world.nodes[0].descends, world.nodes[0].keys) = (descends, keys);
        world.run(1_500);
        assert_eq!(world.notes.iter().any(is_amnesia), expected, "{:?}", world.notes);
        assert_eq!(serving(&world) != Some(0), expected, "{:?}", world.notes);
    }
}

/// Replicas have begun to copy what came back before anybody looked. What they had of that history
/// they had said before, and it is more, though it has as many keys.
#[test]
fn what_was_said_before_a_copy_began_counts() {
    let mut world = steady(params());
    let fork = world.nodes[1].offset - 99;
    world.fault(Fault::Cut(0));
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    (world.nodes[0].descends, world.nodes[0].keys) = (Some((1, fork)), 500);
    for n in [1, 2] {
        world.nodes[n].sync_until = Some(world.now + 10_000);
    }
    world.run(100);
    world.fault(Fault::Heal(0));
    world.run(1_500);
    assert!(world.notes.iter().any(is_amnesia), "{:?}", world.notes);
    assert!(matches!(serving(&world), Some(1 | 2)), "{:?}", world.notes);
}

/// Whoever held more is gone for good. What there is serves then; but not before it is known, since it
/// was restarted once more.
#[test]
fn nothing_is_forgiven_to_who_still_loads() {
    let mut world = steady(params());
    world.fault(Fault::Cut(0));
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: false, alone: true });
    for n in [1, 2] {
        world.fault(Fault::Kill(n));
    }
    world.run(50);
    world.fault(Fault::Heal(0));
    world.run(2_000);
    assert!(world.notes.iter().any(is_amnesia), "{:?}", world.notes);
    world.fault(Fault::Kill(0));
    world.fault(Fault::Restart { node: 0, keeps_keys: true, alone: true });
    world.nodes[0].says_loading = true;
    world.run(15_000);
    let is_forgiven = |it: &Note| matches!(it, Note::Forgiven { .. });
    assert!(!world.notes.iter().any(is_forgiven), "{:?}", world.notes);
    world.nodes[0].says_loading = false;
    world.run(1_000);
    assert_eq!(serving(&world), Some(0), "{:?}", world.notes);
}
