"""The same faults, one after the other, for Segue and for Sentinel with HAProxy."""

import time
from dataclasses import dataclass
from pathlib import Path

from account import account
from clients import Clients
from findings import Findings
from fronts import DOWN_AFTER_MS, Front, NotDone, Programs, Segue, SentinelAndHaproxy
from group import Group
from netns import Place
from proc import Gone
from resp import WrongReply
from trial import started

SYSTEMS = (Segue, SentinelAndHaproxy)
BEFORE = 2.0
"""Seconds of load before the fault."""
SETTLED_WITHIN = 25.0
"""Sentinel demotes an old primary that it finds again after 10 s at the latest."""
AFTERWARDS = 1.0


@dataclass(frozen=True)
class Fault:
    name: str
    title: str
    seconds: float
    """How long the load goes on with it, at least."""
    outage_max: float | None
    """The goal, in milliseconds."""
    heals: bool = False
    """The old primary comes back then, and the load goes on until it has its place."""
    is_planned: bool = False
    needs_hosts: bool = False


FAULTS = [
    Fault("kill", "kill -9 of the primary", 6.0, 500),
    Fault("stop", "SIGSTOP of the primary for 6 s", 6.0, DOWN_AFTER_MS + 300, heals=True),
    Fault("blackhole", "its host cut off for 6 s", 6.0, None, heals=True, needs_hosts=True),
    Fault("planned", "planned change of primary", 3.0, 50, is_planned=True),
]


@dataclass
class Plan(Findings):
    """How much is measured."""

    faults: list[Fault]
    trials: int
    programs: Programs
    clients: Path
    places: list[Place] | None
    """Hosts of their own for the nodes, if there may be any."""
    folder: Path
    """Raw data goes there."""


def everything(plan: Plan) -> list[dict]:
    """All trials, in alternating order: who comes first finds another machine."""
    rows = []
    for fault in plan.faults:
        plan.say(fault.title)
        for number in range(plan.trials):
            for system in SYSTEMS if number % 2 == 0 else SYSTEMS[::-1]:
                try:
                    row = _trial(plan, fault, system, number)
                except (Gone, NotDone, WrongReply, OSError, ValueError) as error:
                    plan.problem(f"{system.title}, {fault.title}: {error}")
                    continue
                rows.append(row)
                plan.say(
                    f"  {system.title:<20} no write for {row['outage']:8,.1f} ms, "
                    f"longest wait {row['longest_wait']:8,.1f} ms, "
                    f"{row['disconnections']:>5,} disconnections, "
                    f"{row['uncertain']:>3} uncertain, {row['other_errors']:>5,} other errors, "
                    f"{row['lost']:>5,} of {row['acknowledged']:,} acknowledged writes lost"
                )
    return rows


def _trial(plan: Plan, fault: Fault, system: type[Front], number: int) -> dict:
    places = plan.places if fault.needs_hosts else None
    with started(plan.programs, system, plan.clients, "plain", places) as it:
        books = plan.folder / f"{fault.name}-{system.name}-{number + 1}.ops"
        return _measure(fault, *it, books)


def _measure(fault: Fault, group: Group, front: Front, clients: Clients, books: Path) -> dict:
    time.sleep(BEFORE)
    old, told = group.nodes[0], None
    caused = time.monotonic_ns()
    if fault.name == "kill":
        old.process.end()
    elif fault.name == "stop":
        old.process.pause()
    elif fault.name == "blackhole":
        old.place.blackhole()
    else:
        told = front.switch_over()
    time.sleep(fault.seconds)
    if fault.name == "stop":
        old.process.resume()
    elif fault.name == "blackhole":
        old.place.heal()
    # Not before somebody else is primary: a change that was only begun looks settled.
    settled = None
    if fault.heals or fault.is_planned:
        settled = group.wait_settled(SETTLED_WITHIN)
        time.sleep(AFTERWARDS)
    clients.stop()
    primary = front.primary()
    if primary is old or not primary.is_primary():
        raise Gone(f"{primary.name} is taken for the primary")
    clients.search(primary.address)
    trial = account(clients.books(books), caused)
    return {
        "fault": fault.name,
        "system": front.name,
        **trial.as_dict(),
        "settled_after": settled,
        "told": told,
    }
