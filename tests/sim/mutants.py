#!/usr/bin/env python3
"""Checks the checker: plants one bug at a time in src/pure and demands that the sweep sees it.

    tests/sim/mutants.py [NAME...]        all, or those named; writes tests/sim/mutants.tsv
    tests/sim/mutants.py --quick [NAME...]  only the seed that mutants.tsv names for each

Run from the root of the repository. The bugs are planted in a copy (target/mutants), which holds
nothing of Segue but src/pure, so that one build takes seconds. Each bug is a text that stands
exactly once in its file. Exit status 1 if one survives, or does not fit the code any more.
"""

import datetime
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

# name: (file in src/pure, what stands there, what is put in its place)
MUTANTS = {
    # Who is believed, and what is known.
    "commit-forgets-amnesia": (F + "lost.rs", "        self.recollect(now);\n", ""),
    "offset-1-is-a-place": (F + "serve.rs", "if replica.offset <= 1 {", "if false {"),
    "heir-under-order": (F + "serve.rs", "(is_promoted && member.pending.is_none())", "is_promoted"),
    "heir-from-before-the-order": (F + "serve.rs", "member.report_since(fresh.max(member.answered_at))?", "member.report_since(fresh)?"),
    "amnesia-guard-off": (F + "serve.rs", "if !is_new || !report.is_primary()", "if true || !report.is_primary()"),
    "no-witness": (F + "lost.rs", "*other != node && it.is_witness(primary, lost_at)", "*other != node && it.is_witness(primary, lost_at) && false"),
    "late-witness": (F + "member.rs", "if self.health().is_down() || self.health() == Health::Unknown {", "if !self.health().is_up() {"),
    "strangers-are-same": (T + "lineage.rs", "None => Kinship::Unrelated,", "None => Kinship::Same,"),
    "stale-is-fresh": (F + "brain.rs", "saturating_sub(age_max)).max(self.awake_from)", "saturating_sub(age_max))"),
    "old-anchor": (F + "serve.rs", "            serving.anchor = report;\n", "            let _ = report;\n"),
    # Who may take over.
    "syncing-is-eligible": (F + "select.rs", "if link.state == LinkState::Syncing && !lost.amnesia {", "if false {"),
    "never-synced-is-eligible": (F + "select.rs", "if report.offset <= 1 && !is_salvage && !has_copy {", "if false {"),
    "lowest-offset-wins": (F + "select.rs", "priority, Reverse(report.offset)", "priority, Reverse(u64::MAX - report.offset)"),
    "priority-0-is-eligible": (F + "select.rs", "if priority == 0 {", "if false {"),
    "any-lag": (F + "select.rs", "if lag_bytes > limits.max_lag_bytes && !is_salvage {", "if false {"),
    "any-link-down": (F + "select.rs", "if before > limits.max_link_down {", "if false {"),
    "unsettled": (F + "lost.rs", "lost_for < DRAIN_MAX && !self.is_settled(&ranking)", "lost_for < DRAIN_MAX && false"),
    "impatient": (F + "lost.rs", "if is_early && !primary", "if false && is_early && !primary"),
    # The steps of a failover.
    "confirmed-too-much": (F + "brain.rs", "self.confirmed = self.confirmed.max(version)", "self.confirmed = self.confirmed.max(version + 1)"),
    "epoch-stays": (F + "gate.rs", "let epoch = self.route.epoch.next();\n        self.handed", "let epoch = self.route.epoch;\n        self.handed"),
    "unknown-is-failed": (F + "lost.rs", "Outcome::NotSent(_) if promotion.is_uncertain => {}\n", ""),
    "spins": (F + "brain.rs", ".filter(|it| *it > self.stepped_at)", ""),
    "no-family": (F + "rejoin.rs", "self.lineage.is_family(report, &serving.anchor)", "false"),
    "no-demotion": (F + "rejoin.rs", "None if !member.is_family && !report.is_blank()", "None if !report.is_blank()"),
    "no-repointing": (F + "rejoin.rs", "Finding::Repoint if joining < self.params.parallel_syncs.max(1) => {", "Finding::Repoint if joining > 1_000 => {"),
    "deposed-for-ever": (F + "serve.rs", "held_for >= self.params.detect.down_after\n", "held_for >= Duration::MAX\n"),
    "discovers-anyone": (F + "discover.rs", "(is_recent && is_another)", "(false && is_recent && is_another)"),
    "discovers-the-first": (F + "discover.rs", "self.lineage.kinship(report, other) == Kinship::Successor)", "self.lineage.kinship(report, other) != Kinship::Same)"),
    # Detection.
    "down-at-once": (D + "mod.rs", "if now.since(self.alive_at) >= down_after {", "if now.since(self.alive_at) >= self.params.interval {"),
    "refused-at-once": (D + "mod.rs", "&& now.since(since) >= refused_after", "&& now.since(since) >= Duration::ZERO"),
    "never-down": (D + "mod.rs", "return Some(Health::Down(Cause::Silent));", "return Some(Health::Suspect(Cause::Silent));"),
    "stall-counts": (D + "mod.rs", "self.alive_at = self.alive_at + stall;", "let _ = stall;"),
    # Switchovers.
    "match-any-lag": (F + "switchover.rs", "if self.lag(since) != Some(0) {", "if self.lag(since).is_none() {"),
    "match-by-old-reports": (F + "switchover.rs", "Step::Matching { since: now });", "Step::Matching { since: Time::ZERO });"),
    "does-not-drain": (F + "switchover.rs", "Step::Draining { version } if self.drained >= version", "Step::Draining { version } if self.drained <= version"),
    "stays-paused": (F + "switchover.rs", "        self.unpause();\n        let Some(switch)", "        let Some(switch)"),
    # What a session sends, and never sends again.
    "uncertain-is-resent": (S + "recover.rs", "let safe = !whole || self.in_multi", "let safe = whole || self.in_multi"),
    "whole-is-part": (S + "log.rs", "let whole = entry.len <= self.sent", "let whole = entry.len < self.sent"),
    "exec-is-resent": (S + "recover.rs", "if is_exec && whole && !self.aborted {", "if is_exec && !whole && !self.aborted {"),
    "sends-while-held": (S + "machine.rs", "if !world.route.lets_finish() || world.route.epoch != self.epoch", "if world.route.epoch != self.epoch"),
    "sends-while-draining": (S + "machine.rs", "Link::Up if world.route.gate == Gate::Draining => self.unfinished(),", "Link::Up if world.route.gate == Gate::Draining => self.log.unsent(),"),
    "epoch-at-least": (S + "machine.rs", "if world.route.epoch != self.epoch {", "if world.route.epoch < self.epoch {"),
    "drained-too-early": (S + "handover.rs", "self.passing.is_none() && !self.log.is_owed()", "self.passing.is_none()"),
    # What a session answers.
    "uncertain-twice": (S + "recover.rs", "        } else {\n            world.tally.uncertain += 1;\n", "        } else {\n            world.tally.uncertain += 1;\n            self.answer(at, texts::UNCERTAIN);\n"),
    "readonly-is-shown": (S + "reply.rs", "if let Some(proof) = self.proof_in(world, now, frame) {", "if let Some(proof) = self.proof_in(world, now, frame).filter(|it| *it != Proof::Readonly) {"),
    "loading-is-shown": (S + "proof.rs", "b\"-LOADING Redis is loading the dataset in memory\"\n", "b\"-LOADING Redis\"\n"),
    "held-out-of-order": (S + "recover.rs", "        items.append(&mut self.replay);\n        self.replay = items;\n", "        self.replay.append(&mut items);\n"),
    "hold-limit-ignored": (S + "admit.rs", "others.saturating_add(own) > world.budget.max;", "others.saturating_add(own) == usize::MAX;"),
    "hold-timeout-ignored": (S + "hold.rs", "Some(at.max(stuck) + world.policy.hold_timeout)", "Some(at.max(stuck) + world.policy.hold_timeout * 1000)"),
    "hole-after-release": (S + "admit.rs", "if self.can_send(world) && !self.refusing {", "if self.can_send(world) {"),
    "hole-in-pipeline": (S + "admit.rs", "self.refusing |= others", "self.refusing = others"),
    # What a session is, on the next node.
    "select-is-forgotten": (S + "restore.rs", "if let Some(db) = &state.db {", "if let Some(db) = state.db.as_ref().filter(|_| false) {"),
    "multi-is-forgotten": (S + "restore.rs", "            it.transaction(rare, world);\n", ""),
    "queued-is-shown": (S + "restore.rs", "self.steps.push_back(Step::Queued);", "self.steps.extend((self.steps.len() < 2).then_some(Step::Queued));"),
    "queue-is-forgotten": (S + "exec.rs", "transaction.queued(queued, gone);", "let _ = (transaction, queued, gone);"),
    "watch-survives": (S + "recover.rs", "        self.state.break_watch();\n", ""),
    "refused-in-multi": (S + "admit.rs", "} else if self.tail_multi {", "} else if self.tail_multi && self.is_shared() {"),
}


def prepare():
    """A copy of what the simulation needs, and where it is built."""
    shutil.rmtree(TREE, ignore_errors=True)
    for part in ("src/pure", "tests/sim"):
        shutil.copytree(part, TREE / part)
    for part in ("Cargo.toml", "Cargo.lock", "build.rs"):
        shutil.copy(part, TREE / part)
    (TREE / "src/lib.rs").write_text("//! Only what decides.\npub mod pure;\n")
    (TREE / "src/main.rs").write_text("//! Nothing.\nfn main() {}\n")


def sweep(first, count):
    """The first violation that the sweep tells, or None. Nothing else counts as caught."""
    env = dict(
        os.environ, SEGUE_FIRST=str(first), SEGUE_SEEDS=str(count), SEGUE_FAILURES="1",
        CARGO_TARGET_DIR=str(TARGET), CARGO_INCREMENTAL="1", RUSTFLAGS="--cap-lints=allow",
    )
    command = ["cargo", "test", "--quiet", "--offline", "--test", "sim"]
    run = {"env": env, "cwd": TREE, "capture_output": True, "text": True}
    built = subprocess.run(command + ["--no-run"], **run)
    if built.returncode != 0:
        sys.exit("no bug was caught, the build failed:\n" + built.stdout + built.stderr)
    ran = subprocess.run(command + ["sweep::sweep", "--", "--exact", "--nocapture"], **run)
    output = ran.stdout + ran.stderr
    found = re.search(r"^seed (\d+): (\S+) at|^(a human is needed) in", output, re.MULTILINE)
    if (found is None) != (ran.returncode == 0):
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
    names = sys.argv[1:]
    quick = "--quick" in names
    names = [it for it in names if it != "--quick"] or list(MUTANTS)
    results, bad = known(), []
    prepare()
    for name in names:
        path, old, new = MUTANTS[name]
        file = TREE / "src/pure" / path
        text = file.read_text()
        if text.count(old) != 1:
            print(f"{name}: stands {text.count(old)} times in {path}", flush=True)
            bad.append(name)
            continue
        file.write_text(text.replace(old, new))
        seed = results.get(name, ("", 0))[1]
        found = sweep(seed, 1) if quick and name in results else sweep(0, SEEDS)
        file.write_text(text)
        print(f"{name}: {'SURVIVED' if found is None else found}", flush=True)
        if found is None:
            bad.append(name)
            results.pop(name, None)
        else:
            results[name] = found
        if not quick:
            lines = [f"{it}\t{results[it][0]}\t{results[it][1]}" for it in MUTANTS if it in results]
            head = f"# mutant\tviolation\tseed that shows it; last written {datetime.date.today()}"
            RESULTS.write_text("\n".join([head, *lines]) + "\n")
    print(f"{len(names) - len(bad)} of {len(names)} caught; not: {bad}")
    sys.exit(1 if bad else 0)


main()
