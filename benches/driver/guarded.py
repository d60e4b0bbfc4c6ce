"""What guarded writes cost: SET through a plain and through a guarded listener of one Segue, in
alternating rounds, with a primary and one replica, on each server that is here."""

import csv
import io
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import report
from load import TOOL, Failed
from proc import Process, free_port, wait_until
from resp import Client, WrongReply

BEGIN, END = "<!-- bench-guarded: begin -->", "<!-- bench-guarded: end -->"
CLIENTS, PIPELINE, REQUESTS, ROUNDS = 50, 16, 600_000, 5
GOAL = 0.5
"""Of a plain listener's throughput."""

CONFIG = """
listen:
  - {{ address: "127.0.0.1:{plain}" }}
  - {{ address: "127.0.0.1:{guarded}", durability: {{ replicas: 1, timeout: 500ms }} }}
control: {{ address: "unix:{folder}/control.sock" }}
group:
  name: bench
  nodes: [{{ name: a, address: "127.0.0.1:{a}" }}, {{ name: b, address: "127.0.0.1:{b}" }}]
"""


def measure(segue: Path) -> list[dict]:
    """For each server: its version, and requests a second of both listeners, round by round."""
    servers = [it for it in ("redis-server", "valkey-server") if shutil.which(it)]
    return [_of(server, segue) for server in servers]


def _of(server: str, segue: Path) -> dict:
    said = subprocess.run([server, "--version"], capture_output=True, text=True).stdout.strip()
    ports = {it: free_port() for it in ("a", "b", "plain", "guarded")}
    processes = []
    with tempfile.TemporaryDirectory(prefix="segue-guarded-") as name:
        folder = Path(name)
        (folder / "proxy.yaml").write_text(CONFIG.format(folder=folder, **ports))
        node = [server, "--save", "", "--appendonly", "no", "--dir", name, "--port"]
        try:
            processes.append(Process([*node, str(ports["a"])], folder / "a.log", folder))
            follow = ["--replicaof", "127.0.0.1", str(ports["a"])]
            processes.append(Process([*node, str(ports["b"]), *follow], folder / "b.log", folder))
            run = [str(segue), "run", "--config", str(folder / "proxy.yaml")]
            processes.append(Process(run, folder / "segue.log", folder))
            wait_until(lambda: _writes(ports["guarded"]), processes[-1], 30, "a guarded write")
            rounds = []
            for number in range(ROUNDS):
                # Who comes first finds another machine than who comes last.
                order = ("plain", "guarded") if number % 2 else ("guarded", "plain")
                rounds.append({it: _load(ports[it]) for it in order})
        finally:
            for process in reversed(processes):
                process.end()
    return {"server": said.split(" sha=")[0], "rounds": rounds}


def _writes(port: int) -> bool:
    try:
        with Client(port) as client:
            return client.call("SET", "bench:ready", "1") == b"OK"
    except (OSError, WrongReply):
        return False


def _load(port: int) -> float:
    argv = [TOOL, "-h", "127.0.0.1", "-p", str(port), "-c", str(CLIENTS), "-P", str(PIPELINE)]
    argv += ["-n", str(REQUESTS), "-d", "64", "-t", "set", "--csv"]
    # An error as reply, `-UNCERTAIN` too, ends redis-benchmark with 1.
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Failed((done.stderr or done.stdout).strip()[:200])
    return float(next(csv.DictReader(io.StringIO(done.stdout)))["rps"])


def markdown(data: list[dict], meta: str) -> str:
    lines = [
        f"{meta}: `SET` of 64 bytes by `redis-benchmark -c {CLIENTS} -P {PIPELINE}`, a primary and a "
        f"replica, `replicas: 1`, one worker, medians of {ROUNDS} alternating rounds.",
        "",
        "| server | plain | guarded | guarded / plain (lowest to highest round) | wanted |",
        "|---|---|---|---|---|",
    ]
    for it in data:
        plain, guarded = ([one[name] for one in it["rounds"]] for name in ("plain", "guarded"))
        ratios = sorted(there / here for here, there in zip(plain, guarded))
        ratio = statistics.median(ratios)
        lines.append(
            f"| {it['server']} | {statistics.median(plain):,.0f}/s | {statistics.median(guarded):,.0f}/s "
            f"| {ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) "
            f"| {GOAL} or more: {'met' if ratio >= GOAL else '**missed**'} |"
        )
    return "\n".join(lines)


def publish(text: str, page: Path) -> None:
    report.put(text, page, BEGIN, END)
