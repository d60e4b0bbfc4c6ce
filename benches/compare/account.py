"""What clients noticed, added up from their books: the same sums for every system."""

from bisect import bisect_right
from collections import Counter
from dataclasses import asdict, dataclass

from clients import Operation

WRITES = ("write", "transaction", "push")
RECEIVED = ("pop", "message")
"""Their waiting began when somebody else sent what they received."""
MS = 1_000_000


@dataclass
class Trial:
    """One fault as clients saw it. Times in milliseconds."""

    outage: float
    """The longest time from the fault on in which no write was acknowledged to anybody."""
    longest_wait: float
    """The longest time from the moment a client wanted something to when it got it or something
    else: with all failed attempts in between."""
    errors: dict[str, int]
    """Operations that were not served, by kind and outcome."""
    uncertain: int
    """Of those, writes answered with `-UNCERTAIN`."""
    disconnections: int
    acknowledged: int
    """Writes."""
    lost: int
    stale: int
    """Reads that did not see a write acknowledged before they were sent."""
    wrong: int
    seconds: float
    """From the fault to the end of the load."""

    @property
    def other_errors(self) -> int:
        return sum(self.errors.values()) - self.uncertain

    def as_dict(self) -> dict:
        return {**asdict(self), "other_errors": self.other_errors}


def account(operations: list[Operation], fault: int) -> Trial:
    """`fault` is when it was caused, in nanoseconds."""
    errors = Counter(
        f"{it.kind} {it.outcome}" for it in operations if not it.is_served
    )
    uncertain = sum(
        count for what, count in errors.items() if what in {f"{it} -UNCERTAIN" for it in WRITES}
    )
    acknowledged = [it for it in operations if it.kind in WRITES and it.outcome == "done"]
    end = max(it.ended for it in operations)
    served = sorted(it.ended for it in acknowledged if it.ended >= fault)
    moments = [fault, *served, end]
    return Trial(
        outage=max(then - now for now, then in zip(moments, moments[1:])) / MS,
        longest_wait=max(longest_waits(operations, [(fault, end)])[0].values(), default=0) / MS,
        errors=dict(errors),
        uncertain=uncertain,
        disconnections=disconnections(operations),
        acknowledged=len(acknowledged),
        lost=sum(it.is_lost for it in acknowledged),
        stale=sum(it.outcome == "stale" for it in operations),
        wrong=errors_named(errors, "wrong"),
        seconds=(end - fault) / MS / 1_000,
    )


def errors_named(errors: dict[str, int], outcome: str) -> int:
    return sum(count for what, count in errors.items() if what.split()[1] == outcome)


def disconnections(operations: list[Operation]) -> int:
    """Connections that were cut or given up; a pipeline has one."""
    cut = {(it.client, it.sent) for it in operations if it.outcome in ("cut", "no-answer")}
    return len(cut)


def longest_waits(
    operations: list[Operation], windows: list[tuple[int, int]]
) -> list[dict[int, int]]:
    """For each window, the longest wait of each client that touches it, in nanoseconds.

    Windows are in order and do not overlap.
    """
    starts = [start for start, _ in windows]
    found: list[dict[int, int]] = [{} for _ in windows]
    for client, since, until in _waits(operations):
        # Of the windows that began before it ended, those that had not ended when it began.
        index = bisect_right(starts, until) - 1
        while index >= 0 and windows[index][1] >= since:
            found[index][client] = max(found[index].get(client, 0), until - since)
            index -= 1
    return found


def _waits(operations: list[Operation]):
    """Client, since when, until when: of every operation, with the attempts that failed before."""
    wanting: dict[int, int] = {}
    for it in sorted(operations, key=lambda it: it.ended):
        if it.kind in RECEIVED:
            if it.is_served:
                yield it.client, it.sent, it.ended
            continue
        since = wanting.pop(it.client, it.sent)
        if it.is_served:
            yield it.client, since, it.ended
        else:
            wanting[it.client] = since
    # Whoever got nothing any more waited until the end.
    end = max((it.ended for it in operations), default=0)
    for client, since in wanting.items():
        yield client, since, end
