"""Bar charts: plain bars, bars stacked to a whole, several bars per row, and shares as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moesaic.pages.axes import Axis
from moesaic.pages.drawing import Drawing, label, titled
from moesaic.pages.markup import Markup, element
from moesaic.pages.number_formats import count, general, percent
from moesaic.pages.palette import SERIES

_WIDTH = 720
_NARROWEST_LABELLED = 40


@dataclass(frozen=True)
class Bar:
    """One bar. name: text in front of it. words: text at its end. colour: a CSS colour."""

    name: str
    value: float
    words: str
    colour: str = SERIES[0]


def bars(values: Sequence[Bar]) -> Drawing:
    """Horizontal bars, one below the other, as long as their values. values: at least one bar, each with a value of 0 or more."""
    step, left, room = 34, 250, _WIDTH - 250 - 130
    largest = max(bar.value for bar in values) or 1.0
    shapes = []
    for number, bar in enumerate(values):
        y, width = 6 + step * number, max(room * bar.value / largest, 1.0)
        shapes += [
            label(bar.name, 0, y + 16),
            element("rect", x=left, y=y, width=width, height=22, fill=bar.colour),
            label(bar.words, left + width + 8, y + 16),
        ]
    return Drawing(_WIDTH, step * len(values) + 6, shapes)


def stacked_bars(
    rows: Mapping[str, Mapping[str, int]], colours: Mapping[str, str], names: Mapping[str, str], unit: str
) -> Drawing:
    """One bar per row, divided into the shares that its values have in their sum.

    rows: row label to values (0 or more) by key. colours: key to CSS colour. names: key to the text that is shown for it. unit: of
    the values, in the plural.
    """
    step, left = 40, 190
    shapes = []
    for number, (row, values) in enumerate(rows.items()):
        y, x, whole = 8 + step * number, float(left), sum(values.values()) or 1
        shapes.append(label(row, 0, y + 18))
        for key, value in values.items():
            width, share = (_WIDTH - left) * value / whole, percent()(value / whole)
            if width > 0:
                title = f"{names[key]}: {count(value)} {unit}, {share}"
                shapes.append(titled("rect", title, x=x, y=y, width=width, height=26, fill=colours[key]))
            if width > _NARROWEST_LABELLED:
                shapes.append(label(share, x + 5, y + 18, kind="inside"))
            x += width
    shown = {key for values in rows.values() for key, value in values.items() if value}
    key = {names[key]: colour for key, colour in colours.items() if key in shown}
    return Drawing(_WIDTH, step * len(rows) + 8, shapes, key)


def grouped_bars(
    rows: Mapping[str, Mapping[str, float]],
    colours: Mapping[str, str],
    axis: Axis,
    unit: str,
    titles: Mapping[str, Mapping[str, str]],
) -> Drawing:
    """Several bars per row, one for each of the row's values, all on one axis.

    rows: row label to values by name; a bar whose value lies beyond the axis ends where the axis does. colours: name to CSS colour.
    unit: of the values. titles: same keys as rows; the text that a bar shows under the pointer.
    """
    thickness, gap, left, right, top = 10, 10, 170, 60, 8
    step = thickness * len(colours) + gap
    room, bottom = _WIDTH - left - right, top + step * len(rows)
    shapes = []
    for tick in axis.ticks:
        x = left + room * axis.place(tick)
        shapes.append(element("line", kind="grid", x1=x, x2=x, y1=top - 4, y2=bottom))
        shapes.append(label(f"{axis.label(tick)} {unit}", x, bottom + 16, "middle"))
    for number, (row, values) in enumerate(rows.items()):
        y = top + step * number
        shapes.append(label(row, 0, y + (step - gap) / 2 + 4))
        for place, (name, value) in enumerate(values.items()):
            width, middle = room * min(max(axis.place(value), 0.0), 1.0), y + thickness * place
            shapes.append(
                titled(
                    "rect", titles[row][name], x=left, y=middle, width=width, height=thickness - 1, fill=colours[name]
                )
            )
            shapes.append(label(f"{value:.1f}", left + width + 4, middle + 8, kind="small"))
    return Drawing(_WIDTH, bottom + 24, shapes, colours)


def share_bars(values: Mapping[str, int], whole: int, colour: str = SERIES[0]) -> Markup:
    """A table with a bar for each name, as long as its value's share of `whole`, which is above 0."""
    rows = [
        element(
            "tr",
            element("td", name),
            element("td", element("i", style=f"width: {100 * value / whole:.2f}%; background: {colour}"), kind="bar"),
            element("td", general(value), kind="number"),
            element("td", percent()(value / whole), kind="number"),
        )
        for name, value in values.items()
    ]
    return element("div", element("table", *rows, kind="bars"), kind="scroll")
