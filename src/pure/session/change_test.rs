//! Several sessions of one worker through a change of primary: a subscriber, and somebody who
//! publishes and may have hung up.

use super::{End, Limits, Policy, Session, World};
use crate::pure::command::Table;
use crate::pure::time::Time;
use crate::pure::topology::{Epoch, Gate, NodeId, Primary, Route, RunId};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_millis(50);

const SUBSCRIBE: &[u8] = b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n";
const CONFIRMED: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
const PUBLISH: &[u8] = b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$1\r\nx\r\n";

/// One worker's sessions.
struct Scene {
    world: World,
    subscriber: Session,
    publisher: Session,
    version: u64,
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

impl Scene {
    /// Both are at the primary of epoch 1.
    fn begin() -> Self {
        let policy = Policy { subscribers_first: LIMIT, ..Policy::PLAIN };
        let limits = Limits::PLAIN;
        let mut world = World::new(Arc::new(Table::builtin()), policy, limits, 1 << 20);
        let (subscriber, publisher) = (Session::new(&world), Session::new(&world));
        world.set_route(Route::START);
        let mut scene = Self { world, subscriber, publisher, version: 0 };
        scene.route(1, true, false, at(0));
        for request in [SUBSCRIBE, PUBLISH] {
            let it =
                if request == SUBSCRIBE { &mut scene.subscriber } else { &mut scene.publisher };
            it.on_client(&mut scene.world, at(0), request);
            it.on_link(&mut scene.world, at(0));
            assert_eq!(it.to_node(&scene.world), request);
            it.sent(&mut scene.world, at(0), request.len());
            let reply = if request == SUBSCRIBE { CONFIRMED } else { b":1\r\n" };
            it.on_node(&mut scene.world, at(0), reply);
            assert_eq!(it.to_client(), reply);
            it.delivered(reply.len());
        }
        scene
    }

    /// Another route; the publisher sees it first.
    fn route(&mut self, epoch: u64, is_open: bool, handed_over: bool, now: Time) {
        self.version += 1;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 7000));
        let process = RunId::parse(&"a".repeat(40)).unwrap();
        let primary = Primary { node: NodeId(1), addr, process };
        let gate = if is_open { Gate::Open(primary) } else { Gate::Held };
        let route = Route { version: self.version, epoch: Epoch(epoch), gate, handed_over };
        self.world.set_route(route);
        self.publisher.on_route(&mut self.world, now);
        self.subscriber.on_route(&mut self.world, now);
    }

    /// The primary of epoch 2 is there, and somebody wants to publish.
    fn change(&mut self, handed_over: bool) {
        self.route(2, false, handed_over, at(100));
        self.publisher.on_client(&mut self.world, at(101), PUBLISH);
        self.route(2, true, handed_over, at(110));
    }

    fn may_publish(&self, now: Time) -> bool {
        self.publisher.wants_link(&self.world, now)
    }

    /// The subscriber is told to the new primary.
    fn subscribe(&mut self, now: Time) {
        assert!(self.subscriber.wants_link(&self.world, now), "it does not wait for itself");
        self.subscriber.on_link(&mut self.world, now);
        assert_eq!(self.subscriber.to_node(&self.world), SUBSCRIBE);
        self.subscriber.sent(&mut self.world, now, SUBSCRIBE.len());
        assert!(!self.may_publish(now), "sent is not heard");
        self.subscriber.on_node(&mut self.world, now, CONFIRMED);
    }
}

#[test]
fn after_a_switchover_others_wait_until_subscribers_are_there() {
    let mut scene = Scene::begin();
    scene.change(true);
    assert!(!scene.may_publish(at(111)) && !scene.world.take_released());
    scene.subscribe(at(112));
    assert!(scene.may_publish(at(112)));
    assert!(scene.world.take_released(), "who waits is woken");
    assert!(!scene.world.take_released(), "once");
    assert_eq!(scene.world.tally.subscribers_late, 0);
}

#[test]
fn a_subscriber_that_publishes_waits_for_others_too() {
    let mut scene = Scene::begin();
    let mut speaker = Session::new(&scene.world);
    for (request, reply) in [
        (&b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"[..], &b"%0\r\n"[..]),
        (SUBSCRIBE, b">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"),
    ] {
        speaker.on_client(&mut scene.world, at(0), request);
        if speaker.wants_link(&scene.world, at(0)) {
            speaker.on_link(&mut scene.world, at(0));
        }
        let sent = speaker.to_node(&scene.world).len();
        speaker.sent(&mut scene.world, at(0), sent);
        speaker.on_node(&mut scene.world, at(0), reply);
    }
    scene.change(true);
    speaker.on_route(&mut scene.world, at(110));
    speaker.on_client(&mut scene.world, at(110), PUBLISH);
    speaker.on_link(&mut scene.world, at(111));
    let sent = speaker.to_node(&scene.world).len();
    speaker.sent(&mut scene.world, at(111), sent);
    let replies = b"%0\r\n>3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
    speaker.on_node(&mut scene.world, at(111), replies);
    assert_eq!(speaker.to_node(&scene.world), b"", "the other one is not there");
    scene.subscribe(at(112));
    assert_eq!(speaker.to_node(&scene.world), PUBLISH);
}

#[test]
fn nobody_waits_longer_than_the_limit() {
    let mut scene = Scene::begin();
    scene.change(true);
    let end = at(110) + LIMIT;
    assert_eq!(scene.publisher.deadline(&scene.world), Some(end));
    scene.publisher.on_deadline(&mut scene.world, at(110) + LIMIT / 2);
    assert!(!scene.may_publish(at(110) + LIMIT / 2), "too early");
    scene.publisher.on_deadline(&mut scene.world, end);
    assert!(scene.may_publish(end) && scene.world.take_released());
    assert_eq!(scene.world.tally.subscribers_late, 1);
    let later = scene.publisher.deadline(&scene.world);
    assert!(later.is_none_or(|it| it > end), "it is over");
}

#[test]
fn who_cannot_be_told_or_is_gone_is_not_waited_for() {
    let ends: [fn(&mut Scene); 3] = [
        |it| it.subscriber.on_link_failed(&mut it.world, at(111)),
        |it| it.subscriber.close(&mut it.world),
        |it| {
            it.subscriber.on_client_eof(&mut it.world, at(111));
        },
    ];
    for end in ends {
        let mut scene = Scene::begin();
        scene.change(true);
        assert!(!scene.may_publish(at(111)));
        end(&mut scene);
        assert!(scene.may_publish(at(111)) && scene.world.take_released());
    }
}

#[test]
fn nobody_waits_after_a_failover() {
    let mut scene = Scene::begin();
    scene.change(false);
    assert!(scene.may_publish(at(110)));
}

/// It was taken back, or became a failover, in the epoch that it had begun.
#[test]
fn nobody_waits_after_a_switchover_that_failed() {
    let mut scene = Scene::begin();
    scene.route(2, false, true, at(100));
    scene.publisher.on_client(&mut scene.world, at(101), PUBLISH);
    scene.route(2, true, false, at(110));
    assert!(scene.may_publish(at(110)));
    assert_eq!(scene.world.tally.subscribers_late, 0);
}

/// What waits is held: it must not be refused because somebody else is late.
#[test]
fn nobody_waits_so_long_that_he_would_be_refused() {
    let mut scene = Scene::begin();
    scene.world.policy.hold_timeout = Duration::from_millis(40);
    scene.change(true);
    assert!(!scene.may_publish(at(129)));
    assert!(scene.may_publish(at(130)), "half of hold.timeout after the gate was open");
}

#[test]
fn nobody_waits_for_subscribers_that_are_none() {
    let mut scene = Scene::begin();
    scene.subscriber.close(&mut scene.world);
    scene.change(true);
    assert!(scene.may_publish(at(110)));
}

/// The publisher has said all that it has to say, and hung up its half of the connection.
fn held_and_hung_up(handed_over: bool) -> Scene {
    let mut scene = Scene::begin();
    scene.subscriber.close(&mut scene.world);
    scene.route(2, false, handed_over, at(100));
    scene.publisher.on_client(&mut scene.world, at(101), PUBLISH);
    scene.publisher.on_client_eof(&mut scene.world, at(101));
    scene
}

#[test]
fn who_hung_up_is_answered_after_a_switchover() {
    let mut scene = held_and_hung_up(true);
    assert_eq!(scene.publisher.end(), None, "a moment is worth waiting");
    scene.route(2, true, true, at(110));
    assert!(scene.may_publish(at(110)));
    scene.publisher.on_link(&mut scene.world, at(111));
    assert_eq!(scene.publisher.to_node(&scene.world), PUBLISH);
    scene.publisher.sent(&mut scene.world, at(111), PUBLISH.len());
    scene.publisher.on_node(&mut scene.world, at(112), b":0\r\n");
    assert_eq!(scene.publisher.to_client(), b":0\r\n");
    assert_eq!(scene.publisher.end(), None, "it has not got it yet");
    scene.publisher.delivered(4);
    assert_eq!(scene.publisher.end(), Some(End::Client));
}

#[test]
fn nothing_is_run_for_who_hung_up_while_nobody_is_primary() {
    let scene = held_and_hung_up(false);
    assert_eq!(scene.publisher.end(), Some(End::Client));
    // Nor in a later hold of an epoch that began with a switchover.
    let mut scene = held_and_hung_up(true);
    scene.route(2, true, true, at(110));
    scene.route(2, false, true, at(120));
    assert_eq!(scene.publisher.end(), Some(End::Client));
}
