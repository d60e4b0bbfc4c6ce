//! Off-the-shelf clients, unmodified, in both protocols, across a failover.
//!
//! The scripts in `clients/` say `ordinary` when their ordinary commands went through, wait for a
//! line, and say `carried on` when the *same connection* still works. They never reconnect.

use crate::harness::{Group, Kind, Proxy};
use ::redis::{Commands as _, Connection, RedisResult};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

on_both!(
    redis_py_in_resp2,
    redis_py_in_resp3,
    ioredis_in_resp2,
    node_redis_in_resp2,
    node_redis_in_resp3,
    the_redis_crate_in_resp2,
    the_redis_crate_in_resp3,
);

fn redis_py_in_resp2(kind: Kind) {
    script(kind, &python(), "redis_py.py", "2");
}

fn redis_py_in_resp3(kind: Kind) {
    script(kind, &python(), "redis_py.py", "3");
}

fn ioredis_in_resp2(kind: Kind) {
    script(kind, Path::new("node"), "ioredis.cjs", "2");
}

fn node_redis_in_resp2(kind: Kind) {
    script(kind, Path::new("node"), "node_redis.cjs", "2");
}

fn node_redis_in_resp3(kind: Kind) {
    script(kind, Path::new("node"), "node_redis.cjs", "3");
}

fn cached(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(path);
    assert!(path.exists(), "{} is missing: run scripts/install, then try again", path.display());
    path
}

fn python() -> PathBuf {
    cached("venv/bin/python")
}

/// Goal: a client library's ordinary commands work through Segue unchanged, and its connection
/// outlives the primary.
///
/// Method: run its script, kill the primary between the two halves.
fn script(kind: Kind, program: &Path, name: &str, protocol: &str) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name);
    let mut child = Command::new(program)
        .arg(file)
        .args([&proxy.addr().port().to_string(), protocol])
        .env("NODE_PATH", cached("node/node_modules"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut input = child.stdin.take().expect("piped");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().and_then(Result::ok);

    assert_eq!(next().as_deref(), Some("ordinary"));
    group.wait_in_sync();
    group.primary.kill();
    input.write_all(b"killed\n").expect("the script reads");
    assert_eq!(next().as_deref(), Some("carried on"));
    assert!(child.wait().expect("the script is ours").success());
    assert_eq!(group.replicas[0].call(&["GET", "after"]), "failover");
}

fn the_redis_crate_in_resp2(kind: Kind) {
    redis_crate(kind, "resp2");
}

fn the_redis_crate_in_resp3(kind: Kind) {
    redis_crate(kind, "resp3");
}

/// Goal and method: as [`script`], in this process.
fn redis_crate(kind: Kind, protocol: &str) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let url = format!("redis://{}/3?protocol={protocol}", proxy.addr());
    let client = ::redis::Client::open(url).expect("a URL");
    let mut connection = client.get_connection().expect("segue accepts");
    ordinary(&mut connection).expect("ordinary commands");
    group.wait_in_sync();

    group.primary.kill();
    let hash: HashMap<String, i64> = connection.hgetall("hash").expect("the same connection");
    assert_eq!(hash, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    let _: () = connection.set("after", "failover").expect("the same connection");
    let mut direct = group.replicas[0].client();
    direct.call(&["SELECT", "3"]);
    assert_eq!(direct.call(&["GET", "after"]), "failover");
}

fn ordinary(connection: &mut Connection) -> RedisResult<()> {
    let _: () = connection.set("text", "value")?;
    assert_eq!(connection.get::<_, String>("text")?, "value");
    assert_eq!(connection.get::<_, Option<String>>("none")?, None);
    assert_eq!(connection.incr::<_, _, i64>("number", 5)?, 5);
    let _: () = connection.hset_multiple("hash", &[("a", 1), ("b", 2)])?;
    assert_eq!(connection.rpush::<_, _, i64>("list", &["x", "y", "z"])?, 3);
    assert_eq!(connection.lrange::<_, Vec<String>>("list", 0, -1)?, ["x", "y", "z"]);
    let _: () = connection.zadd("scores", "one", 1.5)?;
    assert_eq!(connection.zscore::<_, _, f64>("scores", "one")?.to_bits(), 1.5_f64.to_bits());
    let (first, second): (i64, String) =
        ::redis::pipe().atomic().incr("number", 1).get("text").query(connection)?;
    assert_eq!((first, second.as_str()), (6, "value"));
    let missing: RedisResult<i64> = connection.incr("text", 1);
    assert!(missing.is_err(), "a server's error is an error");
    let script = ::redis::Script::new("return redis.call('GET', KEYS[1])");
    assert_eq!(script.key("text").invoke::<String>(connection)?, "value");
    assert_eq!(connection.scan_match::<_, String>("li*")?.count(), 1);
    Ok(())
}
