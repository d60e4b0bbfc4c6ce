"""The picture: how long nobody could write, a bar for each fault and system."""

from pathlib import Path
from statistics import median
from xml.sax.saxutils import escape

from faults import FAULTS, SYSTEMS
from picture import MARGIN, STYLE, WIDTH
from tables import ms, of_fault

LABELS, NUMBERS = 150, 350
BAR, STEP, TITLE, GAP = 16, 24, 28, 14
HEADER, FOOTER = 74, 36
KINDS = {"segue": "segue", "sentinel": "peer"}


def draw(data: dict, path: Path) -> None:
    cells = {
        (fault.name, system.name): of
        for fault in FAULTS
        for system in SYSTEMS
        if (of := of_fault(data, fault.name, system.name))
    }
    top = max(median(it["outage"] for it in of) for of in cells.values())
    scale = (WIDTH - 2 * MARGIN - LABELS - NUMBERS) / max(top, 1.0)
    y, body = HEADER, []
    for fault in FAULTS:
        systems = [it for it in SYSTEMS if (fault.name, it.name) in cells]
        if not systems:
            continue
        body.append(f'<text class="name" x="{MARGIN}" y="{y + 14}">{escape(fault.title)}</text>')
        y += TITLE
        for system in systems:
            body.append(_bar(system, cells[fault.name, system.name], y, scale))
            y += STEP
        y += GAP
    height = y + FOOTER
    meta, trials = data["meta"], max(len(it) for it in cells.values())
    foot = (
        f"{meta['date']}, {meta['cores']} cores for everything, 20 clients, 1,000 operations a "
        f"second, medians and sums of {trials} trials in alternating order"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'width="{WIDTH}" height="{height}">',
        "<title>What clients notice of a change of primary</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="head" x="{MARGIN}" y="36">How long no write was served, in '
        "milliseconds</text>",
        f'<text class="quiet" x="{MARGIN}" y="56">Behind each bar: what else clients noticed. '
        "They reconnect as soon as they are cut.</text>",
        *body,
        f'<text class="quiet" x="{MARGIN}" y="{height - 18}">{escape(foot)}</text>',
        "</svg>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n")


def _bar(system, of: list[dict], y: int, scale: float) -> str:
    x, kind = MARGIN + LABELS, KINDS[system.name]
    outage = median(it["outage"] for it in of)
    length, middle = max(1.0, outage * scale), y + BAR - 4
    own = ' class="own"' if kind == "segue" else ""
    cut, uncertain, other, lost = (
        sum(it[name] for it in of)
        for name in ("disconnections", "uncertain", "other_errors", "lost")
    )
    noticed = f"{cut:,} cut, {uncertain + other:,} errors, {lost:,} writes lost"
    if uncertain and not other:
        noticed = f"{cut:,} cut, {uncertain:,} uncertain, {lost:,} writes lost"
    return (
        f'<text x="{x - 8}" y="{middle}" text-anchor="end"{own}>{escape(system.title)}</text>'
        f'<rect class="{kind}" x="{x}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        f'<text x="{x + length + 6:.1f}" y="{middle}"{own}>{ms(outage)}'
        f'<tspan class="quiet" dx="8">{noticed}</tspan></text>'
    )
