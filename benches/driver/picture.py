"""The picture: throughput against a direct connection, a panel a workload."""

from pathlib import Path
from xml.sax.saxutils import escape

from summary import Summary, summaries, us
from targets import TARGETS

WIDTH, MARGIN, GAP = 960, 24, 28
COLUMNS = 2
PANEL = (WIDTH - 2 * MARGIN - GAP) // COLUMNS
LABELS, NUMBERS = 128, 92
BAR, STEP, TITLE, AXIS = 13, 19, 30, 22
HEADER, FOOTER = 74, 36
KIND = {it.name: it.kind for it in TARGETS}
TITLES = {it.name: it.title for it in TARGETS}

# A background of its own: readable whatever the page around it looks like.
STYLE = """
svg { font-family: ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; }
.card { fill: #ffffff; stroke: #d0d7de; }
text { fill: #1f2328; font-size: 12px; }
.head { font-size: 18px; font-weight: 600; }
.name { font-size: 13px; font-weight: 600; }
.quiet, .axis { fill: #57606a; font-size: 11px; }
.own { font-weight: 600; }
.segue { fill: #0969da; }
.peer { fill: #afb8c1; }
.floor { fill: none; stroke: #57606a; stroke-dasharray: 3 2; }
.direct { stroke: #57606a; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
.card { fill: #0d1117; stroke: #30363d; }
text { fill: #e6edf3; }
.quiet, .axis { fill: #9198a1; }
.segue { fill: #4493f8; }
.peer { fill: #57606a; }
.floor { stroke: #9198a1; }
.direct { stroke: #9198a1; }
}
"""


def draw(data: dict, path: Path) -> None:
    of = summaries(data)
    top = max((row.ratio for it in of for row in it.rows.values()), default=1.0)
    scale = (PANEL - LABELS - NUMBERS) / max(1.2, top)
    y, body = HEADER, []
    for start in range(0, len(of), COLUMNS):
        line = of[start : start + COLUMNS]
        for column, summary in enumerate(line):
            x = MARGIN + column * (PANEL + GAP)
            body.append(f'<g transform="translate({x},{y})">{_panel(summary, scale)}</g>')
        y += TITLE + STEP * max(len(_names(it)) for it in line) + AXIS
    height = y + FOOTER
    meta = data["meta"]
    foot = (
        f"{meta['date']}, {meta['cores']} cores for server, load and proxy, "
        f"medians of {meta['rounds']} alternating rounds, GET by redis-benchmark"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'width="{WIDTH}" height="{height}">',
        "<title>Throughput of proxies against a direct connection</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="head" x="{MARGIN}" y="36">Throughput through a proxy, a direct connection '
        "being 1.00</text>",
        f'<text class="quiet" x="{MARGIN}" y="56">Behind each bar: the ratio, and the '
        "proxy's CPU per request. Dashed: the least that can do this job.</text>",
        *body,
        f'<text class="quiet" x="{MARGIN}" y="{height - 18}">{escape(foot)}</text>',
        "</svg>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n")


def _names(summary: Summary) -> list[str]:
    """What a panel shows, from top to bottom: of the floors only the one that counts."""
    shown = []
    for name in summary.rows:
        is_other_floor = KIND[name] == "floor" and name != summary.workload.floor
        if KIND[name] != "direct" and not is_other_floor:
            shown.append(name)
    order = {"floor": 0, "segue": 1, "peer": 2}
    return sorted(shown, key=lambda it: (order[KIND[it]], -summary.rows[it].ratio))


def _panel(summary: Summary, scale: float) -> str:
    names = _names(summary)
    bottom = TITLE + STEP * len(names)
    one = LABELS + scale
    parts = [f'<text class="name" x="0" y="16">{escape(summary.workload.title)}</text>']
    for index, name in enumerate(names):
        row, y = summary.rows[name], TITLE + STEP * index
        kind, length = KIND[name], max(1.0, row.ratio * scale)
        own = ' class="own"' if kind == "segue" else ""
        title = "floor" if kind == "floor" else TITLES[name]
        middle = y + BAR - 2
        parts += [
            f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end"{own}>{escape(title)}</text>',
            f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" '
            'rx="2"/>',
            f'<text x="{max(one, LABELS + length) + 6:.1f}" y="{middle}"{own}>{row.ratio:.2f}'
            f'<tspan class="quiet" dx="6">{us(row.proxy_us)} µs</tspan></text>',
        ]
    parts += [
        f'<line class="direct" x1="{one:.1f}" x2="{one:.1f}" y1="{TITLE - 5}" y2="{bottom}"/>',
        f'<text class="axis" x="{one:.1f}" y="{bottom + 11}" text-anchor="middle">direct</text>',
    ]
    return "".join(parts)
