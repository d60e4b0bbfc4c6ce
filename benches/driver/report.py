"""The result for people: as text, and as the tables of docs/performance.md."""

from pathlib import Path

from summary import Row, Summary, idle_verdicts, summaries, us, verdicts
from targets import TARGETS

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
TITLE = {it.name: it.title for it in TARGETS}
MIB = 1 << 20


def text(data: dict) -> str:
    """Everything, in columns."""
    lines = []
    for summary in (of := summaries(data)):
        lines += [summary.workload.title, HEAD]
        lines += [_line(summary, name, row) for name, row in summary.rows.items()]
        lines.append("")
    if data["idle"]:
        lines.append("idle sessions          sessions   bytes each   active ones, against none idle")
        for it in data["idle"]:
            low, middle, high = _range(it["active_ratio"])
            title, each = TITLE[it["target"]], it["bytes_each"]
            lines.append(
                f"  {title:<20} {it['sessions']:>8,} {each:>12,.0f}   "
                f"{middle:.2f} ({low:.2f} to {high:.2f})"
            )
        lines.append("")
    for it in verdicts(of):
        word = "met   " if it.is_met else "MISSED"
        lines.append(f"{word} {it.workload}, {TITLE[it.target]}: {it.text}")
    meta = data["meta"]
    lines += ["", f"{meta['rounds']} rounds of {meta['seconds']:g} s, {meta['cores']} cores, "
              f"load before {meta['load_before']:.1f}, stolen {meta['steal_percent']:.1f} %"]
    lines += [f"problem: {it}" for it in meta["problems"]]
    return "\n".join(lines)


HEAD = (
    f"  {'':<22}{'ratio':>6} {'':>7}{'req/s':>10} {'proxy µs':>10} {'x floor':>8} "
    f"{'server µs':>10} {'p50 ms':>8} {'p99 ms':>8} {'MiB':>6}"
)


def _line(summary: Summary, name: str, row: Row) -> str:
    floor = summary.floor
    times = f"{row.proxy_us / floor.proxy_us:.2f}" if floor and floor.proxy_us else ""
    is_direct = name == "direct"
    mark = " *" if name == summary.workload.floor else ""
    return (
        f"  {TITLE[name] + mark:<22}{row.ratio:>6.2f} {_spread(row):>7}{row.rps:>10,.0f} "
        f"{'' if is_direct else us(row.proxy_us):>10} {'' if is_direct else times:>8} "
        f"{us(row.server_us):>10} {row.p50_ms:>8.3f} {row.p99_ms:>8.3f} "
        f"{'' if is_direct else f'{row.rss / MIB:.1f}':>6}"
    )


def _spread(row: Row) -> str:
    return f"±{row.spread:.2f}" if row.spread > 0 else ""


def _range(values: list[float]) -> tuple[float, float, float]:
    ordered = sorted(values)
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]


def publish(data: dict, page: Path) -> None:
    put(markdown(data), page, BEGIN, END)


def put(text: str, page: Path, begin: str, end: str) -> None:
    """Replaces what stands between two markers of the page."""
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    if not after:
        raise SystemExit(f"{page.name} lacks {begin} or {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def markdown(data: dict) -> str:
    of, meta = summaries(data), data["meta"]
    parts = [_machine(meta), _matrix(of)]
    if data["idle"]:
        parts.append(_idle(data["idle"]))
    parts.append(_goals(of, data["idle"]))
    if meta.get("problems"):
        parts.append("Not measured: " + "; ".join(meta["problems"]) + ".")
    details = "\n\n".join(_detail(it) for it in of)
    parts.append(f"<details><summary>Every figure</summary>\n\n{details}\n\n</details>")
    return "\n\n".join(parts)


def _machine(meta: dict) -> str:
    versions = "; ".join(
        f"{TITLE[name]}: `{version}`" for name, version in meta["versions"].items() if version
    )
    programs = f"Server: `{meta['server']}`"
    return (
        f"Measured {meta['date']}, Segue `{meta['commit']}`, {meta['rounds']} rounds of "
        f"{meta['seconds']:g} s a cell, {meta['cores']} cores for everything ({meta['cpu']}, Linux "
        f"{meta['kernel']}), {meta['steal_percent']:.1f} % of the time stolen by the host.\n\n"
        f"{'; '.join(it for it in (programs, versions) if it)}."
    )


def _matrix(of: list[Summary]) -> str:
    names = [it.name for it in TARGETS if any(it.name in summary.rows for summary in of)]
    titles = [TITLE[it] for it in names] + ["predixy, *not run here*"]
    lines = ["| workload | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for summary in of:
        cells = [_cell(summary, it) for it in names] + [_predixy(summary)]
        lines.append(f"| {summary.workload.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(summary: Summary, name: str) -> str:
    row = summary.rows.get(name)
    if row is None:
        return ""
    if name == "direct":
        return f"1.00 (server {us(row.server_us)} µs)"
    text = f"{row.ratio:.2f}, {us(row.proxy_us)} µs"
    if name == summary.workload.floor:
        return f"*{text}*"
    return f"**{text}**" if name.startswith("segue") else text


def _predixy(summary: Summary) -> str:
    if summary.workload.predixy is None:
        return ""
    ratio, cpu = summary.workload.predixy
    return f"{us(cpu)} µs" if ratio is None else f"{ratio:.2f}, {us(cpu)} µs"


def _idle(rows: list[dict]) -> str:
    lines = [
        "| idle sessions | how many | bytes each | throughput of 50 active ones, against none idle |",
        "|---|---|---|---|",
    ]
    for it in rows:
        low, middle, high = _range(it["active_ratio"])
        lines.append(
            f"| {TITLE[it['target']]} | {it['sessions']:,} | {it['bytes_each']:,.0f} | "
            f"{middle:.2f} ({low:.2f} to {high:.2f}) |"
        )
    return "\n".join(lines)


def _goals(of: list[Summary], idle: list[dict]) -> str:
    lines = ["| goal of | Segue | | |", "|---|---|---|---|"]
    for it in verdicts(of) + idle_verdicts(idle):
        mode = TITLE[it.target].removeprefix("Segue, ")
        word = "met" if it.is_met else "**missed**"
        lines.append(f"| {it.workload} | {mode} | {it.text} | {word} |")
    return "\n".join(lines)


def _detail(summary: Summary) -> str:
    lines = [
        f"**{summary.workload.title}**",
        "",
        "| | ratio | spread | requests/s | proxy µs | server µs | p50 ms | p99 ms | MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in summary.rows.items():
        proxy, mib = us(row.proxy_us), f"{row.rss / MIB:.1f}"
        if name == "direct":
            proxy = mib = ""
        lines.append(
            f"| {TITLE[name]} | {row.ratio:.2f} | {_spread(row)} | {row.rps:,.0f} | {proxy} | "
            f"{us(row.server_us)} | {row.p50_ms:.3f} | {row.p99_ms:.3f} | {mib} |"
        )
    return "\n".join(lines)
