//! What is published through Segue while the primary changes as planned: every subscriber of the
//! same Segue gets it.

use crate::harness::{Client, Group, Kind, Proxy, Value};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

on_both!(nothing_that_is_published_is_missed);

/// Switchovers of one run; more with `SEGUE_SWITCHOVERS`.
const SWITCHOVERS: usize = 8;
/// So many that it takes them a moment to be there again.
const SUBSCRIBERS: i64 = 80;
/// Messages of one pipeline.
const AT_ONCE: usize = 4;
const LAST: &str = "the last one";

/// Goal: through planned switchovers no message is missed by any subscriber: the node says each
/// time that all of them were there, and each gets all messages in their order.
///
/// Method: subscribers by name, by pattern and in RESP3; publish as fast as it goes, from a session that
/// is older than they are, so that nothing but the rule lets them go first. They may take as long as
/// they need: how long that is is the machine's affair.
fn nothing_that_is_published_is_missed(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::over(&group.nodes())
        .with(|it| it["sessions"]["subscribers_first"] = json!("10s"))
        .start();
    proxy.wait_ready();
    let mut speaker = proxy.client();
    assert_eq!(speaker.call(&["PUBLISH", "news", "nobody listens"]), ":0");
    let listeners: Vec<_> = (0..SUBSCRIBERS).map(|n| subscriber(&proxy, n)).collect();
    let listeners: Vec<_> =
        listeners.into_iter().map(|mut it| thread::spawn(move || count(&mut it))).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || publish(&mut speaker, &stop))
    };
    let count = std::env::var("SEGUE_SWITCHOVERS").ok().and_then(|it| it.parse().ok());
    for _ in 0..count.unwrap_or(SWITCHOVERS) {
        let (code, account) = proxy.order(&["switchover"]);
        assert_eq!(code, Some(0), "{account}");
        group.wait_behind(group.by_name(account["to"].as_str().expect("a name")));
        proxy.wait_followed();
    }
    stop.store(true, Ordering::Relaxed);
    let (published, missed) = publisher.join().expect("the publisher ends");
    let heard: Vec<_> = listeners.into_iter().map(|it| it.join().expect("it ends")).collect();
    eprintln!("{kind:?}: {published} messages to {SUBSCRIBERS} subscribers, {missed} missed");
    assert_eq!(missed, 0, "of {published}");
    assert!(heard.iter().all(|it| *it == published), "{heard:?} of {published}");
    assert_eq!(proxy.metric("segue_subscribers_late_total"), 0.0);
}

fn subscriber(proxy: &Proxy, n: i64) -> Client {
    let mut client = proxy.client();
    if n % 3 == 0 {
        client.send_all(&[&["HELLO", "3"]]);
        client.read_any();
    }
    let command = if n % 2 == 0 { ["SUBSCRIBE", "news"] } else { ["PSUBSCRIBE", "new*"] };
    client.send_all(&[&command]);
    client.read_any();
    client
}

/// Reads until the last one; how many that were, which are in order.
fn count(client: &mut Client) -> usize {
    for n in 0.. {
        let message = client.read_any();
        let text = message.items().last().map(Value::text).expect("a text");
        if text == LAST {
            return n;
        }
        assert_eq!(text, n.to_string(), "missed or repeated");
    }
    unreachable!("as many messages as there are numbers")
}

/// Publishes until told to stop; how many messages that were, and how many deliveries the node missed.
fn publish(client: &mut Client, stop: &AtomicBool) -> (usize, i64) {
    let (mut published, mut missed) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let texts: Vec<_> = (published..published + AT_ONCE).map(|it| it.to_string()).collect();
        let commands: Vec<_> = texts.iter().map(|it| ["PUBLISH", "news", it]).collect();
        client.send_all(&commands.iter().map(|it| &it[..]).collect::<Vec<_>>());
        missed += client.read_n(AT_ONCE).iter().map(|it| SUBSCRIBERS - it.integer()).sum::<i64>();
        published += AT_ONCE;
    }
    let last = client.call(&["PUBLISH", "news", LAST]);
    (published, missed + SUBSCRIBERS - last.integer())
}
