"""Compares what clients notice of a change of primary: behind Segue, and behind what is usual.

Run it by `make compare-failover`, `make compare-switchover` or `scripts/compare --help`.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benches/driver"))

import drawing  # noqa: E402
import faults  # noqa: E402
import netns  # noqa: E402
import switchovers  # noqa: E402
import tables  # noqa: E402
from fronts import Programs, haproxy  # noqa: E402
from proc import Gone, steal_and_total_ticks  # noqa: E402

RESULTS = ROOT / "bench-results"
PAGE = ROOT / "docs/comparison.md"
PICTURE = ROOT / "docs/images/failover.svg"


def main() -> int:
    args = arguments()
    # So that `finally` ends what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args.command == "report":
        return publish(json.loads(Path(args.file).read_text()))
    if args.command == "failover" and args.inside is None and not args.loopback:
        try:
            return in_a_network()
        except netns.Refused as error:
            print(f"No network namespaces here ({error}): no host is cut off from the network.")
    try:
        return failover(args) if args.command == "failover" else switchover(args)
    except Gone as error:
        print(f"the comparison could not go on: {error}")
        return 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/compare", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    about = "faults, beside Sentinel and HAProxy"
    one = commands.add_parser("failover", help=about, description=about)
    one.add_argument("--trials", type=int, help="of each fault and system (3; 1 if quick)")
    one.add_argument("--faults", help=f"of {','.join(it.name for it in faults.FAULTS)}")
    one.add_argument("--loopback", action="store_true", help="no network namespaces")
    one.add_argument("--inside", help=argparse.SUPPRESS)
    about = "planned changes, beside the server's FAILOVER and SENTINEL FAILOVER"
    two = commands.add_parser("switchover", help=about, description=about)
    two.add_argument("--count", type=int, help="of Segue's switchovers (300; 20 if quick)")
    two.add_argument("--others", type=int, help="of the others' (20; 3 if quick)")
    two.add_argument("--servers", default="redis-server,valkey-server")
    for it in (one, two):
        it.add_argument("--quick", action="store_true", help="fewer of everything")
        it.add_argument("--publish", action="store_true", help="update docs/ with the result")
        it.add_argument("--segue", type=Path, default=ROOT / "target/release/segue")
        default = ROOT / "target/release/examples/clients"
        it.add_argument("--clients", type=Path, default=default)
    one.add_argument("--server", default="redis-server", help="or a valkey-server")
    again = commands.add_parser("report", help="update docs/ with the result in a file")
    again.add_argument("file")
    return parser.parse_args()


def in_a_network() -> int:
    """Runs the same once more in a network of its own."""
    network = netns.Network(os.getpid())
    network.up()
    child = None
    try:
        again = [sys.executable, *sys.argv, "--inside", network.hub_host]
        command = ["ip", "netns", "exec", network.hub, *again]
        environment = {**netns.environment(), "SEGUE_COMPARE": str(os.getpid())}
        child = subprocess.Popen(command, env=environment)
        return child.wait()
    finally:
        # Interrupted, it ends what it has started before its network goes.
        if child and child.poll() is None:
            child.terminate()
            child.wait(timeout=30)
        network.down()


def programs(args: argparse.Namespace, server: str, hub: str) -> Programs:
    for it in (args.segue, args.clients):
        if not it.exists():
            raise Gone(f"{it} is not here: make compare-{args.command} builds it")
    haproxy()
    return Programs(args.segue.resolve(), ROOT / "proxy.yaml", server, hub)


def failover(args: argparse.Namespace) -> int:
    chosen = [
        it for it in faults.FAULTS if not args.faults or it.name in args.faults.split(",")
    ]
    folder = folder_for("failover")
    network = netns.Network(int(os.environ["SEGUE_COMPARE"])) if args.inside else None
    plan = faults.Plan(
        faults=[it for it in chosen if network or not it.needs_hosts],
        trials=args.trials or (1 if args.quick else 3),
        programs=programs(args, args.server, args.inside or "127.0.0.1"),
        clients=args.clients.resolve(),
        places=network.places() if network else None,
        folder=folder,
    )
    plan.left_out = [
        f"{it.title}: no network namespaces here" for it in chosen if it not in plan.faults
    ]
    return conclude(args, "failover", folder, plan, lambda: faults.everything(plan))


def switchover(args: argparse.Namespace) -> int:
    folder = folder_for("switchover")
    plan = switchovers.Plan(
        count=args.count or (20 if args.quick else 300),
        others=args.others or (3 if args.quick else 20),
        servers=[programs(args, it, "127.0.0.1") for it in args.servers.split(",")],
        clients=args.clients.resolve(),
        folder=folder,
    )
    return conclude(args, "switchover", folder, plan, lambda: switchovers.everything(plan))


def conclude(args: argparse.Namespace, what: str, folder: Path, plan, measure) -> int:
    begun, steal, load = time.time(), steal_and_total_ticks(), os.getloadavg()[0]
    if load > 0.5:
        print(f"This machine is busy (load {load:.1f}): milliseconds mean little.")
    rows = measure()
    steal = [now - then for now, then in zip(steal_and_total_ticks(), steal)]
    meta = {
        **about(args),
        "load_before": load,
        "steal_percent": 100 * steal[0] / max(1, steal[1]),
        "seconds_in_all": time.time() - begun,
        "problems": plan.problems,
        "left_out": plan.left_out,
    }
    data = {"what": what, "meta": meta, "rows": rows}
    path = folder / "result.json"
    path.write_text(json.dumps(data, indent=1))
    print("\n" + tables.text(data))
    print(f"raw data: {folder.relative_to(ROOT)}, {meta['seconds_in_all']:.0f} s")
    if what == "failover" and rows:
        drawing.draw(data, folder / "failover.svg")
    if args.publish:
        publish(data)
    return 0 if rows and not plan.problems and tables.is_safe(data) else 1


def about(args: argparse.Namespace) -> dict:
    def first_line(*argv: str) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=20)
        return next(iter((done.stdout + done.stderr).strip().splitlines()), "").strip()

    cpu = next(
        (it.split(":")[1].strip() for it in Path("/proc/cpuinfo").read_text().splitlines()
         if it.startswith("model name")),
        platform.machine(),
    )
    servers = args.servers.split(",") if args.command == "switchover" else [args.server]
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "quick": args.quick,
        "commit": first_line("git", "describe", "--always", "--dirty"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "segue": first_line(str(args.segue), "--version"),
        "servers": {it: first_line(it, "--version") for it in servers},
        "haproxy": first_line(haproxy(), "-v"),
    }


def folder_for(what: str) -> Path:
    folder = RESULTS / time.strftime(f"{what}-%Y%m%d-%H%M%S", time.gmtime())
    folder.mkdir(parents=True)
    return folder


def publish(data: dict) -> int:
    """Puts the table and the picture where people look."""
    tables.publish(data, PAGE)
    updated = [PAGE]
    if data["what"] == "failover":
        drawing.draw(data, PICTURE)
        updated.append(PICTURE)
    print("updated: " + ", ".join(str(it.relative_to(ROOT)) for it in updated))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
