//! Everything that can happen in a run, as values that proptest makes and shrinks.

use super::command::sha;
use super::guard::Round;
use super::node::Role;
use super::sim::{Setup, Sim};
use crate::pure::session::{GuardedReads, Limits, UncertainWrites};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a client may ask for.
#[derive(Clone, Debug)]
pub(super) enum Cmd {
    Ping,
    Echo,
    Get,
    Set(u8),
    Put,
    /// Larger than some of the limits.
    Large(u16),
    Incr,
    Push(u8),
    Pop(u8, u16),
    Select(u8),
    Auth(u8),
    Hello(bool, u8),
    Name(u8),
    GetName,
    SetInfo(u8),
    Id,
    Reply(u8),
    Multi,
    Exec,
    Discard,
    Watch(u8),
    Unwatch,
    Subscribe(u8, Vec<u8>),
    Unsubscribe(u8, Vec<u8>),
    Eval(u8),
    EvalSha(u8),
    Load(u8),
    Scan,
    Reset,
    Tracking(bool),
    Inline,
}

/// What may happen.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Ask(Vec<Cmd>),
    ClientWrites(u8),
    ClientReads(u8),
    SessionWrites(u8),
    NodeReads(u8),
    SessionReads(u8),
    Connect(bool),
    Lose(u8),
    Hold,
    Open,
    FailOver(u8, bool),
    Swap(u8),
    Loading,
    Loaded,
    Lock(bool),
    Wait(u16),
    Push(u8),
    Publish(u8, u8),
    Touch(u8),
    Turn,
    Round(Round),
}

pub(super) fn any_setup() -> impl Strategy<Value = Setup> {
    let tiny = Limits {
        in_flight_bytes_max: 300,
        in_flight_max: 6,
        query_buffer_max: 400,
        reply_whole_max: 1 << 20,
        out_max: 400,
        ..Setup::DEFAULT.limits
    };
    let limits = prop_oneof![Just(Setup::DEFAULT.limits), Just(tiny)];
    let policy =
        prop_oneof![4 => Just(UncertainWrites::Refuse), 1 => Just(UncertainWrites::Replay)];
    let budget = prop_oneof![3 => Just(1_usize << 30), 1 => Just(200)];
    let hold = prop_oneof![Just(300_u64), Just(60_000)];
    let guarded = prop_oneof![
        2 => Just(None),
        2 => Just(Some(GuardedReads::Local)),
        1 => Just(Some(GuardedReads::Confirmed)),
    ];
    (limits, policy, budget, hold, any::<bool>(), guarded).prop_map(|it| {
        let (limits, uncertain_writes, budget_max, hold_timeout_ms, shares, guarded) = it;
        Setup { limits, budget_max, hold_timeout_ms, uncertain_writes, shares, guarded }
    })
}

fn any_cmd() -> impl Strategy<Value = Cmd> {
    let names = || vec(0..3_u8, 1..4);
    prop_oneof![
        2 => Just(Cmd::Ping),
        4 => Just(Cmd::Echo),
        4 => Just(Cmd::Get),
        4 => (0..3_u8).prop_map(Cmd::Set),
        4 => Just(Cmd::Put),
        1 => (300..900_u16).prop_map(Cmd::Large),
        2 => Just(Cmd::Incr),
        2 => (0..2_u8).prop_map(Cmd::Push),
        2 => (0..2_u8, prop_oneof![Just(0), Just(150), Just(900)]).prop_map(|(k, t)| Cmd::Pop(k, t)),
        2 => (0..3_u8).prop_map(Cmd::Select),
        1 => (0..3_u8).prop_map(Cmd::Auth),
        2 => (any::<bool>(), 0..4_u8).prop_map(|(three, extra)| Cmd::Hello(three, extra)),
        1 => (0..3_u8).prop_map(Cmd::Name),
        1 => Just(Cmd::GetName),
        1 => (0..3_u8).prop_map(Cmd::SetInfo),
        1 => Just(Cmd::Id),
        2 => (0..3_u8).prop_map(Cmd::Reply),
        4 => Just(Cmd::Multi),
        5 => Just(Cmd::Exec),
        1 => Just(Cmd::Discard),
        3 => (0..3_u8).prop_map(Cmd::Watch),
        1 => Just(Cmd::Unwatch),
        2 => (0..3_u8, names()).prop_map(|(kind, names)| Cmd::Subscribe(kind, names)),
        2 => (0..3_u8, vec(0..3_u8, 0..3)).prop_map(|(kind, names)| Cmd::Unsubscribe(kind, names)),
        2 => (0..3_u8).prop_map(Cmd::Eval),
        2 => (0..3_u8).prop_map(Cmd::EvalSha),
        1 => (0..3_u8).prop_map(Cmd::Load),
        2 => Just(Cmd::Scan),
        1 => Just(Cmd::Reset),
        1 => any::<bool>().prop_map(Cmd::Tracking),
        1 => Just(Cmd::Inline),
    ]
}

pub(super) fn any_op() -> impl Strategy<Value = Op> {
    // Mostly everything, sometimes a few bytes.
    let some = || prop_oneof![2 => Just(255_u8), 1 => 1..40_u8];
    prop_oneof![
        8 => vec(any_cmd(), 1..5).prop_map(Op::Ask),
        6 => some().prop_map(Op::ClientWrites),
        4 => some().prop_map(Op::ClientReads),
        6 => some().prop_map(Op::SessionWrites),
        6 => some().prop_map(Op::NodeReads),
        6 => some().prop_map(Op::SessionReads),
        5 => prop_oneof![5 => Just(true), 1 => Just(false)].prop_map(Op::Connect),
        3 => some().prop_map(Op::Lose),
        1 => Just(Op::Hold),
        2 => Just(Op::Open),
        3 => (0..3_u8, any::<bool>()).prop_map(|(to, late)| Op::FailOver(to, late)),
        1 => (0..3_u8).prop_map(Op::Swap),
        1 => Just(Op::Loading),
        1 => Just(Op::Loaded),
        1 => prop_oneof![1 => Just(true), 2 => Just(false)].prop_map(Op::Lock),
        3 => prop_oneof![Just(5_u16), Just(110), Just(400)].prop_map(Op::Wait),
        1 => (0..2_u8).prop_map(Op::Push),
        1 => (0..3_u8, 0..3_u8).prop_map(|(kind, name)| Op::Publish(kind, name)),
        1 => (0..3_u8).prop_map(Op::Touch),
        6 => Just(Op::Turn),
        8 => any_round().prop_map(Op::Round),
    ]
}

fn any_round() -> impl Strategy<Value = Round> {
    prop_oneof![
        4 => Just(Round::Begins),
        4 => Just(Round::Confirms),
        2 => Just(Round::FallsShort),
        1 => Just(Round::Breaks),
    ]
}

fn amount(n: u8) -> usize {
    if n == 255 { usize::MAX } else { usize::from(n) }
}

pub(super) fn apply(sim: &mut Sim, op: &Op) {
    match op {
        Op::Ask(all) => all.iter().for_each(|it| ask(sim, it)),
        Op::ClientWrites(n) => drop(sim.client_writes(amount(*n))),
        Op::ClientReads(n) => drop(sim.client_reads(amount(*n))),
        Op::SessionWrites(n) => drop(sim.session_writes(amount(*n))),
        Op::NodeReads(n) => drop(sim.node_reads(amount(*n))),
        Op::SessionReads(n) => drop(sim.session_reads(amount(*n))),
        Op::Connect(succeeds) => drop(sim.connect(*succeeds)),
        Op::Lose(ran) => sim.lose(amount(*ran)),
        Op::Hold => sim.hold(),
        Op::Open => {
            // The route leads to the node of its epoch, whatever has become of it.
            let node = sim.routed;
            sim.set_route(Some(node), false);
        }
        Op::FailOver(to, late) => sim.fail_over(usize::from(*to), *late),
        Op::Swap(to) => sim.swap(usize::from(*to)),
        Op::Loading => {
            let primary = sim.primary;
            sim.nodes[primary].role = Role::Loading;
        }
        Op::Loaded => {
            let primary = sim.primary;
            sim.nodes[primary].role = Role::Primary;
        }
        Op::Lock(locked) => sim.nodes.iter_mut().for_each(|it| it.locked = *locked),
        Op::Wait(ms) => sim.wait(u64::from(*ms)),
        Op::Push(list) => sim.push(&format!("l{list}")),
        Op::Publish(kind, name) => {
            let primary = sim.primary;
            let name = format!("c{name}");
            sim.nodes[primary].publish(usize::from(*kind), name.as_bytes(), b"hello");
        }
        Op::Touch(key) => sim.store.touch(format!("w{key}").as_bytes()),
        Op::Turn => drop(sim.turn()),
        Op::Round(what) => drop(sim.round(*what)),
    }
}

pub(super) fn body(number: u8) -> String {
    format!("return {number}")
}

/// Asks, unless no sensible client would.
pub(super) fn ask(sim: &mut Sim, cmd: &Cmd) {
    let number = sim.asked;
    sim.asked += 1;
    let token = format!("t{number}.");
    let t = token.as_str();
    let (plain, silent) = (!sim.plans_multi, sim.plans_silence);
    match cmd {
        Cmd::Ping if silent == 0 => sim.ask(&["PING"], t),
        Cmd::Echo => sim.ask(&["ECHO", t], t),
        Cmd::Get => sim.ask(&["GET", t], t),
        Cmd::Set(key) => sim.ask(&["SET", &format!("w{key}"), t], t),
        Cmd::Put => sim.ask(&["MOD.PUT", t], t),
        Cmd::Large(size) => {
            let t = format!("{}{t}", "x".repeat(usize::from(*size)));
            sim.ask(&["SET", "big", &t], &t);
        }
        Cmd::Incr => sim.ask(&["INCR", t], t),
        Cmd::Push(list) => sim.ask(&["RPUSH", &format!("l{list}"), t], t),
        Cmd::Pop(list, ms) => {
            let timeout = format!("{}.{:03}", ms / 1_000, ms % 1_000);
            sim.ask(&["BLPOP", &format!("l{list}"), t, &timeout], t);
        }
        Cmd::Inline if plain => {
            sim.client.ask(&["ECHO", t], t);
            sim.composed.extend_from_slice(format!("echo \"{t}\"\r\n").as_bytes());
        }
        Cmd::Reply(mode) if plain && !sim.plans_subscribed => {
            let mode = usize::from(*mode);
            // While replies are off, leaving one out changes nothing.
            sim.plans_silence = if silent == 1 && mode == 2 { 1 } else { mode };
            sim.ask(&["CLIENT", "REPLY", ["ON", "OFF", "SKIP"][mode]], t);
            return;
        }
        Cmd::Reset => {
            sim.plans_multi = false;
            sim.plans_subscribed = false;
            sim.plans_silence = 0;
            sim.ask(&["RESET"], t);
        }
        // What changes the state of a connection is asked for only if the answer is heard.
        _ if silent == 0 => ask_aloud(sim, cmd, t),
        _ => return,
    }
    if sim.plans_silence == 2 {
        sim.plans_silence = 0;
    }
}

fn ask_aloud(sim: &mut Sim, cmd: &Cmd, t: &str) {
    let plain = !sim.plans_multi;
    // What an uncertain transaction did to its connection, its client cannot know.
    let may_stay_open =
        matches!(cmd, Cmd::Multi | Cmd::Exec | Cmd::Discard | Cmd::Eval(_) | Cmd::Id);
    if sim.client.guarded && !plain && !may_stay_open {
        return;
    }
    match cmd {
        Cmd::Select(db) => sim.ask(&["SELECT", &db.to_string()], t),
        Cmd::Auth(user) => {
            let password = if *user == 2 { "wrong".to_owned() } else { format!("pw-u{user}") };
            sim.ask(&["AUTH", &format!("u{user}"), &password], t);
        }
        Cmd::Hello(three, extra) => {
            let mut args = vec!["HELLO", if *three { "3" } else { "2" }];
            if *extra & 1 != 0 {
                args.extend(["AUTH", "u5", "pw-u5"]);
            }
            if *extra & 2 != 0 {
                args.extend(["SETNAME", "hello"]);
            }
            if plain {
                sim.ask(&args, t);
            }
        }
        Cmd::Name(name) => {
            sim.ask(&["CLIENT", "SETNAME", ["", "ann", "bob"][usize::from(*name)]], t);
        }
        Cmd::GetName => sim.ask(&["CLIENT", "GETNAME"], t),
        Cmd::SetInfo(lib) => sim.ask(&["CLIENT", "SETINFO", "LIB-NAME", &format!("lib{lib}")], t),
        Cmd::Id => sim.ask(&["CLIENT", "ID"], t),
        Cmd::Multi => {
            sim.plans_multi = true;
            sim.ask(&["MULTI"], t);
        }
        Cmd::Exec => {
            sim.plans_multi = false;
            sim.ask(&["EXEC"], t);
        }
        Cmd::Discard => {
            sim.plans_multi = false;
            sim.ask(&["DISCARD"], t);
        }
        Cmd::Watch(key) => sim.ask(&["WATCH", &format!("w{key}"), t], t),
        Cmd::Unwatch => sim.ask(&["UNWATCH"], t),
        Cmd::Subscribe(kind, names) => subscribe(sim, *kind, true, names, t),
        Cmd::Unsubscribe(kind, names) => subscribe(sim, *kind, false, names, t),
        Cmd::Eval(number) => sim.ask(&["EVAL", &body(*number), "0", t], t),
        Cmd::EvalSha(number) => {
            sim.ask(&["EVALSHA", &sha(body(*number).as_bytes()), "0", t], t);
        }
        Cmd::Load(number) => sim.ask(&["SCRIPT", "LOAD", &body(*number)], t),
        Cmd::Scan => {
            let scanning = sim.client.waiting.iter().any(|it| it.name() == "SCAN");
            if plain && !scanning {
                let cursor = sim.client.cursor.clone();
                sim.ask(&["SCAN", &cursor], t);
            }
        }
        Cmd::Tracking(true) => sim.ask(&["CLIENT", "TRACKING", "ON", "BCAST"], t),
        Cmd::Tracking(false) => sim.ask(&["CLIENT", "TRACKING", "OFF"], t),
        _ => {}
    }
}

fn subscribe(sim: &mut Sim, kind: u8, adds: bool, names: &[u8], t: &str) {
    let word = ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"][usize::from(kind)];
    let word = if adds {
        word
    } else {
        ["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"][usize::from(kind)]
    };
    let names: Vec<String> = names.iter().map(|it| format!("c{it}")).collect();
    let args: Vec<&str> = [word].into_iter().chain(names.iter().map(String::as_str)).collect();
    if !sim.plans_multi || adds {
        sim.plans_subscribed |= adds;
        sim.ask(&args, t);
    }
}
