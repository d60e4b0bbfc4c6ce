"""Compares Segue with a direct connection, with floor programs and with other proxies.

Run it by `make bench`, `make bench-quick` or `scripts/bench --help`.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import guarded
import picture
import report
import run
import summary
from proc import steal_and_total_ticks
from targets import TARGETS, Setting
from workloads import WORKLOADS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench-results"
SPARE_DESCRIPTORS = 5_200
"""HAProxy asks for a quarter more than two a session when it splices, and does not start without."""


def main() -> int:
    args = arguments()
    if args.command == "report":
        return publish(json.loads(Path(args.file).read_text()))
    # So that `finally` ends what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args.command == "guarded":
        return guarded_writes(args)
    descriptors = raise_limit()
    plan = plan_of(args, descriptors)
    before, steal = time.time(), steal_and_total_ticks()
    data = {"meta": meta(plan, args, descriptors), "cells": run.everything(plan)}
    data["idle"] = run.idle_sessions(plan) if plan.idle_sessions else []
    steal = [now - then for now, then in zip(steal_and_total_ticks(), steal)]
    data["meta"]["steal_percent"] = 100 * steal[0] / max(1, steal[1])
    data["meta"]["seconds_in_all"] = time.time() - before
    data["meta"]["problems"] = plan.problems
    path = keep(data)
    print("\n" + report.text(data))
    print(f"raw data: {path.relative_to(ROOT)}")
    picture.draw(data, RESULTS / "bench.svg")
    if args.publish:
        publish(data)
    return 0 if any(it["target"] in summary.SEGUE for it in data["cells"]) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.set_defaults(command="run")
    parser.add_argument("--quick", action="store_true", help="fewer workloads, rounds, seconds")
    parser.add_argument("--rounds", type=int, help="alternating rounds (5; 2 if quick)")
    parser.add_argument("--seconds", type=float, help="of each cell (2.5; 0.7 if quick)")
    parser.add_argument("--workloads", help=f"of {','.join(it.name for it in WORKLOADS)}")
    parser.add_argument("--targets", help=f"of {','.join(it.name for it in TARGETS)}")
    parser.add_argument("--idle", type=int, help="idle sessions (10,000 or the limit; 0: none)")
    parser.add_argument("--segue", type=Path, default=ROOT / "target/release/segue")
    parser.add_argument("--floor", type=Path, default=ROOT / "target/release")
    parser.add_argument("--server", default="redis-server", help="or a valkey-server")
    parser.add_argument("--seed", type=int, default=1, help="of the order within a round")
    parser.add_argument("--publish", action="store_true", help="update docs/ with the result")
    commands = parser.add_subparsers()
    again = commands.add_parser("report", help="update docs/ with the result in a file")
    again.add_argument("file")
    again.set_defaults(command="report")
    guards = commands.add_parser("guarded", help="what guarded writes cost (2 min)")
    guards.set_defaults(command="guarded")
    return parser.parse_args()


def guarded_writes(args: argparse.Namespace) -> int:
    """Plain and guarded writes, side by side."""
    data = guarded.measure(args.segue.resolve())
    commit = describe()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "guarded.json").write_text(json.dumps(data, indent=1))
    date = time.strftime("%Y-%m-%d", time.gmtime())
    meta = f"Measured {date}, Segue `{commit}`, {os.cpu_count()} cores for everything"
    text = guarded.markdown(data, meta)
    print(text)
    if args.publish:
        guarded.publish(text, ROOT / "docs/guarded-writes.md")
        print("updated: docs/guarded-writes.md")
    return 0


def describe() -> str:
    git = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def plan_of(args: argparse.Namespace, descriptors: int) -> run.Plan:
    quick = args.quick
    workloads = [it for it in WORKLOADS if it.is_quick or not quick]
    if args.workloads:
        workloads = [it for it in WORKLOADS if it.name in args.workloads.split(",")]
    names = args.targets.split(",") if args.targets else [it.name for it in TARGETS]
    # A proxy that shares no connections needs two descriptors for each session.
    idle_max = min(10_000, (descriptors - SPARE_DESCRIPTORS) // 2)
    idle = args.idle if args.idle is not None else (0 if quick else idle_max)
    targets = run.targets_named(names)
    setting = Setting(Path(), 0, args.segue.resolve(), args.floor.resolve(), 0)
    missing = [it for it in targets if it.kind != "direct" and it.find(setting) is None]
    plan = run.Plan(
        workloads=workloads,
        targets=[it for it in targets if it not in missing],
        rounds=args.rounds or (2 if quick else 5),
        seconds=args.seconds or (0.7 if quick else 2.5),
        all_floors=not quick,
        idle_sessions=min(idle, idle_max),
        segue=args.segue.resolve(),
        floor=args.floor.resolve(),
        server=args.server,
        seed=args.seed,
    )
    for target in missing:
        plan.problem(f"{target.title}: {target.program or target.name} is not here")
    return plan


def raise_limit() -> int:
    """Takes what file descriptors there are; children inherit that."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def meta(plan: run.Plan, args: argparse.Namespace, descriptors: int) -> dict:
    cpu = next(
        (it.split(":")[1].strip() for it in Path("/proc/cpuinfo").read_text().splitlines()
         if it.startswith("model name")),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"This machine is busy (load {load:.1f}): believe ratios little, the rest less.")
    setting = Setting(Path(), 0, plan.segue, plan.floor, 0)
    server = subprocess.run([plan.server, "--version"], capture_output=True, text=True)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "quick": args.quick,
        "commit": describe(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release().split("-")[0],
        "load_before": load,
        "descriptors": descriptors,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "server": server.stdout.strip(),
        "versions": {it.name: it.version(setting) for it in plan.targets if it.kind != "direct"},
    }


def keep(data: dict) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime())
    path.write_text(json.dumps(data, indent=1))
    shutil.copy(path, RESULTS / "latest.json")
    return path


def publish(data: dict) -> int:
    """Puts the table and the picture where people look."""
    report.publish(data, ROOT / "docs/performance.md")
    picture.draw(data, ROOT / "docs/images/bench.svg")
    print("updated: docs/performance.md, docs/images/bench.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
