"""A network of its own: a hub where proxies, Sentinels and clients are, and three hosts for nodes.

A fault that takes a whole host off the network needs hosts. They are network namespaces, named
after the process that made them, and gone when it ends. Whoever may not make any measures the rest
on loopback.
"""

import os
import re
import subprocess
from dataclasses import dataclass

# Reserved for measurements (RFC 2544): nobody's own network.
_PREFIX = "198.18.0."
_NAME = re.compile(r"^segue-compare-(\d+)-\w+$")
NODES = ("a", "b", "c")
# Nothing in, nothing out, and nobody is told: as if the host had lost its power.
_BLACKHOLE = """\
table inet blackhole {
    chain in { type filter hook input priority 0; policy drop; }
    chain out { type filter hook output priority 0; policy drop; }
}
"""


class Refused(Exception):
    """Namespaces cannot be made here."""


@dataclass(frozen=True)
class Place:
    """Where a node runs."""

    host: str
    namespace: str | None = None

    def command(self, argv: list[str]) -> list[str]:
        """The same program, in that place. Its process id is its own: `ip` becomes the program."""
        return ["ip", "netns", "exec", self.namespace, *argv] if self.namespace else argv

    def blackhole(self) -> None:
        _run(["ip", "netns", "exec", self.namespace or "", "nft", "-f", "-"], _BLACKHOLE)

    def heal(self) -> None:
        ip = ["ip", "netns", "exec", self.namespace or ""]
        _run([*ip, "nft", "delete", "table", "inet", "blackhole"])


LOOPBACK = Place("127.0.0.1")


class Network:
    """The namespaces; `down` removes them."""

    def __init__(self, owner: int) -> None:
        self._prefix = f"segue-compare-{owner}"
        self.hub = f"{self._prefix}-hub"
        self.hub_host = f"{_PREFIX}1"

    def places(self) -> list[Place]:
        return [
            Place(f"{_PREFIX}{10 + number}", f"{self._prefix}-{name}")
            for number, name in enumerate(NODES)
        ]

    def up(self) -> None:
        try:
            _remove_what_is_nobodys()
            self._up()
        except OSError as error:
            raise Refused(str(error)) from error
        except Refused:
            self.down()
            raise

    def _up(self) -> None:
        hub, masks = ["ip", "-n", self.hub], "/24"
        _run(["ip", "netns", "add", self.hub])
        _run([*hub, "link", "set", "lo", "up"])
        _run([*hub, "link", "add", "bridge", "type", "bridge"])
        _run([*hub, "addr", "add", self.hub_host + masks, "dev", "bridge"])
        _run([*hub, "link", "set", "bridge", "up"])
        for name, place in zip(NODES, self.places()):
            own, port = ["ip", "-n", place.namespace or ""], f"port-{name}"
            _run(["ip", "netns", "add", place.namespace or ""])
            peer = ["peer", "name", "eth0", "netns", place.namespace or ""]
            _run([*hub, "link", "add", port, "type", "veth", *peer])
            _run([*hub, "link", "set", port, "master", "bridge", "up"])
            _run([*own, "addr", "add", place.host + masks, "dev", "eth0"])
            _run([*own, "link", "set", "eth0", "up"])
            _run([*own, "link", "set", "lo", "up"])
        # What the fault needs, tried before anybody waits for it.
        self.places()[0].blackhole()
        self.places()[0].heal()

    def down(self) -> None:
        for name in [self.hub, *(it.namespace or "" for it in self.places())]:
            _delete(name)


def _remove_what_is_nobodys() -> None:
    """Namespaces of a comparison that was killed."""
    listed = subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, timeout=10, env=environment()
    )
    for line in listed.stdout.splitlines():
        name = line.split()[0] if line.split() else ""
        owner = _NAME.match(name)
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            _delete(name)


def _delete(name: str) -> None:
    # There may be none: it is made in steps.
    subprocess.run(
        ["ip", "netns", "del", name], capture_output=True, timeout=10, env=environment()
    )


def environment() -> dict[str, str]:
    # `ip` and `nft` stand where the path of an ordinary user does not lead.
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


def _run(argv: list[str], text: str | None = None) -> None:
    done = subprocess.run(
        argv, input=text, capture_output=True, text=True, timeout=10, env=environment()
    )
    if done.returncode:
        raise Refused(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
