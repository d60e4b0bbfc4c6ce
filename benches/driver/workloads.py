"""What is measured, and what is asked of Segue there."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Goal:
    """What Segue should reach: `None` where nothing is asked."""

    ratio_min: float | None = None
    floor_cpu_max: float | None = None
    """CPU per request, as a multiple of the floor's."""
    above: tuple[str, ...] = ()
    """Targets, or "peers" for all of them, whose throughput it must not fall below."""
    cheaper_than: tuple[str, ...] = ()
    """Likewise, whose CPU per request it must not exceed."""


@dataclass(frozen=True)
class Workload:
    """Clients that all do `GET` of one value."""

    name: str
    title: str
    clients: int
    value_bytes: int
    pipeline: int = 1
    floor: str = "mux"
    """The target that is the floor here: the least that does this job."""
    is_quick: bool = False
    """Whether the short form has it."""
    goal: Goal = field(default_factory=Goal)
    predixy: tuple[float | None, float] | None = None
    """Ratio to direct and CPU in microseconds, measured by hand on another day: predixy is in no
    package registry, so it cannot be run here."""


PEERS = ("peers",)

WORKLOADS = [
    Workload(
        "1", "1 client", 1, 64, floor="relay", is_quick=True, predixy=(0.53, 28.6),
        goal=Goal(0.60, 1.15, above=("haproxy", "haproxy-splice")),
    ),
    Workload(
        "50", "50 clients", 50, 64, is_quick=True, predixy=(1.00, 10.3),
        goal=Goal(1.00, 1.15, above=PEERS),
    ),
    Workload(
        "500", "500 clients", 500, 64, is_quick=True, predixy=(1.08, 14.3),
        goal=Goal(1.10, 1.15),
    ),
    Workload(
        "50x16", "50 clients, pipeline 16", 50, 64, pipeline=16, is_quick=True,
        predixy=(0.68, 1.53),
        goal=Goal(0.90, 1.25, above=PEERS, cheaper_than=("haproxy-splice",)),
    ),
    Workload(
        "50x64", "50 clients, pipeline 64", 50, 64, pipeline=64, predixy=(0.55, 1.07),
        goal=Goal(0.90, 1.5),
    ),
    Workload(
        "20x16k", "20 clients, 16 KiB", 20, 16 << 10, is_quick=True, predixy=(0.66, 18.0),
        goal=Goal(None, 1.2, above=PEERS),
    ),
    Workload(
        "20x256k", "20 clients, 256 KiB", 20, 256 << 10, floor="relay-splice", is_quick=True,
        predixy=(None, 199.0),
        goal=Goal(above=PEERS, cheaper_than=PEERS),
    ),
    Workload(
        "4x8m", "4 clients, 8 MiB", 4, 8 << 20, floor="relay-splice",
        goal=Goal(above=PEERS, cheaper_than=PEERS),
    ),
]
