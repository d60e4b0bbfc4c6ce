"""What is measured: the server itself, the floor programs, Segue, and other proxies.

Each is started with one thread for the traffic, in a folder of its own, on a free port of
loopback; settings stay as shipped unless a comment says why not.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from proc import Gone, Process, free_port, wait_until
from resp import answers


@dataclass
class Setting:
    """Where targets are started."""

    folder: Path
    node_port: int
    segue: Path
    floor: Path
    """Folder of the floor programs."""
    sessions_max: int
    """Connections that each must be able to take."""


@dataclass(frozen=True)
class Target:
    name: str
    title: str
    kind: str
    """`direct`, `floor`, `segue` or `peer`."""
    program: str = ""
    pipelines: bool = False
    """Many clients share its connections to the server."""

    def find(self, setting: Setting) -> str | None:
        """The program, if it is here."""
        if self.kind == "segue":
            return str(setting.segue) if setting.segue.exists() else None
        if self.kind == "floor":
            path = setting.floor / self.program
            return str(path) if path.exists() else None
        return shutil.which(self.program, path=_path())

    def version(self, setting: Setting) -> str:
        if self.kind in ("direct", "floor"):
            return ""
        flag = {"haproxy": "-v", "nutcracker": "-V", "nginx": "-v"}.get(self.program, "--version")
        ran = subprocess.run(
            [self.find(setting) or "false", flag], capture_output=True, text=True, timeout=20
        )
        said = (ran.stdout + ran.stderr).replace(self.find(setting) or "", self.program)
        return next((it.strip() for it in said.splitlines() if it.strip()), "")


TARGETS = [
    Target("direct", "direct", "direct"),
    Target("relay", "floor: relay", "floor", "relay"),
    Target("relay-splice", "floor: relay, splice", "floor", "relay"),
    Target("mux", "floor: multiplexer", "floor", "mux", pipelines=True),
    Target("segue-shared", "Segue", "segue", pipelines=True),
    Target("segue-dedicated", "Segue, dedicated", "segue"),
    Target("segue-2-workers", "Segue, 2 workers", "segue", pipelines=True),
    Target("haproxy", "HAProxy", "peer", "haproxy"),
    Target("haproxy-splice", "HAProxy, splice", "peer", "haproxy"),
    Target("nginx", "nginx stream", "peer", "nginx"),
    Target("twemproxy", "twemproxy", "peer", "nutcracker", pipelines=True),
    Target("envoy", "Envoy", "peer", "envoy", pipelines=True),
]


def start(target: Target, setting: Setting) -> tuple[int, Process | None]:
    """Starts a target; its port, and its process unless it is the server itself."""
    if target.kind == "direct":
        return setting.node_port, None
    program = target.find(setting)
    if program is None:
        raise Gone(f"{target.program or target.name} is not here")
    folder = setting.folder / target.name
    folder.mkdir(exist_ok=True)
    port = free_port()
    argv = _COMMANDS[target.program or "segue"](target, program, port, folder, setting)
    process = Process(argv, folder / "log", folder)
    try:
        wait_until(lambda: answers(port), process, 20, target.title)
    except Gone:
        process.end()
        raise
    return port, process


def start_server(program: str, folder: Path, port: int) -> Process:
    """A server that keeps nothing on disk."""
    argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    # Idle sessions of proxies that do not share connections come here, too.
    argv += ["--save", "", "--appendonly", "no", "--maxclients", "15000", "--tcp-backlog", "4096"]
    process = Process(argv, folder / "server.log", folder)
    try:
        wait_until(lambda: answers(port), process, 20, program)
    except Gone:
        process.end()
        raise
    return process


def _path() -> str:
    # Debian keeps the programs of root where the path of others does not lead.
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def _floor(target: Target, program: str, port: int, _folder: Path, setting: Setting) -> list[str]:
    argv = [program, str(port), str(setting.node_port)]
    return [*argv, "--splice"] if target.name.endswith("splice") else argv


def _segue(target: Target, program: str, port: int, folder: Path, setting: Setting) -> list[str]:
    workers = 2 if target.name == "segue-2-workers" else 1
    upstream = "dedicated" if target.name == "segue-dedicated" else "shared"
    config = f"""\
listen: [{{ address: "127.0.0.1:{port}" }}]
control: {{ address: "unix:{folder}/control.sock" }}
workers: {workers}
group:
  name: bench
  nodes: [{{ name: a, address: "127.0.0.1:{setting.node_port}" }}]
sessions: {{ max: {setting.sessions_max}, upstream: {upstream} }}
"""
    return [program, "run", "--config", _write(folder / "proxy.yaml", config)]


def _haproxy(target: Target, program: str, port: int, folder: Path, setting: Setting) -> list[str]:
    splices = target.name.endswith("splice")
    config = f"""\
global
    nbthread 1
    maxconn {setting.sessions_max}
    {"" if splices else "nosplice"}
defaults
    mode tcp
    maxconn {setting.sessions_max}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    {"option splice-auto" if splices else ""}
frontend clients
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    server a 127.0.0.1:{setting.node_port}
"""
    return [program, "-f", _write(folder / "haproxy.cfg", config), "-db"]


def _nginx(_target: Target, program: str, port: int, folder: Path, setting: Setting) -> list[str]:
    config = f"""\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections {2 * setting.sessions_max + 100}; }}
stream {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        proxy_pass 127.0.0.1:{setting.node_port};
        proxy_timeout 1h;
    }}
}}
"""
    return [program, "-p", str(folder), "-c", _write(folder / "nginx.conf", config)]


def _twemproxy(
    _target: Target, program: str, port: int, folder: Path, setting: Setting
) -> list[str]:
    config = f"""\
main:
  listen: 127.0.0.1:{port}
  redis: true
  hash: fnv1a_64
  distribution: ketama
  tcpkeepalive: true
  servers:
   - 127.0.0.1:{setting.node_port}:1
"""
    # Without a port of its own for statistics it takes one that others may have.
    statistics = ["-a", "127.0.0.1", "-s", str(free_port())]
    return [program, "-c", _write(folder / "nutcracker.yml", config), *statistics]


def _envoy(_target: Target, program: str, port: int, folder: Path, setting: Setting) -> list[str]:
    def address(number: int) -> str:
        return f"{{ socket_address: {{ address: 127.0.0.1, port_value: {number} }} }}"

    config = f"""\
static_resources:
  listeners:
  - name: clients
    address: {address(port)}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: bench
          settings: {{ op_timeout: 30s }}
          prefix_routes: {{ catch_all_route: {{ cluster: nodes }} }}
  clusters:
  - name: nodes
    type: STATIC
    connect_timeout: 5s
    # As shipped it gives up on more than 1,024 connections or requests.
    circuit_breakers:
      thresholds: [{{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }}]
    load_assignment:
      cluster_name: nodes
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {address(setting.node_port)} }} }}] }}]
"""
    argv = [program, "-c", _write(folder / "envoy.yaml", config), "--concurrency", "1"]
    return [*argv, "--log-level", "warn", "--use-dynamic-base-id"]


_COMMANDS = {
    "relay": _floor,
    "mux": _floor,
    "segue": _segue,
    "haproxy": _haproxy,
    "nginx": _nginx,
    "nutcracker": _twemproxy,
    "envoy": _envoy,
}
