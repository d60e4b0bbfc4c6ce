//! What a session has set up is there on the new primary.

use crate::harness::{Client, Group, Kind, Proxy, Server, Value};

on_both!(
    name_database_protocol_and_library_are_restored,
    an_acl_user_stays_who_it_is,
    everything_with_passwords_fails_over,
    a_reset_session_stays_reset,
);

/// The line of `CLIENT LIST` at `node` that has `field`.
fn listed(node: &Server, field: &str) -> String {
    let list = node.call(&["CLIENT", "LIST"]).text();
    let line = list.lines().find(|it| it.split(' ').any(|it| it == field));
    line.unwrap_or_else(|| panic!("no {field} in\n{list}")).to_owned()
}

fn has(line: &str, field: &str) -> bool {
    line.split(' ').any(|it| it == field)
}

/// A field of a RESP3 map, `HELLO`'s reply for example.
fn field(map: &Value, name: &str) -> String {
    let Value::Map(pairs) = map else { panic!("{map} is no map") };
    let found = pairs.iter().find(|(key, _)| *key == name);
    found.unwrap_or_else(|| panic!("no {name} in {map}")).1.to_string()
}

/// Goal: `SELECT`, `HELLO 3`, `CLIENT SETNAME` and `SETINFO` are in force on the new primary.
///
/// Method: set them, kill the primary, ask as the session, and look at the new primary's own
/// `CLIENT LIST`.
fn name_database_protocol_and_library_are_restored(kind: Kind) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client = proxy.client();
    assert_eq!(field(&client.call(&["HELLO", "3", "SETNAME", "first"]), "proto"), ":3");
    // With this a session has a connection of its own, which the node knows by its name.
    assert_eq!(client.call(&["CLIENT", "NO-EVICT", "ON"]), "+OK");
    assert_eq!(client.call(&["CLIENT", "SETNAME", "resp3-session"]), "+OK");
    assert_eq!(client.call(&["SELECT", "5"]), "+OK");
    if kind == Kind::Valkey {
        assert_eq!(client.call(&["CLIENT", "SETINFO", "LIB-NAME", "mylib"]), "+OK");
        assert_eq!(client.call(&["CLIENT", "SETINFO", "LIB-VER", "1.2.3"]), "+OK");
    }
    assert_eq!(client.call(&["HSET", "h", "f", "v"]), ":1");
    let mut plain = proxy.client();
    assert_eq!(plain.call(&["CLIENT", "NO-EVICT", "ON"]), "+OK");
    assert_eq!(plain.call(&["CLIENT", "SETNAME", "resp2-session"]), "+OK");
    group.wait_in_sync();

    group.primary.kill();
    // A map, not an array: the protocol is still 3. And database 5, where the hash is.
    assert_eq!(client.call(&["HGETALL", "h"]), "{f: v}");
    assert_eq!(client.call(&["GET", "none"]), Value::Null.to_string().as_str());
    assert_eq!(client.call(&["CLIENT", "GETNAME"]), "resp3-session");
    assert_eq!(plain.call(&["HGETALL", "h"]), "[]");
    let new = &group.replicas[0];
    let line = listed(new, "name=resp3-session");
    assert!(has(&line, "db=5") && has(&line, "user=default"), "{line}");
    if kind == Kind::Valkey {
        let all = ["resp=3", "lib-name=mylib", "lib-ver=1.2.3"];
        assert!(all.iter().all(|it| has(&line, it)), "{line}");
        assert!(has(&listed(new, "name=resp2-session"), "resp=2"));
    }
    assert!(has(&listed(new, "name=resp2-session"), "db=0"));
}

/// Goal: a session is the same ACL user afterwards, with that user's rights and no more.
///
/// Method: one user on both nodes (ACLs do not replicate), by `AUTH` and by `HELLO … AUTH`.
fn an_acl_user_stays_who_it_is(kind: Kind) {
    let mut group = Group::start(kind, 1);
    for node in group.nodes() {
        let user = ["ACL", "SETUSER", "app", "on", ">open sesame", "~app:*", "+@all", "-flushall"];
        assert_eq!(node.call(&user), "+OK");
    }
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut by_auth = proxy.client();
    assert_eq!(by_auth.call(&["AUTH", "app", "open sesame"]), "+OK");
    let mut by_hello = proxy.client();
    let hello = by_hello.call(&["HELLO", "3", "AUTH", "app", "open sesame", "SETNAME", "hello"]);
    assert_eq!(field(&hello, "proto"), ":3");
    let mut wrong = proxy.client();
    assert!(wrong.call(&["AUTH", "app", "no"]).to_string().starts_with("-WRONGPASS "));
    assert_eq!(by_auth.call(&["SET", "app:k", "v"]), "+OK");
    group.wait_in_sync();

    group.primary.kill();
    for client in [&mut by_auth, &mut by_hello] {
        assert_eq!(client.call(&["GET", "app:k"]), "v");
        assert_eq!(client.call(&["ACL", "WHOAMI"]), "app");
        assert!(client.call(&["GET", "other"]).to_string().starts_with("-NOPERM "));
        assert!(client.call(&["FLUSHALL"]).to_string().starts_with("-NOPERM "));
    }
    assert_eq!(wrong.call(&["ACL", "WHOAMI"]), "default");
    assert!(has(&listed(&group.replicas[0], "name=hello"), "user=app"));
    assert!(!proxy.log().contains("open sesame"), "a password is in the log");
}

/// Goal: with passwords everywhere (`requirepass`, `masterauth`, Segue's own credentials) a
/// failover is no different, and a client that is not authenticated stays so.
///
/// Method: a group with a password; one client with it, one without; kill the primary; siblings
/// follow the new one.
fn everything_with_passwords_fails_over(kind: Kind) {
    const PASSWORD: &str = "correct-horse";
    let extra = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];
    let mut primary = Server::reserve(kind, &extra);
    primary.log_in_with(PASSWORD);
    primary.start();
    let mut group = Group::around(primary, 2, &extra);
    let proxy = Proxy::over(&group.nodes()).with_password(PASSWORD).start();
    proxy.wait_ready();
    proxy.announce_failover();
    let mut known = proxy.client();
    assert_eq!(known.call(&["AUTH", PASSWORD]), "+OK");
    assert_eq!(known.call(&["SET", "k", "v"]), "+OK");
    let mut unknown = proxy.client();
    let refused = |it: &mut Client| it.call(&["GET", "k"]).to_string().starts_with("-NOAUTH ");
    assert!(refused(&mut unknown));
    group.wait_in_sync();

    group.primary.kill();
    assert_eq!(known.call(&["GET", "k"]), "v");
    assert_eq!(known.call(&["SET", "k", "w"]), "+OK");
    assert!(refused(&mut unknown), "a failover must not authenticate anybody");
    assert_eq!(unknown.call(&["AUTH", PASSWORD]), "+OK");
    assert_eq!(unknown.call(&["GET", "k"]), "w");
    let promoted = group.promoted();
    let sibling = group.replicas.iter().find(|it| it.addr() != promoted.addr()).expect("two");
    crate::harness::eventually("the sibling follows", || sibling.follows(promoted).then_some(()));
    assert!(!proxy.log().contains(PASSWORD), "a password is in the log");
}

/// Goal: `RESET` clears what would be restored.
///
/// Method: set everything, `RESET`, kill the primary, ask.
fn a_reset_session_stays_reset(kind: Kind) {
    let mut group = Group::start(kind, 1);
    let proxy = Proxy::start(&group.nodes());
    proxy.announce_failover();
    let mut client = proxy.client();
    client.call(&["HELLO", "3", "SETNAME", "gone"]);
    assert_eq!(client.call(&["SELECT", "3"]), "+OK");
    assert_eq!(client.call(&["SET", "k", "in three"]), "+OK");
    assert_eq!(client.call(&["RESET"]), "+RESET");
    assert_eq!(client.call(&["SET", "k", "in zero"]), "+OK");
    group.wait_in_sync();

    group.primary.kill();
    assert_eq!(client.call(&["GET", "k"]), "in zero");
    assert_eq!(client.call(&["CLIENT", "GETNAME"]).to_string().trim_matches(['(', ')']), "null");
    client.send_all(&[&["CONFIG", "GET", "port"]]);
    assert!(matches!(client.read(), Value::Array(_)), "RESP2 again");
}
