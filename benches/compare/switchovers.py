"""Planned changes back and forth under clients of every kind: what each costs who waits longest.

Around each change there are two windows of the same length: one just before, in which nothing
happens, and one that begins with the command. The difference is what the change costs; what
clients wait for anyway on this machine, they wait for in both.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from account import MS, account, longest_waits
from clients import Clients, Operation
from findings import Findings
from fronts import (
    CoordinatedSentinel,
    Front,
    HaproxyAlone,
    NotDone,
    Programs,
    Segue,
    SegueBypassed,
    SentinelAndHaproxy,
)
from group import Group
from proc import Gone, wait_until
from resp import WrongReply
from trial import started

WARM_UP = 1.5
APART = 0.05
"""Seconds between the two windows: what waits for the change began after the quiet one."""
SETTLED_WITHIN = 30.0


@dataclass(frozen=True)
class Mode:
    front: type[Front]
    title: str
    window: float
    """Seconds: longer than the change takes to show."""
    share: float = 1.0
    """Of the number asked for."""
    calm: float = 0.0
    """Seconds until clients that were cut are back: nothing of it belongs to the next window."""
    only: str = ""
    """What the server must be called."""


SEGUE = Mode(Segue, "segue switchover", 0.25)
# Sentinel leaves the old primary alone for up to ten seconds, and nothing can be begun before.
OTHERS = [
    # What Segue makes of a change that somebody else makes.
    Mode(SegueBypassed, "FAILOVER, Segue", 1.5, calm=0.5),
    Mode(HaproxyAlone, "FAILOVER, HAProxy", 1.5, calm=1.0),
    Mode(SentinelAndHaproxy, "SENTINEL FAILOVER, HAProxy", 1.5, share=0.5, calm=1.0),
    Mode(
        CoordinatedSentinel,
        "SENTINEL FAILOVER … COORDINATED, HAProxy",
        1.5,
        share=0.5,
        calm=1.0,
        only="valkey",
    ),
]


@dataclass
class Plan(Findings):
    count: int
    others: int
    servers: list[Programs]
    clients: Path
    folder: Path


def everything(plan: Plan) -> list[dict]:
    rows = []
    for programs in plan.servers:
        plan.say(programs.server)
        for mode in (it for it in [SEGUE, *OTHERS] if it.only in Path(programs.server).name):
            count = plan.count if mode is SEGUE else max(1, round(plan.others * mode.share))
            try:
                row = _run(plan, programs, mode, count)
            except (Gone, WrongReply, OSError, ValueError) as error:
                plan.problem(f"{programs.server}, {mode.title}: {error}")
                continue
            rows.append(row)
            plan.say(
                f"  {mode.title}: {len(row['waits'])} changes in {row['seconds']:.0f} s, "
                f"{row['uncertain'] + row['other_errors']} errors, {row['lost']} writes lost"
            )
    return rows


def _run(plan: Plan, programs: Programs, mode: Mode, count: int) -> dict:
    with started(programs, mode.front, plan.clients, "mixed") as it:
        return _changes(plan, programs, mode, count, *it)


def _changes(
    plan: Plan,
    programs: Programs,
    mode: Mode,
    count: int,
    group: Group,
    front: Front,
    clients: Clients,
) -> dict:
    time.sleep(WARM_UP)
    begun = time.monotonic_ns()
    fulls = sum(it.full_resyncs() for it in group.nodes)
    quiet, changes, told, not_done = [], [], [], []
    try:
        while len(changes) < count:
            _wait_ready(group, front, mode.calm)
            before = _window(mode.window)
            time.sleep(APART)
            start = time.monotonic_ns()
            try:
                told.append(front.switch_over())
            except NotDone as reason:
                # As an operator would: once more.
                not_done.append(str(reason))
                if len(not_done) > count / 10:
                    raise Gone(f"not done too often, at last {reason}") from reason
                continue
            quiet.append(before)
            changes.append(_window(mode.window, start))
            front.tidy()
        _wait_ready(group, front, mode.calm)
    except (Gone, WrongReply, OSError) as error:
        # What was measured so far is told all the same.
        plan.problem(f"{programs.server}, {mode.title}, change {len(changes) + 1}: {error}")
    clients.stop()
    clients.search(front.primary().address)
    name = f"{Path(programs.server).name}-{front.name}.ops"
    operations = clients.books(plan.folder / name)
    return {
        "server": Path(programs.server).name,
        "mode": mode.title,
        "window": mode.window,
        "began": [start for start, _ in changes],
        "waits": _longest(operations, changes),
        "quiet": _longest(operations, quiet[: len(changes)]),
        "not_done": not_done,
        "held": [it["held_ms"] for it in told if it],
        "told": [it for it in told if it],
        "full_resyncs": sum(it.full_resyncs() for it in group.nodes) - fulls,
        "missed_messages": _missed_messages(operations),
        "operations": len(operations),
        **account(operations, begun).as_dict(),
    }


def _window(seconds: float, start: int | None = None) -> tuple[int, int]:
    start = start or time.monotonic_ns()
    end = start + int(seconds * 1e9)
    time.sleep(max(0.0, (end - time.monotonic_ns()) / 1e9))
    return start, end


def _wait_ready(group: Group, front: Front, calm: float) -> None:
    if group.wait_settled(SETTLED_WITHIN) is None:
        raise Gone(f"the group has not settled after {SETTLED_WITHIN:.0f} s")
    wait_until(front.knows_the_group, None, SETTLED_WITHIN, "the view of the group")
    time.sleep(calm)


def _longest(operations: list[Operation], windows: list[tuple[int, int]]) -> list[float]:
    """The longest wait of any client, for each window, in milliseconds."""
    found = longest_waits(operations, windows)
    return [round(max(it.values(), default=0) / MS, 3) for it in found]


def _missed_messages(operations: list[Operation]) -> int:
    """Published and acknowledged, and heard by nobody. Nobody promised otherwise."""
    said = sum(it.kind == "publish" and it.outcome == "done" for it in operations)
    heard = sum(it.kind == "message" and it.outcome == "done" for it in operations)
    return max(0, said - heard)
