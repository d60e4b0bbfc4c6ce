//! The end of a run: everything is put right, the clients stop, the data is read, and history,
//! nodes and metrics are held against each other.

use crate::harness::{Proxy, Server, Value, eventually, wait_in_sync};
use crate::history::{self, Findings, History, Outcome, Unique};
use crate::load::{ACCOUNTS, COUNTER, KEYS, LIST, Log, TREASURE, account, key, parse};
use crate::stage::{Mode, Run, Stage};
use std::collections::BTreeMap;
use std::time::Duration;

/// `hold.timeout` of the shipped configuration, and something for a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(13);

/// What a row promises to clients, whoever is hurt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Promise {
    /// No error at all.
    Nothing,
    /// Likewise, but replicas may confirm a guarded write too late, or never.
    Unconfirmed,
    /// `-UNCERTAIN` for what was in flight.
    Uncertain,
    /// These as well.
    Errors(&'static [&'static str]),
}

/// What one run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    pub(crate) longest: Duration,
    pub(crate) disconnections: usize,
    pub(crate) errors: BTreeMap<String, usize>,
    pub(crate) operations: usize,
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    pub(crate) changes: usize,
    /// What must not be, whole sentences.
    pub(crate) wrong: Vec<String>,
    /// What was done, and when.
    pub(crate) steps: Vec<String>,
}

/// Ends a run. Everything must have been healed, and every node that shall serve again started.
pub(crate) fn finish(mut stage: Stage<'_>, promise: Promise, may_disconnect: bool) -> Ended {
    let primary = stage.settled();
    stage.rounds(10, 20);
    let alive = stage.alive();
    let Stage { run, group, proxies, load, told, begun, eras, changes, accepted, steps, .. } =
        stage;
    let mut logs = load.finish();
    let nodes = group.nodes();
    let serving = nodes[primary];

    let mut findings = Findings::default();
    for it in alive.iter().filter(|it| **it != primary) {
        wait_in_sync(serving, nodes[*it]);
        if digest(nodes[*it]) != digest(serving) {
            findings.wrong(format!("node {it} has other data than the primary"));
        }
    }
    let mut history = read_end(serving);
    history.read = begun.elapsed().as_nanos() as u64;
    history.ops = logs.iter().flat_map(|it| it.ops.iter().copied()).collect();
    // Guarded writes are acknowledged by a replica: no failover excuses a loss.
    history.eras = if run.mode == Mode::Guarded { Vec::new() } else { eras };
    let checked = history::check(&history);
    findings.lost += checked.lost;
    findings.wrong.extend(checked.wrong);

    let clients = logs.len();
    logs.push(told);
    let mut ended = sum_up(&logs);
    ended.changes = changes;
    judge_replies(run.mode, &logs, clients, &ended, promise, may_disconnect, &mut findings);
    // A Segue that was killed took its counters along.
    if !may_disconnect {
        judge_metrics(&proxies, &ended, &logs, &accepted, &mut findings);
    }
    ended.lost = findings.lost;
    ended.wrong = findings.wrong;
    ended.steps = steps;
    if !ended.wrong.is_empty() {
        ended.wrong.extend(keep(run, &history, &proxies, &ended));
    }
    ended
}

fn digest(node: &Server) -> Value {
    node.call(&["DEBUG", "DIGEST"])
}

/// What the node has.
fn read_end(node: &Server) -> History {
    let mut client = node.client();
    let number = |it: &Value| match it {
        Value::Null => Some(0),
        Value::Bulk(_) => it.text().parse::<i64>().ok(),
        _ => None,
    };
    let list = client.call(&["LRANGE", LIST, "0", "-1"]);
    let list: Option<Vec<Unique>> = list.items().iter().map(|it| parse(LIST, &it.text())).collect();
    let count = number(&client.call(&["GET", COUNTER])).expect("a number");
    let sum = (0..ACCOUNTS).map(|it| number(&client.call(&["GET", &account(it)]))).sum();
    let mut registers = BTreeMap::new();
    for number in 0..KEYS {
        let name = key(number);
        let value = match client.call(&["GET", &name]) {
            Value::Null => None,
            it => Some(parse(&name, &it.text()).expect("a value of this key")),
        };
        registers.insert(number, value);
    }
    let sum: Option<i64> = sum;
    assert_eq!(sum, Some(TREASURE), "what the accounts hold together");
    let list = list.expect("values of clients");
    History { list, count, registers, sum: TREASURE, ..History::default() }
}

fn sum_up(logs: &[Log]) -> Ended {
    let mut ended = Ended::default();
    for log in logs {
        ended.longest = ended.longest.max(log.longest);
        ended.disconnections += log.broken.len();
        ended.operations += log.ops.len();
        ended.acknowledged += log.ops.iter().filter(|it| it.is_write() && it.is_done()).count();
        for (kind, count) in &log.errors {
            *ended.errors.entry(kind.clone()).or_default() += count;
        }
    }
    ended
}

fn judge_replies(
    mode: Mode,
    logs: &[Log],
    clients: usize,
    ended: &Ended,
    promise: Promise,
    may_disconnect: bool,
    findings: &mut Findings,
) {
    findings.wrong_all(logs.iter().flat_map(|it| it.odd.iter().cloned()).collect());
    if !may_disconnect {
        findings.wrong_all(logs.iter().flat_map(|it| it.broken.iter().cloned()).collect());
    }
    for (id, log) in logs.iter().take(clients).enumerate() {
        if !log.ops.iter().any(|it| it.outcome == Outcome::Done) {
            findings.wrong(format!("client {id} did nothing"));
        }
    }
    if ended.longest > WAIT_MAX {
        findings.wrong(format!("a client waited {:?}, longer than hold.timeout", ended.longest));
    }
    for (kind, count) in &ended.errors {
        let is_promised = match promise {
            Promise::Nothing => false,
            Promise::Unconfirmed => kind == "UNCERTAIN" && mode == Mode::Guarded,
            Promise::Uncertain => kind == "UNCERTAIN",
            Promise::Errors(more) => kind == "UNCERTAIN" || more.contains(&kind.as_str()),
        };
        if !is_promised {
            findings.wrong(format!("clients got -{kind} {count} times"));
        }
    }
}

/// What Segue says of itself must be what the clients saw.
fn judge_metrics(
    proxies: &[Proxy],
    ended: &Ended,
    logs: &[Log],
    accepted: &[f64],
    findings: &mut Findings,
) {
    let sum = |series: &str| proxies.iter().map(|it| it.metric(series)).sum::<f64>() as usize;
    let saw = |kind: &str| ended.errors.get(kind).copied().unwrap_or(0);
    // Reads whose confirmation is missing are told apart from writes.
    let reads = "segue_guarded_reads_total{outcome=\"uncertain\"}";
    let is_guarding = proxies.iter().all(|it| it.get("/metrics").1.contains(reads));
    let uncertain = || {
        let reads = if is_guarding { sum(reads) } else { 0 };
        sum("segue_commands_uncertain_total") + reads
    };
    // Cells of workers are published a moment after the reply.
    let agree = |what: &str, expected: usize, count: &dyn Fn() -> usize| {
        let mut last = 0;
        let give_up = std::time::Instant::now() + Duration::from_secs(2);
        eventually("counters are published", || {
            last = count();
            (last == expected || std::time::Instant::now() > give_up).then_some(())
        });
        (last != expected).then(|| format!("{what}: Segue counts {last}, clients {expected}"))
    };
    let refused = || {
        sum("segue_commands_refused_total{reason=\"timeout\"}")
            + sum("segue_commands_refused_total{reason=\"full\"}")
    };
    let before = accepted.iter().sum::<f64>() as usize;
    let connected: usize = logs.iter().map(|it| it.connected).sum();
    let changed = || {
        sum("segue_failovers_total{outcome=\"promoted\"}")
            + sum("segue_failovers_total{outcome=\"followed\"}")
            + sum("segue_switchovers_total{outcome=\"done\"}")
    };
    // Two Segues both count one change.
    let changes = ended.changes * proxies.len();
    let reasons = ["protocol_error", "unrestorable", "slow_reader", "error"];
    let closed = || {
        let series = |it| format!("segue_sessions_closed_total{{reason=\"{it}\"}}");
        reasons.iter().map(|it| sum(&series(it))).sum()
    };
    let checks = [
        agree("changes of primary", changes, &changed),
        agree("sessions closed for a reason of ours", 0, &closed),
        agree("uncertain", saw("UNCERTAIN"), &uncertain),
        agree("refused", saw("TRYAGAIN"), &refused),
        agree("sessions", connected, &|| sum("segue_sessions_accepted_total") - before),
    ];
    findings.wrong.extend(checks.into_iter().flatten());
}

/// Writes down what a failed run leaves, and says where.
fn keep(run: Run, history: &History, proxies: &[Proxy], ended: &Ended) -> Vec<String> {
    let name = format!("{}-{}-{}", run.row, run.mode.label(), run.seed);
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults").join(name);
    let mut text = ended.steps.join("\n");
    text.push_str(&format!("\n\n{:#?}\n", history.eras));
    for op in &history.ops {
        text.push_str(&format!("{op:?}\n"));
    }
    text.push_str(&format!("list {:?}\nregisters {:?}\n", history.list, history.registers));
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join("history.txt"), text))
        .and_then(|()| {
            proxies.iter().enumerate().try_for_each(|(at, it)| {
                std::fs::write(folder.join(format!("segue-{at}.log")), it.log())
            })
        });
    match written {
        Ok(()) => vec![format!("history and logs: {}", folder.display())],
        Err(error) => vec![format!("history and logs could not be kept: {error}")],
    }
}
