"""The whole measurement: workloads one after the other, targets in alternating rounds."""

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import idle
import load
from findings import Findings
from proc import Gone, free_port, wait_until
from resp import Client, WrongReply, answers, check, value_of
from targets import TARGETS, Setting, Target, start, start_server
from workloads import WORKLOADS, Workload


@dataclass
class Plan(Findings):
    """How much is measured."""

    workloads: list[Workload]
    targets: list[Target]
    rounds: int
    seconds: float
    all_floors: bool
    """Also those floor programs that others are better suited than, and Segue with 2 workers."""
    idle_sessions: int
    segue: Path
    floor: Path
    server: str
    seed: int

    def targets_of(self, workload: Workload) -> list[Target]:
        def is_wanted(target: Target) -> bool:
            if target.name == "segue-2-workers":
                return self.all_floors and workload.clients >= 50
            if target.kind != "floor" or target.name == workload.floor:
                return True
            is_large = workload.value_bytes >= 16 << 10
            return self.all_floors and (is_large or target.name != "relay-splice")

        return [it for it in self.targets if is_wanted(it)]


def everything(plan: Plan) -> list[dict]:
    """All cells."""
    cells = []
    for workload in plan.workloads:
        plan.say(workload.title)
        cells += _with_targets(plan, workload, lambda *it: _rounds(plan, workload, *it))
    return cells


def idle_sessions(plan: Plan) -> list[dict]:
    """What idle sessions do to each target."""
    active = next(it for it in WORKLOADS if it.name == "50")
    plan.say(f"{plan.idle_sessions} idle sessions beside {active.title}")

    def each(meters: dict[str, load.Meter], _shuffle: random.Random) -> list[dict]:
        results = []
        for name, meter in meters.items():
            _resume(meter)
            try:
                rounds = 1 if plan.rounds < 5 else 3
                result = idle.measure(meter, plan.idle_sessions, rounds, plan.seconds)
                results.append({"target": name, **result})
            except (load.Failed, OSError) as error:
                plan.problem(f"{name}, idle sessions: {error}")
            _pause(meter)
        return results

    return _with_targets(plan, active, each)


def _with_targets(plan: Plan, workload: Workload, measure) -> list[dict]:
    """Starts a server and all targets, hands out their meters, and ends them all."""
    processes = []
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as name:
        folder, node_port = Path(name), free_port()
        try:
            server = start_server(plan.server, folder, node_port)
            processes.append(server)
            with Client(node_port) as client:
                for size in (64, workload.value_bytes):
                    key = f"bench:{size}"
                    client.call("SET", key, value_of(key, size))
            room = max(plan.idle_sessions, 1000) + 500
            setting = Setting(folder, node_port, plan.segue, plan.floor, room)
            meters = {}
            for target in plan.targets_of(workload):
                try:
                    port, process = start(target, setting)
                    if process:
                        processes.append(process)
                    check(port)
                    meter = load.Meter(workload, port, process, server, node_port)
                    meter.warm_up(min(0.3, plan.seconds))
                    _pause(meter)
                    meters[target.name] = meter
                except (Gone, WrongReply, load.Failed, OSError) as error:
                    plan.problem(f"{target.title}: {error}")
            return measure(meters, random.Random(f"{plan.seed} {workload.name}"))
        finally:
            for process in reversed(processes):
                process.end()


def _rounds(
    plan: Plan, workload: Workload, meters: dict[str, load.Meter], shuffle: random.Random
) -> list[dict]:
    cells = []
    for number in range(plan.rounds):
        # Who comes first finds another machine than who comes last.
        names = list(meters)
        shuffle.shuffle(names)
        for name in names:
            meter = meters[name]
            try:
                _resume(meter)
                cell = meter.measure(plan.seconds)
                cells.append({"workload": workload.name, "target": name, "round": number, **cell})
            except (load.Failed, Gone, WrongReply, OSError) as error:
                plan.problem(f"{name}, {workload.title}: {error}")
            _pause(meter)
        done = [it for it in cells if it["round"] == number]
        line = "  ".join(f"{it['target']} {it['rps']:,.0f}" for it in done)
        plan.say(f"  round {number + 1}: {line}")
    return cells


def _pause(meter: load.Meter) -> None:
    if meter.proxy:
        meter.proxy.pause()


def _resume(meter: load.Meter) -> None:
    if meter.proxy:
        meter.proxy.resume()
        wait_until(lambda: answers(meter.port), meter.proxy, 10, "a target that was paused")
        # Whatever it wants to catch up on, it does before it is measured.
        time.sleep(0.05)


def targets_named(names: list[str]) -> list[Target]:
    """The targets of these names, the server itself always among them."""
    unknown = set(names) - {it.name for it in TARGETS}
    if unknown:
        raise SystemExit(f"unknown targets: {', '.join(sorted(unknown))}")
    return [it for it in TARGETS if it.name in names or it.kind == "direct"]
