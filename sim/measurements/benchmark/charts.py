"""Charts as inline SVG, in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from moesaic.sim.measurements.road.markup import Markup

_WIDTH, _HEIGHT = 720, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 20, 16, 48
PALETTE = (
    "#2f6fdd", "#d97706", "#15803d", "#b91c1c", "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#92400e", "#475569",
    "#f59e0b", "#14b8a6", "#8b5cf6", "#ef4444", "#84cc16", "#64748b",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A polyline of a chart; marked: with a dot and, in `labels`, a text at each point."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False
    marked: bool = True
    labels: Sequence[str] = ()


def chart(lines: Sequence[Line], x_title: str, y_title: str) -> Markup:
    """Lines over two logarithmic axes. All values above 0."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_axis, y_axis = _Axis(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT), _Axis(min(ys), max(ys), _HEIGHT - _BOTTOM, _TOP)
    parts = [*_grid(x_axis, y_axis, x_title, y_title)]
    for line in lines:
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = ' stroke-dasharray="6 5"' if line.dashed else ""
        if len(places) > 1:
            parts.append(f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>')
        if line.marked:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{line.colour}"><title>{escape(line.name)}: {vx:,.4g}, '
                f"{vy:,.4g}</title></circle>"
                for (x, y), (vx, vy) in zip(places, line.points)
            ]
        parts += [
            f'<text x="{x + 8:.1f}" y="{y - 8:.1f}">{escape(label)}</text>'
            for (x, y), label in zip(places, line.labels)
        ]
    legend = {line.name: line.colour for line in lines if line.name}
    return Markup(_svg(_HEIGHT, parts) + _legend(legend))


def stacked_bars(
    rows: Mapping[str, Mapping[str, int]], colours: Mapping[str, str], legend: Mapping[str, str] | None = None
) -> Markup:
    """One bar of 100 % a row, in shares of its values. colours: by value's name; legend: its name to what it means."""
    step, left = 40, 190
    parts = []
    for index, (label, values) in enumerate(rows.items()):
        y, x = 8 + step * index, float(left)
        parts.append(f'<text x="0" y="{y + 18}">{escape(label)}</text>')
        whole = sum(values.values())
        for name, value in values.items():
            width = (_WIDTH - left) * value / whole
            if width > 0:
                parts.append(
                    f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="26" fill="{colours[name]}"><title>'
                    f"{escape(name)}: {value:,} cycles, {100 * value / whole:.1f} %</title></rect>"
                )
            if width > 40:
                parts.append(f'<text class="inside" x="{x + 5:.1f}" y="{y + 18}">{100 * value / whole:.1f} %</text>')
            x += width
    used = {name for values in rows.values() for name, value in values.items() if value}
    names = {(legend or {}).get(name, name): colour for name, colour in colours.items() if name in used}
    return Markup(_svg(step * len(rows) + 8, parts) + _legend(names))


def bars(values: Iterable[tuple[str, float, str]], colours: Sequence[str] = PALETTE) -> Markup:
    """Horizontal bars of (label, value, text), as long as the value."""
    rows = list(values)
    step, left, room = 34, 250, _WIDTH - 250 - 130
    largest = max(value for _, value, _ in rows)
    parts = []
    for index, (label, value, text) in enumerate(rows):
        y, width = 6 + step * index, max(room * value / largest, 1)
        colour = colours[index % len(colours)]
        parts += [
            f'<text x="0" y="{y + 16}">{escape(label)}</text>',
            f'<rect x="{left}" y="{y}" width="{width:.1f}" height="22" fill="{colour}"/>',
            f'<text x="{left + width + 8:.1f}" y="{y + 16}">{escape(text)}</text>',
        ]
    return Markup(_svg(step * len(rows) + 6, parts))


class _Axis:
    """A logarithmic axis: values low..high on pixels from..to."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = math.log10(low / 1.25), math.log10(high * 1.25)
        self.start, self.end = start, end

    def place(self, value: float) -> float:
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times powers of ten in the range; only powers of ten if those are many."""
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        inside = [tick for tick in ticks if self.low <= math.log10(tick) <= self.high]
        powers = [tick for tick in inside if math.log10(tick) == round(math.log10(tick))]
        return powers if len(inside) > 10 else inside


def _number(value: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _grid(x_axis: _Axis, y_axis: _Axis, x_title: str, y_title: str) -> Iterable[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>'
        yield f'<text text-anchor="middle" x="{x:.1f}" y="{bottom + 18}">{_number(tick)}</text>'
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text text-anchor="end" x="{_LEFT - 8}" y="{y + 4:.1f}">{_number(tick)}</text>'
    yield f'<text text-anchor="middle" x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}">{escape(x_title)}</text>'
    middle = (_TOP + bottom) / 2
    yield f'<text text-anchor="middle" transform="translate(16 {middle}) rotate(-90)">{escape(y_title)}</text>'


def _svg(height: int, parts: Iterable[str]) -> str:
    return f'<div class="scroll"><svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img">{"".join(parts)}</svg></div>'


def _legend(names: Mapping[str, str]) -> str:
    keys = "".join(
        f'<span><i class="swatch" style="background: {colour}"></i>{escape(name)}</span> '
        for name, colour in names.items()
    )
    return f'<p class="legend">{keys}</p>'
