"""Idle sessions: what they cost in memory, and whether the active ones notice them."""

import selectors
import statistics
import subprocess
import sys
from pathlib import Path

from load import Failed, Meter

HOLDER = Path(__file__).with_name("holder.py")


class Holder:
    """A process with many idle sessions."""

    def __init__(self, port: int, count: int, timeout: float) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, str(HOLDER), str(port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with selectors.DefaultSelector() as selector:
            selector.register(self._popen.stdout, selectors.EVENT_READ)
            said = self._popen.stdout.readline() if selector.select(timeout) else "too slow"
        if not said.startswith("ready"):
            self.end()
            raise Failed(f"idle sessions: {said.strip() or 'refused'}")

    def end(self) -> None:
        self._popen.kill()
        self._popen.communicate()


def measure(meter: Meter, count: int, rounds: int, seconds: float) -> dict:
    """Active sessions without, with, and again without idle ones, several times."""
    slowdowns, per_session = [], []
    for _ in range(rounds):
        before = meter.measure(seconds)
        holder = Holder(meter.port, count, timeout=120)
        try:
            rss = meter.proxy.rss_bytes() if meter.proxy else 0
            during = meter.measure(seconds)
        finally:
            holder.end()
        after = meter.measure(seconds)
        per_session.append((rss - before["rss"]) / count)
        slowdowns.append(during["rps"] / statistics.mean([before["rps"], after["rps"]]))
    # Later rounds find memory that the first one left behind.
    return {"sessions": count, "bytes_each": per_session[0], "active_ratio": slowdowns}
