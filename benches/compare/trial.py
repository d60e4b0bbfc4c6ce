"""What every trial needs: a group, what stands before it, and clients."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from clients import Clients
from fronts import Front, Programs
from group import Group
from netns import Place


@contextmanager
def started(
    programs: Programs,
    kind: type[Front],
    clients: Path,
    load: str,
    places: list[Place] | None = None,
) -> Iterator[tuple[Group, Front, Clients]]:
    """Starts them in a folder of their own, one after the other, and ends them all."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-compare-")))
        group = Group(programs.server, folder, places)
        stack.callback(group.end)
        front = kind(programs, group, folder)
        stack.callback(front.end)
        running = Clients(clients, front.port, load, folder / "clients.log")
        stack.callback(running.end)
        yield group, front, running
