//! An operator holds commands, and lets go of them.

use crate::harness::{Group, Kind, Proxy, eventually, segue};
use std::process::Output;

on_both!(commands_wait_while_an_operator_wants_it);

/// Goal: commands wait without an error and run when an operator lets go, or by themselves when the
/// time is over; nothing else changes, and nobody holds by mistake.
///
/// Method: hold under a client, look at the node and the status, release; then hold for a moment.
fn commands_wait_while_an_operator_wants_it(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce(&["\"Holding commands\""]);
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "0"]), "+OK");

    assert_eq!(run(&proxy, &["hold"]).status.code(), Some(64), "nobody was asked");
    assert_eq!(run(&proxy, &["release"]).status.code(), Some(75), "there is nothing to let go");
    assert_eq!(proxy.get("/api/v1/hold").0, 403);
    assert_eq!(run(&proxy, &["hold", "--for", "2m", "--yes"]).status.code(), Some(64));
    assert_eq!(proxy.status()["phase"], "steady");

    let held = run(&proxy, &["hold", "--for", "60s", "--yes"]);
    assert_eq!(held.status.code(), Some(0), "{}", String::from_utf8_lossy(&held.stderr));
    client.send_all(&[&["SET", "k", "1"]]);
    eventually("it is held", || (proxy.status()["held"]["commands"] == 1).then_some(()));
    let status = proxy.status();
    assert_eq!(
        (&status["phase"], &status["gate_open"]),
        (&"held".into(), &false.into()),
        "{status}"
    );
    assert_eq!(status["reason"], "an operator holds commands");
    assert_eq!(group.primary.call(&["GET", "k"]), "0");
    let refused = run(&proxy, &["switchover"]);
    assert_eq!(refused.status.code(), Some(75), "one thing at a time");
    assert_eq!(run(&proxy, &["release"]).status.code(), Some(0));
    assert_eq!(client.read(), "+OK");
    assert_eq!(group.primary.call(&["GET", "k"]), "1");

    assert_eq!(run(&proxy, &["hold", "--for", "300ms", "--yes"]).status.code(), Some(0));
    assert_eq!(client.call(&["SET", "k", "2"]), "+OK", "it ends by itself");
    assert_eq!(proxy.status()["epoch"], 1);
}

fn run(proxy: &Proxy, arguments: &[&str]) -> Output {
    let config = proxy.config();
    let config = config.to_str().expect("UTF-8");
    segue(arguments).args(["--config", config]).output().expect("the command runs")
}
