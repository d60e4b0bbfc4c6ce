"""Processes: starting, ending, and what they use, read from /proc."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Gone(Exception):
    """A process did not start, or ended before it should."""


class Process:
    """A child that is ended, whatever happens, by `end`."""

    def __init__(self, argv: list[str], log: Path, cwd: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self._popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd
            )
        self.pid = self._popen.pid

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def pause(self) -> None:
        """Stops it, so that it takes nothing from what is measured."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        if self.is_alive():
            os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        if self.is_alive():
            self._popen.kill()
        self._popen.wait(timeout=10)

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])[:300]

    def cpu_seconds(self) -> float:
        """User and system time of all its threads."""
        # The name of the program, in parentheses, may hold blanks.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE


def free_port() -> int:
    """A port that nobody has at this moment, below those that outgoing connections get."""
    for port in range(20000 + os.getpid() % 5000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in _taken:
                _taken.add(port)
                return port
    raise Gone("no free port")


_taken: set[int] = set()


def wait_until(ready, process: Process | None, seconds: float, what: str) -> None:
    """Asks `ready` until it says true; `Gone` when the process or the time ends."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process is not None and not process.is_alive():
            raise Gone(f"{what} ended: {process.last_words()}")
        if time.monotonic() > deadline:
            words = process.last_words() if process else ""
            raise Gone(f"{what} not ready after {seconds:.0f} s: {words}")
        time.sleep(0.02)


def steal_and_total_ticks() -> tuple[int, int]:
    """Time that other guests of the host had, and all time, of all processors."""
    fields = [int(it) for it in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return fields[7], sum(fields)
