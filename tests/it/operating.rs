//! What an operator sees: pages, status, exit codes.

use crate::harness::{Group, Kind, Port, Proxy, Server, config_file, eventually, segue};
use serde_json::{Value as Json, json};
use std::net::TcpListener;
use tempfile::TempDir;

on_both!(
    pages_tell_liveness_readiness_metrics_and_status,
    the_status_command_finds_a_running_segue,
);

/// Goal: `/livez` does not depend on nodes, `/readyz` does; metrics and status are well formed
/// and agree with the nodes.
///
/// Method: read the pages with a primary, without one, and after it was replaced.
fn pages_tell_liveness_readiness_metrics_and_status(kind: Kind) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    assert_eq!(proxy.get("/livez").0, 200);
    assert_eq!(proxy.get("/readyz").0, 200);
    assert_eq!(proxy.get("/nowhere").0, 404);
    check_metrics(&proxy.get("/metrics").1);

    let status = eventually("both nodes are known", || {
        let status = proxy.status();
        (status["nodes"][1]["link_up"] == json!(true)).then_some(status)
    });
    assert_eq!(status["group"], "main");
    assert_eq!(status["phase"], "steady");
    assert_eq!(status["primary"], "a");
    assert_eq!(status["nodes"][0]["role"], "primary");
    assert_eq!(status["nodes"][0]["run_id"], group.primary.info("server")["run_id"].as_str());
    assert_eq!(status["nodes"][1]["role"], "replica");
    assert_eq!(status["nodes"][1]["address"], group.replicas[0].addr().to_string());

    group.primary.kill();
    group.replicas[0].kill();
    eventually("it is not ready", || (proxy.get("/readyz").0 == 503).then_some(()));
    assert_eq!(proxy.get("/livez").0, 200);
}

/// Every line is a comment or a series of ours with a number; every family has its help.
fn check_metrics(text: &str) {
    assert!(text.contains("# TYPE segue_"), "{text}");
    for line in text.lines().filter(|it| !it.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        assert!(series.starts_with("segue_") || series.starts_with("process_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|it| name.strip_suffix(it));
        let known = [Some(name), family];
        let helped = |it: &str| text.contains(&format!("# HELP {it} "));
        assert!(known.into_iter().flatten().any(helped), "{line} has no help");
    }
}

/// Goal: `segue status` shows what runs, for people and for programs, and says when nothing runs.
///
/// Method: ask with the configuration of a running Segue, then once it has ended.
fn the_status_command_finds_a_running_segue(kind: Kind) {
    let group = Group::start(kind, 1);
    let mut proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let config = proxy.config();
    let config = config.to_str().expect("UTF-8");
    let ask = |more: &[&str]| {
        let output = segue(&["status", "--config", config]).args(more).output().expect("runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (ok, text) = ask(&[]);
    assert!(ok && text.contains("main"), "{text}");
    for node in group.nodes() {
        assert!(text.contains(&node.addr().to_string()), "{text}");
    }
    let (ok, text) = ask(&["--json"]);
    let status: Json = serde_json::from_str(&text).expect("JSON");
    assert!(ok);
    assert_eq!(status["primary"], "a");

    proxy.terminate();
    assert!(proxy.wait_ended().success());
    let (ok, text) = ask(&[]);
    assert!(!ok, "nobody runs, yet: {text}");
}

/// Goal: a bad configuration ends `run` with 78 and every problem on standard error; a taken
/// address ends it with another code.
///
/// Method: start it on such.
#[test]
fn a_start_that_cannot_be_ends_with_its_code() {
    let dir = TempDir::new().expect("a temporary directory");
    let run = |config: &Json| {
        let path = config_file(dir.path(), config);
        let path = path.to_str().expect("UTF-8");
        let output = segue(&["run", "--config", path]).output().expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (code, text) = run(&json!({ "listenn": [], "health": { "interval": "soon" } }));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("listenn"), "{text}");

    let (taken, http, node) = (TcpListener::bind("127.0.0.1:0"), Port::reserve(), Port::reserve());
    let taken = taken.expect("a port");
    let addr = taken.local_addr().expect("bound").to_string();
    let (code, text) = run(&json!({
        "listen": [{ "address": addr }],
        "http": { "address": http.addr().to_string() },
        "control": { "address": format!("unix:{}", dir.path().join("s.sock").display()) },
        "group": { "name": "g", "nodes": [{ "name": "a", "address": node.addr().to_string() }] },
    }));
    assert!(code.is_some_and(|it| it != 0 && it != 78), "{code:?} {text}");
    assert!(text.contains(&addr), "it names the address: {text}");
    assert!(text.contains("is Segue running already?"), "it says what to do: {text}");
    // Of those that are for documentation (RFC 5737).
    let (_, text) = run(&json!({
        "listen": [{ "address": "192.0.2.1:6380" }],
        "group": { "name": "g", "nodes": [{ "name": "a", "address": node.addr().to_string() }] },
    }));
    assert!(text.contains("It is no address of this machine"), "it says what to do: {text}");

    let missing = segue(&["run", "--config", "nowhere/proxy.yaml"]).output().expect("runs");
    assert_ne!(missing.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere/proxy.yaml"));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("with --config"));
}

/// Goal: people who read logs get lines, not JSON, by default.
///
/// Method: start with `format: text`; the lines are announced, because the harness reads JSON.
#[test]
fn text_logs_name_level_and_fact() {
    let node = Server::primary(Kind::Redis);
    let proxy = Proxy::over(&[&node]).with(|it| it["log"]["format"] = json!("text")).start();
    proxy.announce(&[""]);
    proxy.wait_ready();
    eventually("it logs", || (proxy.logged("INFO") > 0).then_some(()));
    assert!(!proxy.log().contains('\u{1b}'), "no colours in a pipe");
}
