#!/usr/bin/env python3
"""Checks the checker: plants one bug at a time in src/pure and demands that the sweep sees it.

Run by hand from the root of the repository: tests/sim/mutants.py [NAME...]
Each bug is a text that stands exactly once in its file. The files are put back at the end.
Survivors are named, and make the exit status 1.
"""

import os
import pathlib
import re
import subprocess
import sys

SEEDS = os.environ.get("SEGUE_SEEDS", "1500")
FAILOVER, DETECT, TOPOLOGY = "src/pure/failover/", "src/pure/detect/", "src/pure/topology/"

# name: (file, what stands there, what is put in its place)
MUTANTS = {
    "commit-forgets-amnesia": (FAILOVER + "lost.rs", "        self.recollect(now);\n", ""),
    "offset-1-is-a-place": (FAILOVER + "serve.rs", "if replica.offset <= 1 {", "if false {"),
    "heir-under-order": (FAILOVER + "serve.rs", "(is_promoted && member.pending.is_none())", "is_promoted"),
    "heir-from-before-the-order": (FAILOVER + "serve.rs", "member.report_since(fresh.max(member.answered_at))?", "member.report_since(fresh)?"),
    "amnesia-guard-off": (FAILOVER + "serve.rs", "if !is_new || !report.is_primary()", "if true || !report.is_primary()"),
    "no-witness": (FAILOVER + "lost.rs", "*other != node && it.is_witness(primary, lost_at)", "*other != node && it.is_witness(primary, lost_at) && false"),
    "late-witness": (FAILOVER + "member.rs", "if self.health().is_down() || self.health() == Health::Unknown {", "if !self.health().is_up() {"),
    "syncing-is-eligible": (FAILOVER + "select.rs", "if link.state == LinkState::Syncing && !lost.amnesia {", "if false {"),
    "never-synced-is-eligible": (FAILOVER + "select.rs", "if report.offset <= 1 && !is_salvage && !has_copy {", "if false {"),
    "lowest-offset-wins": (FAILOVER + "select.rs", "priority, Reverse(report.offset)", "priority, Reverse(u64::MAX - report.offset)"),
    "priority-0-is-eligible": (FAILOVER + "select.rs", "if priority == 0 {", "if false {"),
    "any-lag": (FAILOVER + "select.rs", "if lag_bytes > limits.max_lag_bytes && !is_salvage {", "if false {"),
    "any-link-down": (FAILOVER + "select.rs", "if before > limits.max_link_down {", "if false {"),
    "strangers-are-same": (TOPOLOGY + "lineage.rs", "None => Kinship::Unrelated,", "None => Kinship::Same,"),
    "no-family": (FAILOVER + "rejoin.rs", "self.lineage.is_family(report, &serving.anchor)", "false"),
    "confirmed-too-much": (FAILOVER + "brain.rs", "self.confirmed = self.confirmed.max(version)", "self.confirmed = self.confirmed.max(version + 1)"),
    "epoch-stays": (FAILOVER + "gate.rs", "let epoch = self.route.epoch.next();\n        self.publish", "let epoch = self.route.epoch;\n        self.publish"),
    "down-at-once": (DETECT + "mod.rs", "if now.since(self.alive_at) >= down_after {", "if now.since(self.alive_at) >= self.params.interval {"),
    "refused-at-once": (DETECT + "mod.rs", "&& now.since(since) >= refused_after", "&& now.since(since) >= Duration::ZERO"),
    "never-down": (DETECT + "mod.rs", "return Some(Health::Down(Cause::Silent));", "return Some(Health::Suspect(Cause::Silent));"),
    "stall-counts": (DETECT + "mod.rs", "self.alive_at = self.alive_at + stall;", "let _ = stall;"),
    "stale-is-fresh": (FAILOVER + "brain.rs", "saturating_sub(age_max)).max(self.awake_from)", "saturating_sub(age_max))"),
    "no-demotion": (FAILOVER + "rejoin.rs", "None if !member.is_family && !report.is_blank()", "None if !report.is_blank()"),
    "no-repointing": (FAILOVER + "rejoin.rs", "Finding::Repoint if joining < self.params.parallel_syncs.max(1) => {", "Finding::Repoint if joining > 1_000 => {"),
    "unknown-is-failed": (FAILOVER + "lost.rs", "Outcome::NotSent(_) if promotion.is_uncertain => {}\n", ""),
    "unsettled": (FAILOVER + "lost.rs", "lost_for < DRAIN_MAX && !self.is_settled(&ranking)", "lost_for < DRAIN_MAX && false"),
    "discovers-anyone": (FAILOVER + "discover.rs", "(is_recent && is_another)", "(false && is_recent && is_another)"),
    "discovers-the-first": (FAILOVER + "discover.rs", "self.lineage.kinship(report, other) == Kinship::Successor)", "self.lineage.kinship(report, other) != Kinship::Same)"),
    "deposed-for-ever": (FAILOVER + "serve.rs", "held_for >= self.params.detect.down_after\n", "held_for >= Duration::MAX\n"),
    "spins": (FAILOVER + "brain.rs", ".filter(|it| *it > self.stepped_at)", ""),
    "old-anchor": (FAILOVER + "serve.rs", "            serving.anchor = report;\n", "            let _ = report;\n"),
    "impatient": (FAILOVER + "lost.rs", "if is_early && !primary", "if false && is_early && !primary"),
}


def sweep():
    """The first violation that the sweep tells, or None; a build that fails is an error."""
    env = dict(os.environ, SEGUE_SEEDS=SEEDS, SEGUE_FAILURES="1", RUSTFLAGS="")
    command = ["cargo", "test", "--quiet", "--test", "sim", "sweep", "--", "--nocapture"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True)
    output = ran.stdout + ran.stderr
    if "error: could not compile" in output or "error[" in output:
        sys.exit(output)
    found = re.search(r"^(seed \d+: .*|a human is needed in .*)$", output, re.MULTILINE)
    return found.group(1) if found else (None if ran.returncode == 0 else output[-300:])


def main():
    names = sys.argv[1:] or MUTANTS
    survivors = []
    for name in names:
        path, old, new = MUTANTS[name]
        file = pathlib.Path(path)
        text = file.read_text()
        if text.count(old) != 1:
            sys.exit(f"{name}: stands {text.count(old)} times in {path}: {old}")
        try:
            file.write_text(text.replace(old, new))
            found = sweep()
        finally:
            file.write_text(text)
        print(f"{name}: {'SURVIVED' if found is None else found}", flush=True)
        if found is None:
            survivors.append(name)
    print(f"{len(names) - len(survivors)} of {len(names)} caught; alive: {survivors}")
    sys.exit(1 if survivors else 0)


main()
