"""Line charts: one, or several in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moesaic.pages.axes import Axis
from moesaic.pages.drawing import Drawing, label, titled
from moesaic.pages.markup import Markup, element
from moesaic.pages.number_formats import general

_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 16, 28, 44
_Y_TITLE = 22


@dataclass(frozen=True)
class Line:
    """name: for the key, which lists each name once. points: (x, y), joined in this order. colour: a CSS colour.

    dashed: drawn dashed and without dots. marked: drawn with a dot at each point. labels: text at the points, one for each, or
    none.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False
    marked: bool = True
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Panel:
    """One chart. title: above it. y_title: beside it. Either may be empty. All points lie within the axes."""

    lines: Sequence[Line]
    x_axis: Axis
    y_axis: Axis
    x_title: str
    y_title: str = ""
    title: str = ""


def line_chart(rows: Sequence[Sequence[Panel]], width: int = 720, height: int = 340) -> Drawing:
    """Panels in rows, one row below the other, with one key for all.

    rows: at least one; all have the same length, at least 1. width, height: of one panel, in pixels.
    """
    shapes = [
        element("g", *_panel(panel, width, height), transform=f"translate({width * x} {height * y})")
        for y, row in enumerate(rows)
        for x, panel in enumerate(row)
    ]
    key = {line.name: line.colour for row in rows for panel in row for line in panel.lines}
    return Drawing(width * len(rows[0]), height * len(rows), shapes, key)


def _panel(panel: Panel, width: int, height: int) -> list[Markup]:
    left, right = _LEFT + (_Y_TITLE if panel.y_title else 0), width - _RIGHT
    top, bottom = _TOP if panel.title else _RIGHT, height - _BOTTOM

    def at_x(value: float) -> float:
        return left + panel.x_axis.place(value) * (right - left)

    def at_y(value: float) -> float:
        return bottom + panel.y_axis.place(value) * (top - bottom)

    shapes = [label(panel.title, left, 16, kind="title")] if panel.title else []
    for tick in panel.y_axis.ticks:
        y = at_y(tick)
        shapes.append(element("line", kind="grid", x1=left, x2=right, y1=y, y2=y))
        shapes.append(label(panel.y_axis.label(tick), left - 8, y + 4, "end"))
    for tick in panel.x_axis.ticks:
        x = at_x(tick)
        shapes.append(element("line", kind="grid", x1=x, x2=x, y1=top, y2=bottom))
        shapes.append(label(panel.x_axis.label(tick), x, bottom + 18, "middle"))
    shapes.append(label(panel.x_title, (left + right) / 2, height - 8, "middle"))
    if panel.y_title:
        turned = f"translate(14 {(top + bottom) / 2:.1f}) rotate(-90)"
        shapes.append(element("text", panel.y_title, text_anchor="middle", transform=turned))
    for line in panel.lines:
        shapes += _line(line, [(at_x(x), at_y(y)) for x, y in line.points])
    return shapes


def _line(line: Line, places: Sequence[tuple[float, float]]) -> list[Markup]:
    shapes = []
    if len(places) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = "6 5" if line.dashed else None
        shapes.append(
            element("polyline", points=path, fill="none", stroke=line.colour, stroke_width=2, stroke_dasharray=dash)
        )
    if line.marked and not line.dashed:
        shapes += [
            titled("circle", f"{line.name}, {general(value)}: {general(height)}", cx=x, cy=y, r=4, fill=line.colour)
            for (x, y), (value, height) in zip(places, line.points)
        ]
    shapes += [label(words, x + 8, y - 8) for (x, y), words in zip(places, line.labels)]
    return shapes
