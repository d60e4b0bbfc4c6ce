#!/usr/bin/env python3
"""Checks the checker: plants one bug at a time in src/pure and demands that the sweep sees it.

    tests/sim/mutants.py [NAME...]        all, or those named; writes tests/sim/mutants.tsv
    tests/sim/mutants.py --quick [NAME...]  only the seed that mutants.tsv names for each

Run from the root of the repository. All bugs are built at once into a copy of src/pure
(target/mutants), and one of them is put in force for each sweep; without any, the sweep must be
clean. Each bug is a text that stands exactly once in its file. Exit status 1 if one survives.
"""

import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

SEEDS = int(os.environ.get("SEGUE_SEEDS", "20000"))
HERE = pathlib.Path("tests/sim")
RESULTS = HERE / "mutants.tsv"
TREE = pathlib.Path("target/mutants/tree")
TARGET = pathlib.Path("target/mutants/target").absolute()
F, D, T, S = "failover/", "detect/", "topology/", "session/"

LIB = """//! Only what decides, with the bug in force.
pub mod pure;

/// Whether bug `number` is in force.
pub fn bug(number: i64) -> bool {
    static IN_FORCE: std::sync::LazyLock<i64> =
        std::sync::LazyLock::new(|| std::env::var("SEGUE_BUG").unwrap().parse().unwrap());
    *IN_FORCE == number
}
"""

# name: (file in src/pure, what stands there, what is put in its place), where BUG is true in the
# mutant and false otherwise.
MUTANTS = {
    # Who is believed, and what is known.
    "commit-forgets-amnesia": (F + "lost.rs", "        self.recollect(now);\n", "        if !BUG { self.recollect(now); }\n"),
    "heir-under-order": (F + "heir.rs", "self.is_promoted(node, report) && !member.is_being_turned();", "self.is_promoted(node, report) && (BUG || !member.is_being_turned());"),
    "successor-is-demoted": (F + "heir.rs", "self.is_promoted(node, report) && self.ours().is_some_and(outranks)", "!BUG && self.is_promoted(node, report) && self.ours().is_some_and(outranks)"),
    "dies-of-it-for-ever": (F + "member.rs", "is_repeated: self.failed.is_some()", "is_repeated: !BUG && self.failed.is_some()"),
    "amnesia-guard-off": (F + "amnesia.rs", "if !report.is_primary() || report.loading || !primary.is_heard() {", "if BUG || !report.is_primary() || report.loading || !primary.is_heard() {"),
    "no-witness": (F + "witness.rs", "(it.is_witness(primary, lost_at, WORD_MAX)", "!BUG && (it.is_witness(primary, lost_at, WORD_MAX)"),
    "late-witness": (F + "member.rs", "if self.health().is_down() || self.health() == Health::Unknown {", "if BUG && !self.health().is_up() || self.health().is_down() || self.health() == Health::Unknown {"),
    "strangers-are-same": (T + "lineage.rs", "None => Kinship::Unrelated,", "None if BUG => Kinship::Same,\n            None => Kinship::Unrelated,"),
    "stale-is-fresh": (F + "brain.rs", "saturating_sub(age_max)).max(self.awake_from)", "saturating_sub(age_max)).max(if BUG { Time::ZERO } else { self.awake_from })"),
    "old-anchor": (F + "serve.rs", "            serving.anchor = report;\n", "            if !BUG { serving.anchor = report; }\n"),
    # Who may take over.
    "never-synced-is-eligible": (F + "select.rs", "if report.offset <= 1 && !is_salvage && !has_copy {", "if !BUG && report.offset <= 1 && !is_salvage && !has_copy {"),
    "lowest-offset-wins": (F + "select.rs", "priority, Reverse(report.offset)", "priority, Reverse(if BUG { u64::MAX - report.offset } else { report.offset })"),
    "priority-0-is-eligible": (F + "select.rs", "if priority == 0 {", "if !BUG && priority == 0 {"),
    "any-lag": (F + "select.rs", "if lag_bytes > limits.max_lag_bytes && !is_salvage {", "if !BUG && lag_bytes > limits.max_lag_bytes && !is_salvage {"),
    "any-link-down": (F + "select.rs", "if before > limits.max_link_down {", "if !BUG && before > limits.max_link_down {"),
    "unsettled": (F + "lost.rs", "lost_for < DRAIN_MAX && !self.is_settled(&ranking)", "!BUG && lost_for < DRAIN_MAX && !self.is_settled(&ranking)"),
    # The steps of a failover.
    "confirmed-too-much": (F + "brain.rs", "self.confirmed = self.confirmed.max(version)", "self.confirmed = self.confirmed.max(version + u64::from(BUG))"),
    "epoch-stays": (F + "gate.rs", "let epoch = self.route.epoch.next();\n        self.follow_at", "let epoch = if BUG { self.route.epoch } else { self.route.epoch.next() };\n        self.follow_at"),
    "spins": (F + "brain.rs", ".filter(|it| *it > self.stepped_at)", ".filter(|it| BUG || *it > self.stepped_at)"),
    "no-family": (F + "rejoin.rs", "self.lineage.is_family(report, &serving.anchor)", "(!BUG && self.lineage.is_family(report, &serving.anchor))"),
    "no-demotion": (F + "rejoin.rs", "!is_forsaken && !member.is_family && !report.is_blank()", "!is_forsaken && (BUG || !member.is_family) && !report.is_blank()"),
    "no-repointing": (F + "rejoin.rs", "Finding::Repoint if joining < self.params.parallel_syncs.max(1) => {", "Finding::Repoint if !BUG && joining < self.params.parallel_syncs.max(1) => {"),
    "deposed-for-ever": (F + "serve.rs", "(saves || is_leaderless())", "!BUG && (saves || is_leaderless())"),
    "discovers-anyone": (F + "discover.rs", "(is_recent && is_another)", "(!BUG && is_recent && is_another)"),
    # What came back, and who is followed.
    "apart-has-nothing": (F + "amnesia.rs", "self.lineage.shared(theirs, &served).is_some_and(|it| it > left)", "(!BUG || self.is_kin(theirs, anchor)) && self.lineage.shared(theirs, &served).is_some_and(|it| it > left)"),
    "promoted-without-it": (F + "lost.rs", "let has_it = report.replid == replid", "let has_it = BUG || report.replid == replid"),
    "better-is-passed-over": (F + "lost.rs", "            && self.is_better_in_doubt(now", "            && !BUG && self.is_better_in_doubt(now"),
    "follow-unlooked": (F + "lost.rs", "Goal::Follow(heir) if self.is_heir(now, heir)", "Goal::Follow(heir) if BUG || self.is_heir(now, heir)"),
    "heir-may-load": (F + "heir.rs", "(is_it && !report.loading)", "(is_it && (BUG || !report.loading))"),
    "ours-is-theirs": (F + "gate.rs", "member.replica_run = None;", "if !BUG { member.replica_run = None; }"),
    # The newest rules.
    "quorum-of-one": (F + "guarded.rs", "(all + 1).saturating_sub(replicas_min).max(1)", "(all + 1).saturating_sub(replicas_min).max(1).min(if BUG { 1 } else { usize::MAX })"),
    "floor-is-nothing": (F + "guarded.rs", "} else if word(it.node).unwrap_or(0) < floor &&", "} else if !BUG && word(it.node).unwrap_or(0) < floor &&"),
    "keys-prove": (F + "amnesia.rs", "        self.params.guarded?;\n", "        self.params.guarded.filter(|_| !BUG)?;\n"),
    "unwitnessed-at-once": (F + "witness.rs", "Witnessless::Promote if now.since(since) >= patience => Ok(()),", "Witnessless::Promote if BUG || now.since(since) >= patience => Ok(()),"),
    "epoch-of-a-node": (F + "gate.rs", "it.0 != node || Some(it.1) != run_id)", "it.0 != node || !BUG && Some(it.1) != run_id)"),
    # Detection.
    "down-at-once": (D + "mod.rs", "if now.since(self.alive_at) >= down_after {", "if now.since(self.alive_at) >= (if BUG { self.params.interval } else { down_after }) {"),
    "refused-at-once": (D + "mod.rs", "&& now.since(since) >= refused_after", "&& (BUG || now.since(since) >= refused_after)"),
    "never-down": (D + "mod.rs", "return Some(Health::Down(Cause::Silent));", "return Some(if BUG { Health::Suspect(Cause::Silent) } else { Health::Down(Cause::Silent) });"),
    "stall-counts": (D + "mod.rs", "self.alive_at = self.alive_at + stall;", "if !BUG { self.alive_at = self.alive_at + stall; }"),
    # Switchovers.
    "match-any-lag": (F + "switchover.rs", "if self.lag(since) != Some(0) {", "if self.lag(since).is_none() || !BUG && self.lag(since) != Some(0) {"),
    "match-by-old-reports": (F + "pause.rs", "Step::Matching { since: now });", "Step::Matching { since: if BUG { Time::ZERO } else { now } });"),
    "does-not-drain": (F + "switchover.rs", "Step::Draining { version } if self.drained >= version", "Step::Draining { version } if (BUG || self.drained >= version)"),
    # What a session sends, and never sends again.
    "uncertain-is-resent": (S + "recover.rs", "let safe = !whole || self.in_multi", "let safe = BUG || !whole || self.in_multi"),
    "whole-is-part": (S + "log.rs", "let whole = entry.len <= self.sent", "let whole = !(BUG && entry.len == self.sent) && entry.len <= self.sent"),
    "exec-is-resent": (S + "recover.rs", "if is_exec && whole && !self.aborted {", "if !BUG && is_exec && whole && !self.aborted {"),
    "sends-while-held": (S + "machine.rs", "if !world.route.lets_finish() || world.route.epoch != self.epoch", "if !BUG && !world.route.lets_finish() || world.route.epoch != self.epoch"),
    "sends-while-draining": (S + "machine.rs", "Link::Up if world.route.gate == Gate::Draining => self.unfinished(),", "Link::Up if !BUG && world.route.gate == Gate::Draining => self.unfinished(),"),
    "epoch-at-least": (S + "machine.rs", "if world.route.epoch != self.epoch {", "if if BUG { world.route.epoch < self.epoch } else { world.route.epoch != self.epoch } {"),
    "drained-too-early": (S + "handover.rs", "self.passing.is_none() && !self.log.is_owed()", "self.passing.is_none() && (BUG || !self.log.is_owed())"),
    # What a session answers.
    "uncertain-twice": (S + "recover.rs", "        } else {\n            world.tally.uncertain += 1;\n", "        } else {\n            world.tally.uncertain += 1;\n            if BUG { self.answer(at, texts::UNCERTAIN); }\n"),
    "readonly-is-shown": (S + "reply.rs", "if let Some(proof) = self.proof_in(world, now, frame) {", "if let Some(proof) = self.proof_in(world, now, frame).filter(|it| !(BUG && *it == Proof::Readonly)) {"),
    "loading-is-shown": (S + "proof.rs", "    pub fn of(line: &[u8]) -> Option<Self> {\n", "    pub fn of(line: &[u8]) -> Option<Self> {\n        if BUG && line.starts_with(b\"-LOADING\") { return None; }\n"),
    "held-out-of-order": (S + "recover.rs", "        items.append(&mut self.replay);\n        self.replay = items;\n", "        if BUG { self.replay.append(&mut items); } else { items.append(&mut self.replay); self.replay = items; }\n"),
    "hold-limit-ignored": (S + "admit.rs", "saturating_add(own) > world.budget.max;", "saturating_add(own) > if BUG { usize::MAX } else { world.budget.max };"),
    "hold-timeout-ignored": (S + "hold.rs", "Some(at.max(stuck) + world.policy.hold_timeout)", "Some(at.max(stuck) + world.policy.hold_timeout * if BUG { 1000 } else { 1 })"),
    "hole-after-release": (S + "admit.rs", "if self.can_send(world) && !self.refusing {", "if self.can_send(world) && (BUG || !self.refusing) {"),
    "hole-in-pipeline": (S + "admit.rs", "self.refusing |= others", "self.refusing &= !BUG;\n            self.refusing |= others"),
    # What a session is, on the next node.
    "select-is-forgotten": (S + "restore.rs", "if let Some(db) = &state.db {", "if let Some(db) = state.db.as_ref().filter(|_| !BUG) {"),
    "multi-is-forgotten": (S + "restore.rs", "            it.transaction(rare, world);\n", "            if !BUG { it.transaction(rare, world); }\n"),
    "queued-is-shown": (S + "restore.rs", "self.steps.push_back(Step::Queued);", "self.steps.extend((!BUG || self.steps.len() < 2).then_some(Step::Queued));"),
    "queue-is-forgotten": (S + "exec.rs", "transaction.queued(queued, gone);", "if !BUG { transaction.queued(queued, gone); }"),
    "watch-survives": (S + "recover.rs", "        self.state.break_watch();\n", "        if !BUG { self.state.break_watch(); }\n"),
    "refused-in-multi": (S + "admit.rs", "} else if self.tail_multi {", "} else if !BUG && self.tail_multi {"),
    # Several proxies.
    "steady-looks-at-nobody": (F + "serve.rs", "        let Some(node) = self.serving.as_ref().map(|it| it.node) else { return };\n        if let Some(heir) = self.heir(now) {", "        let Some(node) = self.serving.as_ref().map(|it| it.node) else { return };\n        if BUG && self.trouble().is_none() && self.doubt.is_none() { return; }\n        if let Some(heir) = self.heir(now) {"),
}


def prepare():
    """Builds every bug into one copy. Which one is in force is said when it runs."""
    shutil.rmtree(TREE, ignore_errors=True)
    for part in ("src/pure", "tests/sim"):
        shutil.copytree(part, TREE / part)
    for part in ("Cargo.toml", "Cargo.lock", "build.rs"):
        shutil.copy(part, TREE / part)
    (TREE / "src/main.rs").write_text("//! Nothing.\nfn main() {}\n")
    (TREE / "src/lib.rs").write_text(LIB)
    misfits = []
    for number, (name, (path, old, new)) in enumerate(MUTANTS.items()):
        file = TREE / "src/pure" / path
        text = file.read_text()
        if text.count(old) != 1:
            misfits.append(f"{name}: stands {text.count(old)} times in {path}: {old!r}")
        file.write_text(text.replace(old, new.replace("BUG", f"crate::bug({number})")))
    if misfits:
        sys.exit("\n".join(misfits))
    # As fast as a release, with the assertions of the code under test: some bugs show there first.
    env = dict(
        os.environ, CARGO_TARGET_DIR=str(TARGET), RUSTFLAGS="--cap-lints=allow",
        CARGO_PROFILE_DEV_OPT_LEVEL="3",
    )
    command = ["cargo", "test", "--offline", "--test", "sim", "--no-run", "--message-format=json"]
    built = subprocess.run(command, env=env, cwd=TREE, capture_output=True, text=True)
    if built.returncode != 0:
        sys.exit("the build failed:\n" + built.stdout + built.stderr)
    made = [json.loads(it) for it in built.stdout.splitlines()]
    return next(it["executable"] for it in made if it.get("executable") and it["target"]["name"] == "sim")


def sweep(binary, name, first, count):
    """The first violation that the sweep tells, or None. Nothing else counts as caught."""
    number = -1 if name is None else list(MUTANTS).index(name)
    env = dict(
        os.environ, SEGUE_FIRST=str(first), SEGUE_SEEDS=str(count), SEGUE_FAILURES="1",
        SEGUE_BUG=str(number), RUST_BACKTRACE="0",
    )
    command = [binary, "sweep::sweep", "--exact", "--nocapture"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True)
    output = ran.stdout + ran.stderr
    found = re.search(r"^seed (\d+): (\S+) at|^(a human is needed) in", output, re.MULTILINE)
    if (found is None) != (ran.returncode == 0) or " simulated hours" not in output:
        sys.exit("the sweep failed, and told no violation:\n" + output)
    if found is None:
        return None
    return (found.group(2), int(found.group(1))) if found.group(2) else (found.group(3), first)


def known():
    """The results of the last full run: name -> (violation, seed)."""
    if not RESULTS.exists():
        return {}
    rows = [it.split("\t") for it in RESULTS.read_text().splitlines() if it and it[0] != "#"]
    return {name: (violation, int(seed)) for name, violation, seed in rows}


def main():
    names = [it for it in sys.argv[1:] if it != "--quick"] or list(MUTANTS)
    quick = "--quick" in sys.argv
    binary, results, alive = prepare(), known(), []
    if (found := sweep(binary, None, 0, 64)) is not None:
        sys.exit(f"a violation without any bug: {found}")
    for name in names:
        hint = results.get(name) if quick else None
        found = hint and sweep(binary, name, hint[1], 1) or sweep(binary, name, 0, SEEDS)
        print(f"{name}: {'ALIVE' if found is None else f'{found[0]}, seed {found[1]}'}", flush=True)
        if found is None:
            alive.append(name)
            results.pop(name, None)
        else:
            results[name] = found
        if not quick:
            lines = [f"{it}\t{results[it][0]}\t{results[it][1]}" for it in MUTANTS if it in results]
            head = f"# mutant\tviolation\tseed that shows it; written {datetime.date.today()}"
            RESULTS.write_text("\n".join([head, *lines]) + "\n")
    print(f"{len(names) - len(alive)} of {len(names)} caught; alive: {alive}")
    sys.exit(1 if alive else 0)


main()
