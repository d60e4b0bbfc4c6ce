"""The results for people: as text, as tables of docs/comparison.md, and what became of goals."""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import report
from faults import FAULTS, SYSTEMS

P50_MORE_MAX, P99_MORE_MAX = 10.0, 50.0
"""Goals: milliseconds that clients wait longer in a planned change than without one."""


@dataclass
class Verdict:
    about: str
    text: str
    is_met: bool
    is_safety: bool = True
    """Not a matter of how fast the machine is."""


def text(data: dict) -> str:
    """Everything, in columns."""
    lines = []
    for title, head, rows in _tables(data):
        widths = [max(len(it[i]) for it in [head, *rows]) for i in range(len(head))]
        lines += [title] if title else []
        for row in [head, *rows]:
            cells = [it.ljust(width) for it, width in zip(row[:1], widths)]
            cells += [it.rjust(width) for it, width in zip(row[1:], widths[1:])]
            lines.append("  " + "   ".join(cells).rstrip())
        lines.append("")
    for it in verdicts(data):
        lines.append(f"{'met   ' if it.is_met else 'MISSED'} {it.about}: {it.text}")
    meta = data["meta"]
    lines += ["", f"{meta['cores']} cores, load before {meta['load_before']:.1f}, stolen "
              f"{meta['steal_percent']:.1f} %"]
    lines += [f"problem: {it}" for it in meta["problems"]]
    lines += [f"left out: {it}" for it in meta["left_out"]]
    return "\n".join(lines)


def is_safe(data: dict) -> bool:
    """Whether Segue kept every promise that no slow machine excuses."""
    return all(it.is_met for it in verdicts(data) if it.is_safety)


def publish(data: dict, page: Path) -> None:
    what = data["what"]
    report.put(markdown(data), page, f"<!-- {what}: begin -->", f"<!-- {what}: end -->")


def markdown(data: dict) -> str:
    parts = [_machine(data)]
    if data["what"] == "failover":
        about = "How long no write was served, and what else clients noticed"
        parts.append(f"![{about}](images/failover.svg)")
    for title, head, rows in _tables(data):
        table = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        table += ["| " + " | ".join(it) + " |" for it in rows]
        parts.append((f"**{title}**\n\n" if title else "") + "\n".join(table))
    goals = ["| goal of Segue | measured | |", "|---|---|---|"]
    goals += [
        f"| {it.about} | {it.text} | {'met' if it.is_met else '**missed**'} |"
        for it in verdicts(data)
    ]
    parts += ["\n".join(goals), _errors(data)]
    parts += [f"Not measured: {it}." for it in data["meta"]["problems"] + data["meta"]["left_out"]]
    return "\n\n".join(parts)


def _machine(data: dict) -> str:
    meta = data["meta"]
    servers = ", ".join(f"`{it}`" for it in meta["servers"].values())
    return (
        f"Measured {meta['date']}, Segue `{meta['commit']}`, {servers}, `{meta['haproxy']}`, "
        f"{meta['cores']} cores for everything ({meta['cpu']}, Linux {meta['kernel']}), load "
        f"{meta['load_before']:.1f} before, {meta['steal_percent']:.1f} % of the time stolen by "
        f"the host, {meta['seconds_in_all']:.0f} s in all."
    )


def _tables(data: dict) -> list[tuple[str, list[str], list[list[str]]]]:
    return _fault_tables(data) if data["what"] == "failover" else _switchover_tables(data)


def _fault_tables(data: dict):
    head = ["", "trials", "no write for, ms", "longest wait, ms", "connections cut",
            "-UNCERTAIN", "other errors", "acknowledged writes lost", "stale reads"]
    for fault in FAULTS:
        rows = []
        for system in SYSTEMS:
            of = of_fault(data, fault.name, system.name)
            if of:
                rows.append([
                    system.title,
                    str(len(of)),
                    _range([it["outage"] for it in of]),
                    _range([it["longest_wait"] for it in of]),
                    *(f"{_total(of, it):,}" for it in COUNTS),
                    lost_of(of),
                    f"{_total(of, 'stale'):,}",
                ])
        if rows:
            yield fault.title, head, rows


COUNTS = ("disconnections", "uncertain", "other_errors")


def _switchover_tables(data: dict):
    head = ["", "changes", "longest wait, ms: p50", "p90", "p99", "max",
            "without a change: p50", "p90", "p99", "max", "connections cut", "-UNCERTAIN",
            "other errors", "acknowledged writes lost", "stale reads", "full copies",
            "messages missed"]
    for server in dict.fromkeys(it["server"] for it in data["rows"]):
        rows = []
        for it in (it for it in data["rows"] if it["server"] == server):
            rows.append([
                it["mode"],
                str(len(it["waits"])),
                *_quantiles(it["waits"]),
                *_quantiles(it["quiet"]),
                *(f"{it[name]:,}" for name in COUNTS),
                lost_of([it]),
                f"{it['stale']:,}",
                f"{it['full_resyncs']:,}",
                f"{it['missed_messages']:,}",
            ])
        yield server, head, rows


def of_fault(data: dict, fault: str, system: str) -> list[dict]:
    return [it for it in data["rows"] if (it["fault"], it["system"]) == (fault, system)]


def _total(rows: list[dict], name: str) -> int:
    return sum(it[name] for it in rows)


def lost_of(rows: list[dict]) -> str:
    lost, acknowledged = _total(rows, "lost"), _total(rows, "acknowledged")
    share = f" ({100 * lost / acknowledged:.0f} %)" if lost else ""
    return f"{lost:,} of {acknowledged:,}{share}"


def ms(value: float) -> str:
    """Milliseconds with as many digits as mean something."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _range(values: list[float]) -> str:
    """The median, and from where to where."""
    if len(values) == 1:
        return ms(values[0])
    return f"{ms(median(values))} ({ms(min(values))} to {ms(max(values))})"


def quantile(values: list[float], share: float) -> float:
    """The smallest value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _quantiles(values: list[float]) -> list[str]:
    return [ms(quantile(values, it)) for it in (0.5, 0.9, 0.99, 1.0)]


def verdicts(data: dict) -> list[Verdict]:
    if data["what"] == "failover":
        return [it for fault in FAULTS for it in _fault_verdicts(data, fault)]
    return [it for row in data["rows"] if row["held"] for it in _switchover_verdicts(row)]


def _fault_verdicts(data: dict, fault) -> list[Verdict]:
    of = of_fault(data, fault.name, "segue")
    if not of:
        return []
    found = []
    if fault.outage_max is not None:
        worst = max(it["outage"] for it in of)
        wanted = f"no write for {ms(worst)} ms at most, wanted {fault.outage_max:g} ms or less"
        found.append(Verdict(fault.title, wanted, worst <= fault.outage_max, is_safety=False))
    cut, wrong, other = (_total(of, it) for it in ("disconnections", "wrong", "other_errors"))
    errors = f"{cut} connections cut, {other} errors but `-UNCERTAIN` to a write, wanted none"
    found.append(Verdict(fault.title, errors, cut + wrong + other == 0))
    if fault.is_planned:
        uncertain, stale = _total(of, "uncertain"), _total(of, "stale")
        planned = f"{uncertain} `-UNCERTAIN`, {lost_of(of)} acknowledged writes lost, wanted none"
        found.append(Verdict(fault.title, planned, uncertain + stale + _total(of, "lost") == 0))
    return found


def _switchover_verdicts(row: dict) -> list[Verdict]:
    found = []
    about = f"{len(row['waits'])} switchovers, {row['server']}"
    for share, most in ((0.5, P50_MORE_MAX), (0.99, P99_MORE_MAX)):
        more = quantile(row["waits"], share) - quantile(row["quiet"], share)
        what = f"longest wait, p{100 * share:g}: {more:+.1f} ms more than without, "
        what += f"wanted +{most:g} or less"
        found.append(Verdict(about, what, more <= most, is_safety=False))
    asked_again = ", ".join(sorted(set(row["not_done"])))
    what = f"{len(row['not_done'])} refused or taken back, wanted 0"
    what += f" ({asked_again})" if asked_again else ""
    found.append(Verdict(about, what, not row["not_done"], is_safety=False))
    for name, what in {
        "disconnections": "connections cut",
        "other_errors": "client errors",
        "uncertain": "uncertain replies",
        "lost": "acknowledged writes lost",
        "stale": "stale reads",
        "full_resyncs": "full resynchronisations",
    }.items():
        found.append(Verdict(about, f"{row[name]} {what}, wanted 0", row[name] == 0))
    return found


def _errors(data: dict) -> str:
    """Every error by kind, folded away."""
    lines = []
    for row in data["rows"]:
        if row["errors"]:
            whose = row.get("mode") or f"{row['system']}, {row['fault']}"
            kinds = ", ".join(f"{count:,} × {it}" for it, count in sorted(row["errors"].items()))
            lines.append(f"* {row.get('server', '')} {whose}: {kinds}".replace("*  ", "* "))
    body = "\n".join(lines) or "None."
    return f"<details><summary>Errors by kind</summary>\n\n{body}\n\n</details>"
