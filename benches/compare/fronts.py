"""What stands between clients and nodes: Segue, or three Sentinels and HAProxy.

Each is set up as well as its own documentation says, and each decides alone what to do about a
fault. What one of them may use to be quicker, the other may use too.
"""

import csv
import io
import json
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from group import Group, Node
from proc import Gone, Process, free_port, wait_until
from resp import Client, WrongReply, answers

DOWN_AFTER_MS = 1_000
"""Of Sentinel, and Segue's `health.down_after` as shipped."""
SENTINELS = 3
QUORUM = 2


class NotDone(Exception):
    """A planned change was refused or taken back: everything is as it was."""


@dataclass(frozen=True)
class Programs:
    """What is started."""

    segue: Path
    shipped: Path
    """The configuration that Segue ships with."""
    server: str
    hub: str
    """The address, beside 127.0.0.1, at which Sentinels may reach each other: each announces the
    one from which it reaches the nodes."""


class Front:
    """What both have in common; `end` ends it."""

    name: str
    title: str

    def __init__(self, programs: Programs, group: Group, folder: Path) -> None:
        self.programs, self.group, self.folder = programs, group, folder
        self.port = free_port()
        self.processes: list[Process] = []
        try:
            self.start()
            wait_until(lambda: answers(self.port), self.processes[-1], 20, self.title)
        except Gone:
            self.end()
            raise

    def start(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        for process in reversed(self.processes):
            process.end()

    def switch_over(self) -> dict:
        """The planned change; returns once it was begun (Sentinel) or is over (Segue)."""
        raise NotImplementedError

    def primary(self) -> Node:
        """Whom it takes for the primary."""
        raise NotImplementedError

    def knows_the_group(self) -> bool:
        """Whether it is ready for another change."""
        return True

    def tidy(self) -> None:
        """Does by hand what the change leaves undone."""

    def launch(self, name: str, argv: list[str]) -> None:
        own = self.folder / name
        own.mkdir(exist_ok=True)
        self.processes.append(Process(argv, own / "log", own))


class Segue(Front):
    name, title = "segue", "Segue"

    def start(self) -> None:
        self.config = self.folder / "proxy.yaml"
        self.config.write_text(self._as_shipped())
        segue = str(self.programs.segue)
        self.launch("segue", [segue, "run", "--config", str(self.config)])

    def _as_shipped(self) -> str:
        """The shipped file; only what this machine dictates is changed."""
        text = self.programs.shipped.read_text()
        changes = {
            "0.0.0.0:6380": f"127.0.0.1:{self.port}",
            "0.0.0.0:9180": f"127.0.0.1:{free_port()}",
            "unix:/tmp/segue.sock": f"unix:{self.folder}/control.sock",
        }
        shipped = (f"127.0.0.1:{it}" for it in (7001, 7002, 7003))
        changes |= {old: it.address for old, it in zip(shipped, self.group.nodes)}
        for old, new in changes.items():
            if text.count(old) != 1:
                raise Gone(f"{self.programs.shipped.name} has {old} {text.count(old)} times")
            text = text.replace(old, new)
        return text

    def _ask(self, *command: str) -> dict:
        argv = [str(self.programs.segue), *command, "--config", str(self.config), "--json"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        try:
            return json.loads(done.stdout)
        except ValueError as error:
            said = (done.stdout + done.stderr).strip()
            raise Gone(f"segue {command[0]} ended with {done.returncode}: {said}") from error

    def switch_over(self) -> dict:
        account = self._ask("switchover")
        if account["outcome"] != "done":
            raise NotDone(f"{account['outcome']}: {', '.join(account['reasons'])}")
        return account

    def primary(self) -> Node:
        name = self._ask("status")["primary"]
        if name is None:
            raise Gone("Segue knows no primary")
        return self.group.named(name)

    def knows_the_group(self) -> bool:
        """Whether it has seen that every replica is in step."""
        nodes = self._ask("status")["nodes"]
        return sum(bool(it["link_up"]) for it in nodes) == len(nodes) - 1


class SegueBypassed(Segue):
    """The server's own command behind Segue's back."""

    name = "segue-bypassed"

    def switch_over(self) -> dict:
        (primary,) = self.group.primaries()
        primary.call("FAILOVER")
        return {}


class HaproxyAlone(Front):
    """HAProxy follows whoever says `role:master`, as its documentation of `tcp-check` shows.

    A node that says so no more is dropped at the first check, one that says so is taken at the
    first check, and clients of a node that is dropped are cut at once instead of being left to it.
    """

    name, title = "haproxy", "HAProxy"

    def start(self) -> None:
        self._start_haproxy()

    def switch_over(self) -> dict:
        """The server's own command."""
        (primary,) = self.group.primaries()
        primary.call("FAILOVER")
        return {}

    def tidy(self) -> None:
        """The command leaves the other replicas behind the old primary."""
        if len(primaries := self.group.primaries()) == 1:
            (primary,) = primaries
            for node in self.group.nodes:
                if node is not primary:
                    node.call("REPLICAOF", primary.place.host, primary.port)

    def primary(self) -> Node:
        (primary,) = self.group.primaries()
        return primary

    def knows_the_group(self) -> bool:
        return self._sends_to_the_primary()

    def _start_haproxy(self) -> None:
        servers = "\n".join(
            f"    server {it.name} {it.address} check" for it in self.group.nodes
        )
        self._socket = self.folder / "haproxy.sock"
        config = f"""\
global
    stats socket {self._socket}
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    option redispatch
frontend clients
    bind 127.0.0.1:{self.port}
    default_backend primary
backend primary
    option tcp-check
    tcp-check connect
    tcp-check send PING\\r\\n
    tcp-check expect string +PONG
    tcp-check send info\\ replication\\r\\n
    tcp-check expect string role:master
    tcp-check send QUIT\\r\\n
    tcp-check expect string +OK
    default-server inter 500ms fall 1 rise 1 on-marked-down shutdown-sessions
{servers}
"""
        path = self.folder / "haproxy.cfg"
        path.write_text(config)
        self.launch("haproxy", [haproxy(), "-f", str(path), "-db"])
        # It takes all servers for well until it has looked.
        wait_until(self._sends_to_the_primary, self.processes[-1], 20, "HAProxy")

    def _sends_to_the_primary(self) -> bool:
        """Whether the primary is the only server that it takes for well."""
        try:
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(2.0)
                asked.connect(str(self._socket))
                asked.sendall(b"show stat\n")
                answer = asked.makefile().read().removeprefix("# ")
        except OSError:
            return False
        rows = csv.DictReader(io.StringIO(answer))
        servers = {it["svname"]: it for it in rows if it["pxname"] == "primary"}
        well = [it for it in self.group.nodes if servers[it.name]["status"] == "UP"]
        return well == self.group.primaries() and len(well) == 1


class SentinelAndHaproxy(HaproxyAlone):
    name, title = "sentinel", "Sentinel + HAProxy"

    def start(self) -> None:
        first = self.group.nodes[0]
        self._sentinels = [(free_port(), number) for number in range(1, SENTINELS + 1)]
        for port, number in self._sentinels:
            config = f"""\
port {port}
bind {" ".join(sorted({"127.0.0.1", self.programs.hub}))}
protected-mode no
sentinel monitor main {first.place.host} {first.port} {QUORUM}
sentinel down-after-milliseconds main {DOWN_AFTER_MS}
sentinel failover-timeout main 10000
sentinel parallel-syncs main 1
"""
            path = self.folder / f"sentinel-{number}.conf"
            path.write_text(config)
            self.launch(f"sentinel-{number}", [self.programs.server, str(path), "--sentinel"])
        for (port, number), process in zip(self._sentinels, self.processes):
            wait_until(lambda: self._is_informed(port), process, 20, f"sentinel {number}")
        self._start_haproxy()

    def knows_the_group(self) -> bool:
        is_informed = all(self._is_informed(port) for port, _ in self._sentinels)
        return is_informed and super().knows_the_group()

    def _ask(self, port: int, *command):
        with Client(port, 2.0, self.programs.hub) as client:
            return client.call("SENTINEL", *command)

    def _is_informed(self, port: int) -> bool:
        """Whether it knows everybody, and reaches enough others to decide."""
        try:
            flat = [it.decode() for it in self._ask(port, "MASTER", "main")]
            self._ask(port, "CKQUORUM", "main")
        except (OSError, WrongReply):
            return False
        facts = dict(zip(flat[::2], flat[1::2]))
        wanted = {
            "num-slaves": str(len(self.group.nodes) - 1),
            "num-other-sentinels": str(SENTINELS - 1),
            "flags": "master",
        }
        return all(facts.get(key) == value for key, value in wanted.items())

    def tidy(self) -> None:
        """Sentinel sees to everybody."""

    def switch_over(self) -> dict:
        self._ask(self._sentinels[0][0], "FAILOVER", "main")
        return {}

    def primary(self) -> Node:
        host, port = self._ask(self._sentinels[0][0], "GET-MASTER-ADDR-BY-NAME", "main")
        return self.group.at(host.decode(), int(port))


class CoordinatedSentinel(SentinelAndHaproxy):
    """Sentinel lets the servers do it by `FAILOVER`: Valkey 9 has that."""

    name = "coordinated"

    def switch_over(self) -> dict:
        self._ask(self._sentinels[0][0], "FAILOVER", "main", "COORDINATED")
        return {}


def haproxy() -> str:
    # Debian keeps it where the path of an ordinary user does not lead.
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/sbin")
    if found is None:
        raise Gone("haproxy is not here: scripts/install compare")
    return found
