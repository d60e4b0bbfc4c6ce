"""One cell: one target under one workload for a while, by redis-benchmark."""

import csv
import io
import subprocess
from dataclasses import dataclass

from proc import Process
from resp import Client
from workloads import Workload

TOOL = "redis-benchmark"


class Failed(Exception):
    """A cell could not be measured, or a reply was not what it should be."""


@dataclass
class Load:
    """What redis-benchmark says of one run."""

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float


def key_of(workload: Workload) -> str:
    return f"bench:{workload.value_bytes}"


def run(workload: Workload, port: int, requests: int, timeout: float) -> Load:
    """Sends about so many requests."""
    requests = max(requests, 2 * workload.clients * workload.pipeline)
    argv = [TOOL, "-h", "127.0.0.1", "-p", str(port), "-c", str(workload.clients)]
    argv += ["-P", str(workload.pipeline), "-n", str(requests), "--csv", "GET", key_of(workload)]
    try:
        # An error as reply ends redis-benchmark with 1.
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=True)
        row = next(csv.DictReader(io.StringIO(done.stdout)))
    except subprocess.TimeoutExpired as error:
        raise Failed(f"not done after {timeout:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise Failed((error.stderr or error.stdout).strip().replace("\n", " ")[:200]) from error
    except StopIteration as error:
        raise Failed(f"{TOOL} printed no result") from error
    p50, p99 = float(row["p50_latency_ms"]), float(row["p99_latency_ms"])
    return Load(requests, float(row["rps"]), p50, p99)


class Meter:
    """Measures one target under one workload, again and again."""

    def __init__(
        self, workload: Workload, port: int, proxy: Process | None, server: Process, node_port: int
    ) -> None:
        self.workload = workload
        self.port = port
        self.proxy = proxy
        self.server = server
        self._node_port = node_port
        self._rps = 0.0

    def warm_up(self, seconds: float) -> None:
        """Finds out how many requests fill a second."""
        # A few at first: of large values, sixty-four are a lot.
        few = max(4, min(64, (16 << 20) // self.workload.value_bytes))
        requests = few * self.workload.pipeline
        rps = run(self.workload, self.port, requests, timeout=30).rps
        self._rps = run(self.workload, self.port, int(rps * seconds), timeout=60).rps

    def measure(self, seconds: float) -> dict:
        """One cell, as it goes to the raw data. CPU times are microseconds a request."""
        hits, misses = self._lookups()
        server_before = self.server.cpu_seconds()
        proxy_before = self.proxy.cpu_seconds() if self.proxy else 0.0
        requests = int(self._rps * seconds)
        load = run(self.workload, self.port, requests, timeout=60 + 10 * seconds)
        proxy_cpu = (self.proxy.cpu_seconds() - proxy_before) if self.proxy else 0.0
        server_cpu = self.server.cpu_seconds() - server_before
        hits, misses = (now - then for now, then in zip(self._lookups(), (hits, misses)))
        # redis-benchmark may send a few more than asked for, never fewer.
        spare = self.workload.clients * self.workload.pipeline
        if misses or not load.requests <= hits <= load.requests + spare:
            raise Failed(f"{load.requests} requests, but {hits} hits and {misses} misses")
        self._rps = load.rps
        return {
            "requests": hits,
            "rps": load.rps,
            "p50_ms": load.p50_ms,
            "p99_ms": load.p99_ms,
            "proxy_us": proxy_cpu / hits * 1e6,
            "server_us": server_cpu / hits * 1e6,
            "rss": self.proxy.rss_bytes() if self.proxy else 0,
        }

    def _lookups(self) -> tuple[int, int]:
        with Client(self._node_port) as client:
            lines = client.call("INFO", "stats").decode().splitlines()
        stats = dict(it.split(":", 1) for it in lines if ":" in it)
        return int(stats["keyspace_hits"]), int(stats["keyspace_misses"])
