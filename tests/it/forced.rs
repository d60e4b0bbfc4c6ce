//! Failovers that an operator orders although the primary answers.

use crate::harness::{Group, Kind, Proxy, Server, eventually, segue};
use serde_json::Value as Json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Output;

on_both!(
    a_primary_that_answers_is_given_up_and_demoted,
    who_cannot_take_over_is_named_and_nothing_is_touched,
    not_while_a_switchover_is_under_way,
);

/// What a forced failover makes Segue say, beside what every failover does.
const ORDERED: &str = "an operator ordered a failover";

/// Goal: the best replica takes over, then a named one; nothing that had been replicated is lost,
/// clients stay connected, and the old primary becomes a replica without a full copy.
///
/// Method: order it under a client that writes before and after, and look at the nodes.
fn a_primary_that_answers_is_given_up_and_demoted(kind: Kind) {
    let group = Group::start(kind, 2);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "before", "1"]), "+OK");
    group.wait_in_sync();
    let full = |it: &Server| it.info("stats")["sync_full"].clone();
    let fulls = || group.nodes().into_iter().map(full).collect::<Vec<_>>();
    let before = fulls();

    let (code, account) = proxy.order(&["failover", "--yes"]);
    assert_eq!((code, &account["outcome"]), (Some(0), &Json::from("done")), "{account}");
    let new = by_name(&group, &account["to"]);
    assert!(new.is_primary() && !group.primary.is_primary(), "{account}");
    assert_eq!(client.call(&["GET", "before"]), "1");
    assert_eq!(client.call(&["SET", "after", "1"]), "+OK");
    assert_eq!(new.call(&["GET", "after"]), "1");
    assert!(proxy.logged(ORDERED) > 0, "the log says whose decision it was");
    let told = segue(&["events", "--json", "--config", proxy.config().to_str().expect("UTF-8")])
        .output()
        .expect("the command runs");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let events: Vec<Json> =
        told.lines().map(|it| serde_json::from_str(it).expect("a line of JSON")).collect();
    let lost = events.iter().position(|it| it["fields"]["reason"].to_string().contains(ORDERED));
    let over = events.iter().position(|it| it["message"] == "Failed over");
    assert!(lost.is_some() && lost < over, "{told}");
    eventually("everybody follows", || {
        let mut others = group.nodes().into_iter().filter(|it| it.addr() != new.addr());
        others.all(|it| it.follows(new)).then_some(())
    });
    wait_in_step(&proxy, 2);

    let (code, account) = proxy.order(&["failover", "--to", "a", "--yes"]);
    assert_eq!((code, &account["to"]), (Some(0), &Json::from("a")), "{account}");
    assert!(group.primary.is_primary());
    assert_eq!(client.call(&["GET", "after"]), "1");
    assert_eq!(proxy.promotions(), 2.0);
    eventually("everybody follows", || {
        group.replicas.iter().all(|it| it.follows(&group.primary)).then_some(())
    });
    assert_eq!(fulls(), before, "a full resynchronisation");
    assert_eq!(proxy.metric("segue_commands_uncertain_total"), 0.0);
}

/// Goal: each replica that cannot take over is named with its reason and the code tells what kind
/// of refusal it was; the read-only port changes nothing.
///
/// Method: ask for what cannot be.
fn who_cannot_take_over_is_named_and_nothing_is_touched(kind: Kind) {
    let group = Group::start(kind, 2);
    let proxy = Proxy::start(&group.nodes());
    // A machine that is busy with other tests may make a node late.
    proxy.announce(&["\"Holding commands\""]);
    group.replicas[0].call(&["CONFIG", "SET", "replica-priority", "0"]);
    eventually("it is seen", || {
        let (_, account) = proxy.order(&["failover", "--dry-run"]);
        let says = account["warnings"].to_string();
        assert!(says.contains("segue switchover"), "{account}");
        (account["to"] == "c" && says.contains("b cannot take over: its priority is 0"))
            .then_some(())
    });
    let (code, account) = proxy.order(&["failover", "--to", "b", "--yes"]);
    let reasons = Json::from(vec!["b cannot take over: its priority is 0"]);
    assert_eq!((code, &account["reasons"]), (Some(75), &reasons), "{account}");
    group.replicas[1].call(&["CONFIG", "SET", "replica-priority", "0"]);
    eventually("it is seen", || {
        let (code, account) = proxy.order(&["failover", "--dry-run"]);
        let reasons = account["reasons"].as_array().map_or(0, Vec::len);
        (code == Some(75) && reasons == 2).then_some(())
    });
    let (code, account) = proxy.order(&["failover", "--to", "a", "--yes"]);
    assert_eq!(code, Some(75));
    assert!(account["reasons"][0].as_str().is_some_and(|it| it.contains("already")), "{account}");
    assert_eq!(proxy.order(&["failover", "--to", "nobody", "--yes"]).0, Some(64));

    let unasked = run(&proxy, &[]);
    let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
    assert_eq!(unasked.status.code(), Some(64), "{said}");
    assert!(said.contains("--yes"), "{said}");
    let mut nowhere = segue(&["failover", "--yes", "--control", "unix:/nonexistent/segue.sock"]);
    assert_eq!(nowhere.output().expect("the command runs").status.code(), Some(69));
    assert_eq!(proxy.get("/api/v1/failover").0, 403);
    assert!(group.primary.is_primary());
    assert_eq!(proxy.status()["epoch"], 1);
}

/// Goal: while a switchover is under way a failover is refused with 409, and the switchover goes on
/// to its end.
///
/// Method: a write that the primary does not answer yet keeps the switchover in its drain phase;
/// the order follows the first line of its account, and then the primary answers.
fn not_while_a_switchover_is_under_way(kind: Kind) {
    let group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce(&["\"Holding commands\"", "\"The switchover did not succeed\""]);
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "k", "0"]), "+OK");
    group.wait_in_sync();
    group.primary.call(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    client.send_all(&[&["SET", "k", "1"]]);
    eventually("it has reached the node", || {
        let clients = group.primary.info("clients");
        (clients["blocked_clients"] != "0").then_some(())
    });
    let mut switchover = BufReader::new(post(&proxy, "/api/v1/switchover?to=b"));
    let mut line = String::new();
    while !line.contains("\"began\"") {
        line.clear();
        assert_ne!(switchover.read_line(&mut line).expect("it is told"), 0, "no beginning");
    }
    let mut refused = String::new();
    post(&proxy, "/api/v1/failover").read_to_string(&mut refused).expect("it is answered");
    assert!(refused.starts_with("HTTP/1.1 409 "), "{refused}");
    assert!(refused.contains("under way"), "{refused}");
    group.primary.call(&["CLIENT", "UNPAUSE"]);
    let mut rest = String::new();
    switchover.read_to_string(&mut rest).expect("it ends");
    assert_eq!(client.read(), "+OK");
    // Where the machine was too slow for the drain phase, it was taken back by itself.
    let is_done = rest.contains("\"outcome\":\"done\"");
    assert!(is_done || rest.contains("a command in flight takes longer"), "{rest}");
    assert_eq!((group.replicas[0].is_primary(), group.primary.is_primary()), (is_done, !is_done));
}

/// A request on the control socket whose answer is still to be read.
fn post(proxy: &Proxy, path: &str) -> UnixStream {
    let socket = proxy.config().with_file_name("segue.sock");
    let mut stream = UnixStream::connect(socket).expect("segue accepts");
    write!(stream, "POST {path} HTTP/1.1\r\nHost: segue\r\nConnection: close\r\n\r\n")
        .expect("segue reads");
    stream
}

fn run(proxy: &Proxy, more: &[&str]) -> Output {
    let config = proxy.config();
    let config = config.to_str().expect("UTF-8");
    segue(&["failover", "--config", config]).args(more).output().expect("the command runs")
}

fn by_name<'a>(group: &'a Group, name: &Json) -> &'a Server {
    let name = name.as_str().expect("a name");
    group.nodes()[usize::from(name.as_bytes()[0] - b'a')]
}

/// Waits until Segue has seen `count` replicas in step.
#[track_caller]
fn wait_in_step(proxy: &Proxy, count: usize) {
    eventually("Segue sees replicas in step", || {
        let status = proxy.status();
        let up = status["nodes"].as_array()?.iter().filter(|it| it["link_up"] == true).count();
        (up == count).then_some(())
    });
}
