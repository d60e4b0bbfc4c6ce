"""A primary and two replicas: real servers, asked directly, and broken on purpose."""

import time
from dataclasses import dataclass
from pathlib import Path

from netns import LOOPBACK, NODES, Place
from proc import Gone, Process, free_port, wait_until
from resp import Client, WrongReply


@dataclass
class Node:
    name: str
    place: Place
    port: int
    process: Process

    @property
    def address(self) -> str:
        return f"{self.place.host}:{self.port}"

    def call(self, *command, timeout: float = 2.0):
        with Client(self.port, timeout, self.place.host) as client:
            return client.call(*command)

    def info(self, section: str) -> dict[str, str]:
        """Empty if it does not answer."""
        try:
            lines = self.call("INFO", section, timeout=0.5).decode().splitlines()
        except (OSError, WrongReply):
            return {}
        return dict(it.split(":", 1) for it in lines if ":" in it)

    def is_primary(self) -> bool:
        return self.info("replication").get("role") == "master"

    def full_resyncs(self) -> int:
        """Full copies that it gave to others."""
        return int(self.info("stats")["sync_full"])


class Group:
    """The nodes; the first one starts as the primary. `end` ends them."""

    def __init__(self, server: str, folder: Path, places: list[Place] | None = None) -> None:
        self.nodes: list[Node] = []
        try:
            for name, place in zip(NODES, places or [LOOPBACK] * len(NODES)):
                self.nodes.append(_start(server, name, place, folder, self.nodes[:1]))
            for node in self.nodes:
                wait_until(lambda: node.info("server"), node.process, 20, f"node {node.name}")
            wait_until(lambda: self.settled() is not None, None, 20, "replication")
        except Gone:
            self.end()
            raise

    def end(self) -> None:
        for node in self.nodes:
            node.process.end()

    def at(self, host: str, port: int) -> Node:
        return next(it for it in self.nodes if (it.place.host, it.port) == (host, port))

    def named(self, name: str) -> Node:
        return next(it for it in self.nodes if it.name == name)

    def primaries(self) -> list[Node]:
        return [it for it in self.nodes if it.is_primary()]

    def settled(self) -> Node | None:
        """The primary, if it is the only one and everybody alive is in step with it."""
        alive = [it for it in self.nodes if it.process.is_alive()]
        facts = {it.name: it.info("replication") for it in alive}
        primaries = [it for it in alive if facts[it.name].get("role") == "master"]
        if len(primaries) != 1 or not all(facts.values()):
            return None
        primary = primaries[0]
        for node in alive:
            its = facts[node.name]
            follows = (its.get("master_host"), its.get("master_port"))
            if node is not primary and (
                follows != (primary.place.host, str(primary.port))
                or its.get("master_link_status") != "up"
            ):
                return None
        return primary

    def wait_settled(self, seconds: float) -> float | None:
        """Seconds until it was; nothing if it was not in time."""
        begun = time.monotonic()
        while self.settled() is None:
            if time.monotonic() - begun > seconds:
                return None
            time.sleep(0.02)
        return time.monotonic() - begun


def _start(server: str, name: str, place: Place, folder: Path, primary: list[Node]) -> Node:
    own = folder / name
    own.mkdir()
    port = free_port()
    argv = [server, "--port", str(port), "--bind", place.host, "--dir", str(own)]
    # Nothing on disk, and the first copies do not wait for company.
    argv += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
    argv += ["--protected-mode", "no"]
    for it in primary:
        argv += ["--replicaof", f"{it.place.host} {it.port}"]
    return Node(name, place, port, Process(place.command(argv), own / "log", own))
