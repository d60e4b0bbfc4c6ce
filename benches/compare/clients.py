"""The clients: a program apart, told what to do line by line, and the books that it leaves."""

import gzip
import select
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from proc import Gone

CLIENTS = 20
RATE = 1_000
"""Operations a second of all plain clients together."""


@dataclass(frozen=True)
class Operation:
    client: int
    kind: str
    number: int
    sent: int
    """Nanoseconds of the monotonic clock, as `time.monotonic_ns` gives them."""
    ended: int
    outcome: str
    is_lost: bool

    @property
    def is_served(self) -> bool:
        """It was answered as a server that is well answers it."""
        return self.outcome in ("done", "stale")


class Clients:
    """Running clients; `end` ends them."""

    def __init__(self, program: Path, port: int, load: str, log: Path) -> None:
        argv = [str(program), f"127.0.0.1:{port}", "--load", load]
        argv += ["--clients", str(CLIENTS), "--rate", str(RATE)]
        with log.open("wb") as errors:
            self._popen = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        try:
            self._expect("ready", 20)
        except Gone:
            self.end()
            raise

    def stop(self) -> None:
        """Lets each of them finish its turn."""
        # Whoever still waits for an answer gives it up after five seconds.
        self._tell("stop", "stopped", 20)

    def search(self, address: str) -> None:
        """Looks there for every write that was acknowledged."""
        self._tell(f"search {address}", "searched", 60)

    def books(self, path: Path) -> list[Operation]:
        """Everything; it stays in a file at `path`, compressed."""
        self._tell(f"write {path}", "written", 60)
        operations = read(path)
        with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb", 6) as small:
            shutil.copyfileobj(plain, small)
        path.unlink()
        return operations

    def end(self) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait(timeout=10)
        for pipe in (self._popen.stdin, self._popen.stdout):
            pipe.close()

    def _tell(self, line: str, answer: str, seconds: float) -> None:
        self._popen.stdin.write(f"{line}\n".encode())
        self._popen.stdin.flush()
        self._expect(answer, seconds)

    def _expect(self, answer: str, seconds: float) -> None:
        # One line at a time, and none before it is asked for: nothing can wait in a buffer.
        ready, _, _ = select.select([self._popen.stdout], [], [], seconds)
        line = self._popen.stdout.readline().decode().strip() if ready else "nothing"
        if line != answer:
            raise Gone(f"the clients said {line!r} instead of {answer!r}")


def read(path: Path) -> list[Operation]:
    operations = []
    with path.open() as lines:
        for line in lines:
            client, kind, number, sent, ended, outcome, is_lost = line.split()
            operations.append(
                Operation(
                    int(client), kind, int(number), int(sent), int(ended), outcome, is_lost == "1"
                )
            )
    return operations
