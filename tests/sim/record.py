#!/usr/bin/env python3
"""Records real failovers, to be replayed by tests/sim/recorded.rs, and measures them.

    tests/sim/record.py [--runs N] [--keep]

From the root of the repository, with target/debug/segue built. Each run starts three real
servers and the real Segue on loopback, does one thing to the primary under a light load, waits
until a primary serves and everybody follows it, and takes what the brain was told and decided
from Segue's log. N runs of each kind on each server (default 5: 50 runs). --keep replaces
tests/sim/recorded by the first recording of each kind. The table at the end is what the model's
parameters are compared with (tests/sim/README.md).
"""

import json
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

KINDS = ("kill", "stop", "empty-restart", "return", "switchover")
SERVERS = ("redis-server", "valkey-server")
OUT = pathlib.Path("tests/sim/recorded")
WAIT_MAX = 30.0


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def call(port, *words, timeout=1.0):
    """One command; the reply's raw bytes, or None."""
    request = f"*{len(words)}\r\n" + "".join(f"${len(it)}\r\n{it}\r\n" for it in words)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as it:
            it.sendall(request.encode())
            reply = it.recv(1 << 16)
            if reply.startswith(b"$") and not reply.startswith(b"$-1"):
                length = int(reply[1 : reply.index(b"\r\n")]) + reply.index(b"\r\n") + 4
                while len(reply) < length:
                    reply += it.recv(1 << 16)
            return reply.decode(errors="replace")
    except (OSError, ValueError):
        return None


def info(port, section):
    text = call(port, "INFO", section) or ""
    return dict(it.split(":", 1) for it in text.split("\r\n") if ":" in it)


def eventually(what, condition):
    until = time.monotonic() + WAIT_MAX
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.02)
    raise TimeoutError(what)


class Server:
    def __init__(self, kind, of=None):
        self.kind, self.port, self.of = kind, free_port(), of
        self.dir = tempfile.mkdtemp()
        self.start()

    def start(self):
        command = [self.kind, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                   "--repl-diskless-sync-delay", "0", "--dir", self.dir]
        if self.of:
            command += ["--replicaof", "127.0.0.1", str(self.of)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        eventually("a server answers", lambda: (call(self.port, "PING") or "").startswith("+PONG"))

    def end(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Segue:
    def __init__(self, nodes):
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.listen, self.http = free_port(), free_port()
        config = {
            "listen": [{"address": f"127.0.0.1:{self.listen}"}],
            "http": {"address": f"127.0.0.1:{self.http}"},
            "control": {"address": f"unix:{self.dir}/segue.sock"},
            "group": {"name": "main", "nodes": [
                {"name": name, "address": f"127.0.0.1:{it.port}"} for name, it in zip("abc", nodes)]},
            "log": {"level": "trace", "format": "json"},
        }
        self.config = self.dir / "proxy.yaml"
        self.config.write_text(json.dumps(config))
        self.log = open(self.dir / "log", "wb")
        self.process = subprocess.Popen(
            ["target/debug/segue", "run", "--config", str(self.config)], stdout=self.log,
            stderr=self.log)
        eventually("Segue serves", lambda: self.write("ready"))

    def write(self, value):
        return (call(self.listen, "SET", "key", value, timeout=15) or "").startswith("+OK")

    def records(self):
        found = []
        for line in (self.dir / "log").read_text().splitlines():
            if '"Decided"' in line:
                found.append(json.loads(json.loads(line)["record"]))
        return found

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def run(kind, server):
    """One failover: what was recorded, and what was measured."""
    primary = Server(server)
    replicas = [Server(server, primary.port) for _ in range(2)]
    segue = None
    stop = threading.Event()
    try:
        for it in replicas:
            eventually("a replica is in sync", lambda it=it: info(it.port, "replication").get("master_link_status") == "up")
        call(primary.port, "SET", "first", "1")
        for n in range(200):
            call(primary.port, "SET", f"k{n}", "v")
        # Not before: a replica says that its link is up while nothing streams yet.
        eventually("the replicas have it all", lambda: len({offset(it) for it in [primary, *replicas]}) == 1)
        segue = Segue([primary, *replicas])
        eventually("the log is written", segue.records)
        loads = [threading.Thread(target=load, args=(segue.listen, stop)) for _ in range(2)]
        for it in loads:
            it.start()
        syncs = [info(it.port, "stats") for it in [primary, *replicas]]
        mark = len(segue.records())
        struck = segue.records()[-1]["at"]
        strike(kind, primary, segue)
        eventually("another primary", lambda: any(
            info(it.port, "replication").get("role") == "master" for it in replicas))
        if kind == "kill":
            primary.start()
        if kind == "stop":
            primary.process.send_signal(signal.SIGCONT)
        eventually("all follow", lambda: settled([primary, *replicas]))
        eventually("it serves", lambda: segue.write("after"))
        stop.set()
        for it in loads:
            it.join()
        after = [info(it.port, "stats") for it in [primary, *replicas]]
        records = segue.records()
        return records, measure(records, mark, struck, syncs, after, kind)
    finally:
        stop.set()
        for it in filter(None, [segue, primary, *replicas]):
            it.end()


def strike(kind, primary, segue):
    if kind == "stop":
        primary.process.send_signal(signal.SIGSTOP)
    elif kind == "switchover":
        subprocess.run(["target/debug/segue", "switchover", "--config", str(segue.config)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    else:
        primary.process.kill()
        primary.process.wait()
        if kind == "empty-restart":
            primary.start()
        elif kind == "return":
            time.sleep(0.2)
            primary.start()


def settled(nodes):
    roles = [info(it.port, "replication") for it in nodes]
    leaders = [it for it in roles if it.get("role") == "master"]
    return len(leaders) == 1 and all(
        it.get("role") == "master" or it.get("master_link_status") == "up" for it in roles)


def offset(node):
    told = info(node.port, "replication")
    return told.get("slave_repl_offset") or told.get("master_repl_offset")


def load(port, stop):
    while not stop.is_set():
        call(port, "SET", "load", "x", timeout=15)
        time.sleep(0.01)


def seconds(at):
    return at["secs"] + at["nanos"] / 1e9


def measure(records, mark, struck, before, after, kind):
    """Milliseconds from the fault to what the brain saw and did; syncs of the replicas."""
    start = seconds(struck)
    found = {}

    def note(name, at):
        found.setdefault(name, (seconds(at) - start) * 1000)

    for it in records[mark:]:
        if "event" not in it:
            continue
        probed = it["event"].get("Probed") if isinstance(it["event"], dict) else None
        if probed and probed["node"] == 0 and probed["finding"] == "Refused":
            note("refused", it["at"])
        report = probed and isinstance(probed["finding"], dict) and probed["finding"].get("Good")
        if report and isinstance(report["role"], dict):
            if isinstance(report["role"]["Replica"]["state"], dict) and "Down" in report["role"]["Replica"]["state"]:
                note("link down", it["at"])
        for decision in it["decided"]:
            if "Held" in decision or "Draining" in decision:
                note("held", it["at"])
            if "Promote" in decision:
                note("promoted", it["at"])
            if "Open" in decision and "promoted" in found:
                note("open", it["at"])
    count = lambda name: sum(int(b.get(name, 0)) - int(a.get(name, 0)) for a, b in zip(before, after)
                             if int(b.get(name, 0)) >= int(a.get(name, 0)))
    found["full"], found["partial"] = count("sync_full"), count("sync_partial_ok")
    return found


def main():
    runs = int(sys.argv[sys.argv.index("--runs") + 1]) if "--runs" in sys.argv else 5
    table, kept = {}, {}
    for kind in KINDS:
        for server in SERVERS:
            for _ in range(runs):
                records, found = run(kind, server)
                table.setdefault((kind, server), []).append(found)
                kept.setdefault((kind, server), records)
            rows = table[kind, server]
            names = ("refused", "link down", "held", "promoted", "open", "full", "partial")
            cells = []
            for name in names:
                values = sorted(it[name] for it in rows if name in it)
                cells.append(f"{name} {values[0]:.0f}/{statistics.median(values):.0f}/{values[-1]:.0f}" if values else f"{name} -")
            print(f"{kind} {server} ({len(rows)}): " + "; ".join(cells), flush=True)
    if "--keep" in sys.argv:
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir()
        for (kind, server), records in kept.items():
            lines = "\n".join(json.dumps(it, separators=(",", ":")) for it in records)
            (OUT / f"{kind}-{server.split('-')[0]}.jsonl").write_text(lines + "\n")


main()
