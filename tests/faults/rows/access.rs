//! Who may log in changes while clients are logged in.

use super::Row;
use crate::finish::Promise;
use crate::harness::eventually;
use crate::stage::{NODES, Setup, Stage};

pub(super) const ROWS: &[Row] = &[
    Row::new("F26a", "a second password is added, then the primary dies", rotated).setup(logged_in),
    Row::new("F26b", "the password is changed, the primary dies, it is put right", changed)
        .setup(logged_in)
        .promise(Promise::Errors(&["WRONGPASS", "NOAUTH", "EXECABORT"])),
    Row::new("F26c", "the successor has no room for so many clients", crowded)
        .promise(Promise::Errors(&["ERR", "TRYAGAIN", "EXECABORT"])),
];

const USER: &str = "app";
const PASSWORD: &str = "first";

fn logged_in() -> Setup {
    let login = Some((USER.to_owned(), PASSWORD.to_owned()));
    let warnings = vec!["\"Session cannot be restored".to_owned()];
    Setup { login, warnings, ..Setup::default() }
}

fn set_user(stage: &Stage<'_>, at: usize, rules: &[&str]) {
    let command: Vec<_> = ["ACL", "SETUSER", USER].iter().chain(rules).copied().collect();
    assert_eq!(stage.node(at).call(&command), "+OK");
}

fn rotated(stage: &mut Stage<'_>) {
    for at in 0..NODES {
        set_user(stage, at, &[">second"]);
    }
    stage.hurt();
    stage.kill(0);
    stage.promoted(&[1, 2]);
    stage.rounds(5, 20);
}

/// Sessions go on with the login that they have; after the failover they cannot log in, and can
/// again as soon as the node lets them.
fn changed(stage: &mut Stage<'_>) {
    for at in 0..NODES {
        set_user(stage, at, &["resetpass", ">second"]);
    }
    stage.rounds(2, 10);
    stage.hurt();
    stage.kill(0);
    stage.promoted(&[1, 2]);
    let proxy = stage.proxy();
    eventually("logins are refused", || {
        (proxy.metric("segue_session_restore_failures_total") > 0.0).then_some(())
    });
    stage.rounds(1, 5);
    for at in 1..NODES {
        set_user(stage, at, &[">first"]);
    }
    stage.say("the password is put right");
    stage.rounds(5, 20);
}

fn crowded(stage: &mut Stage<'_>) {
    // Connected before: the harness is turned away as well.
    let mut admins: Vec<_> = (1..NODES).map(|at| stage.node(at).client()).collect();
    for admin in &mut admins {
        // Segue's probe, the primary, and a few of the clients.
        assert_eq!(admin.call(&["CONFIG", "SET", "maxclients", "8"]), "+OK");
    }
    stage.hurt();
    stage.kill(0);
    let proxy = stage.proxy();
    eventually("a replica is promoted", || (proxy.promotions() > 0.0).then_some(()));
    stage.load.wait_any_rounds(50);
    for admin in &mut admins {
        assert_eq!(admin.call(&["CONFIG", "SET", "maxclients", "1000"]), "+OK");
    }
    stage.say("there is room");
    stage.promoted(&[1, 2]);
    stage.rounds(5, 20);
}
