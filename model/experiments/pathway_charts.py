"""Small charts on linear axes, several in one SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

PALETTE = ("#2f6fdd", "#d97706", "#15803d", "#b91c1c", "#7c3aed", "#0891b2", "#be185d", "#65a30d")
_WIDTH, _HEIGHT = 300, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 28, 42
_KEY_HEIGHT = 30
_STYLE = (
    "svg{font:11px system-ui,sans-serif}text{fill:#1c2330}.grid{stroke:#dfe4ec}.frame{fill:#ffffff;stroke:#dfe4ec}"
    ".title{font-weight:600}"
)


@dataclass(frozen=True)
class Line:
    """name: in the key, which lists each name once. points: (x, y), joined in their order; dashed: without marks."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One chart. x_ticks: the values marked on its x axis. from_zero: whether the y axis starts there."""

    title: str
    x_title: str
    lines: Sequence[Line]
    x_ticks: Sequence[float]
    from_zero: bool = False


def figure(rows: Sequence[Sequence[Panel]]) -> str:
    """One SVG document with these panels, row below row, and one key for all. Rows have the same length, at least 1."""
    width, height = _WIDTH * len(rows[0]), _HEIGHT * len(rows) + _KEY_HEIGHT
    parts = [f"<style>{_STYLE}</style>", f'<rect class="frame" width="{width}" height="{height}"/>']
    for y, row in enumerate(rows):
        for x, panel in enumerate(row):
            parts.append(f'<g transform="translate({_WIDTH * x} {_HEIGHT * y})">{"".join(_draw(panel))}</g>')
    place = _LEFT
    for name, colour in {line.name: line.colour for row in rows for panel in row for line in panel.lines}.items():
        y = height - 12
        parts.append(f'<rect x="{place}" y="{y - 9}" width="11" height="11" fill="{colour}"/>')
        parts.append(f'<text x="{place + 16}" y="{y}">{escape(name)}</text>')
        place += 36 + 7 * len(name)
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">{"".join(parts)}</svg>'


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round values that enclose low..high, low < high: steps of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    for factor in (1, 2, 5, 10):
        first, last = math.floor(low / (step * factor)), math.ceil(high / (step * factor))
        if last - first < 7:
            return [n * step * factor for n in range(first, last + 1)]
    raise ValueError(f"{low} to {high} is no range")


def _draw(panel: Panel) -> list[str]:
    ys = [y for line in panel.lines for _, y in line.points]
    low, high = min(ys), max(ys)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    marks = ticks(0.0 if panel.from_zero else low - margin, high + margin)
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    first, last = min(panel.x_ticks), max(panel.x_ticks)
    span = (last - first) or 1.0

    def at_x(x: float) -> float:
        return _LEFT + 8 + (x - first) / span * (right - _LEFT - 16)

    def at_y(y: float) -> float:
        return bottom - (y - marks[0]) / (marks[-1] - marks[0]) * (bottom - _TOP)

    parts = [f'<text class="title" x="{_LEFT}" y="18">{escape(panel.title)}</text>']
    for mark in marks:
        y = at_y(mark)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text text-anchor="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{_number(mark)}</text>')
    for tick in panel.x_ticks:
        parts.append(f'<text text-anchor="middle" x="{at_x(tick):.1f}" y="{bottom + 16}">{_number(tick)}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text text-anchor="middle" x="{middle}" y="{_HEIGHT - 10}">{escape(panel.x_title)}</text>')
    for line in panel.lines:
        places = [(at_x(x), at_y(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="1.8"{dash}/>')
        if line.dashed:
            continue
        for (x, y), (budget, value) in zip(places, line.points):
            label = f"<title>{escape(line.name)}, {_number(budget)}: {value:,.5g}</title>"
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{line.colour}">{label}</circle>')
    return parts


def _number(value: float) -> str:
    return f"{value:,.6g}"
