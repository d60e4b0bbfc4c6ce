"""Medians and spread of the raw cells, and what became of the goals."""

from dataclasses import dataclass
from statistics import median

from targets import TARGETS
from workloads import WORKLOADS, Goal, Workload

KIND = {it.name: it.kind for it in TARGETS}
SEGUE = [it.name for it in TARGETS if it.kind == "segue"]
SHIPPED = "segue-shared"
"""What the goals are for: the configuration as it ships."""
IDLE_BYTES_MAX = 4096
"""Of the process, for each idle session."""


@dataclass
class Row:
    """One target under one workload."""

    ratio: float
    """Throughput against direct in the same round, the median."""
    ratio_low: float
    ratio_high: float
    rps: float
    proxy_us: float
    server_us: float
    p50_ms: float
    p99_ms: float
    rss: float

    @property
    def spread(self) -> float:
        """Half of the way from the lowest to the highest ratio."""
        return (self.ratio_high - self.ratio_low) / 2


@dataclass
class Summary:
    workload: Workload
    rows: dict[str, Row]

    @property
    def floor(self) -> Row | None:
        return self.rows.get(self.workload.floor)

    def peers(self) -> dict[str, Row]:
        return {name: row for name, row in self.rows.items() if KIND[name] == "peer"}


def summaries(data: dict) -> list[Summary]:
    all_of_them = (Summary(it, _rows(data["cells"], it.name)) for it in WORKLOADS)
    return [it for it in all_of_them if it.rows]


def _rows(cells: list[dict], workload: str) -> dict[str, Row]:
    cells = [it for it in cells if it["workload"] == workload]
    direct = {it["round"]: it["rps"] for it in cells if it["target"] == "direct"}
    rows = {}
    for target in TARGETS:
        own = [it for it in cells if it["target"] == target.name and it["round"] in direct]
        if own:
            ratios = [it["rps"] / direct[it["round"]] for it in own]
            names = ["rps", "proxy_us", "server_us", "p50_ms", "p99_ms", "rss"]
            middles = {name: median(it[name] for it in own) for name in names}
            rows[target.name] = Row(median(ratios), min(ratios), max(ratios), **middles)
    return rows


@dataclass
class Verdict:
    """One goal of one workload."""

    workload: str
    target: str
    text: str
    is_met: bool


def verdicts(of: list[Summary]) -> list[Verdict]:
    found = []
    for summary in of:
        if SHIPPED in summary.rows:
            found += _verdicts(summary, SHIPPED, summary.workload.goal)
    return found


def idle_verdicts(idle: list[dict]) -> list[Verdict]:
    """What an idle session takes of the process; the kernel's part is none of it."""
    return [
        Verdict(
            f"{it['sessions']:,} idle sessions",
            SHIPPED,
            f"{it['bytes_each']:,.0f} bytes each, wanted {IDLE_BYTES_MAX:,} or less",
            it["bytes_each"] <= IDLE_BYTES_MAX,
        )
        for it in idle
        if it["target"] == SHIPPED
    ]


def _verdicts(summary: Summary, target: str, goal: Goal) -> list[Verdict]:
    row = summary.rows[target]

    def verdict(text: str, is_met: bool) -> Verdict:
        return Verdict(summary.workload.title, target, text, is_met)

    found = []
    if goal.ratio_min is not None:
        text = f"ratio {row.ratio:.2f}, wanted {goal.ratio_min:.2f} or more"
        found.append(verdict(text, row.ratio >= goal.ratio_min))
    if goal.floor_cpu_max is not None and summary.floor and summary.floor.proxy_us > 0:
        times = row.proxy_us / summary.floor.proxy_us
        text = f"CPU {times:.2f} x floor, wanted {goal.floor_cpu_max:.2f} x or less"
        found.append(verdict(text, times <= goal.floor_cpu_max))
    if rivals := _rivals(summary, goal.above):
        best, other = max(rivals.items(), key=lambda it: it[1].ratio)
        text = f"ratio {row.ratio:.2f}, the best of those to beat is {best} with {other.ratio:.2f}"
        found.append(verdict(text, row.ratio >= other.ratio))
    if rivals := _rivals(summary, goal.cheaper_than):
        best, other = min(rivals.items(), key=lambda it: it[1].proxy_us)
        text = f"CPU {us(row.proxy_us)} µs, the best of those to beat is {best} with "
        found.append(verdict(text + f"{us(other.proxy_us)} µs", row.proxy_us <= other.proxy_us))
    return found


def _rivals(summary: Summary, names: tuple[str, ...]) -> dict[str, Row]:
    if "peers" in names:
        return summary.peers()
    return {name: summary.rows[name] for name in names if name in summary.rows}


def us(value: float) -> str:
    """Microseconds with as many digits as mean something."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
