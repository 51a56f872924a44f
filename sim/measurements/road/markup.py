"""Pieces of HTML: tables, bars, heat maps, inline pictures. Text is escaped here and nowhere else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from moesaic.host.image_files import encode_png


class Markup(str):
    """HTML that needs no escaping."""


def text(value: object) -> Markup:
    """A value as HTML: markup as it is, whole numbers with separators, None as a dash."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup("–")
    return Markup(f"{value:,}" if isinstance(value, int) else escape(str(value)))


def element(tag: str, *children: object, **attributes: str) -> Markup:
    """<tag attributes>children</tag>; `kind` is the class attribute."""
    names = {"kind": "class"}
    given = "".join(f' {names.get(key, key)}="{escape(value)}"' for key, value in attributes.items() if value)
    return Markup(f"<{tag}{given}>{''.join(text(child) for child in children)}</{tag}>")


def table(header: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "") -> Markup:
    """A table; cells with numbers are right-aligned, as is the header of a column whose first cell is a number."""
    rows = [list(row) for row in rows]
    numeric = [isinstance(cell, int | float) for cell in rows[0]] if rows else []
    head = [element("th", cell, kind="number" if number else "") for cell, number in zip(header, numeric)]
    body = [
        element("tr", *(element("td", cell, kind="number" if isinstance(cell, int | float) else "") for cell in row))
        for row in rows
    ]
    return element("div", element("table", element("tr", *head), *body, kind=kind), kind="scroll")


def picture(image: np.ndarray, caption: str) -> Markup:
    """An inline PNG of uint8 (height, width, 3)."""
    data = base64.b64encode(encode_png(image)).decode()
    source = Markup(f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">')
    return element("figure", source, element("figcaption", caption))


def bars(values: Mapping[str, int], whole: int, kind: str = "bar") -> Markup:
    """One bar per name, its length the share of `whole`."""
    rows = [
        element(
            "tr",
            element("td", name.replace("_", " ")),
            element("td", element("i", style=f"width: {100 * value / whole:.2f}%"), kind=f"bar {kind}"),
            element("td", value, kind="number"),
            element("td", f"{100 * value / whole:.1f} %", kind="number"),
        )
        for name, value in values.items()
    ]
    return element("div", element("table", *rows, kind="bars"), kind="scroll")


def heat_map(rows: Mapping[str, np.ndarray], corner: str, columns: Sequence[str]) -> Markup:
    """Shares of each row's sum as coloured cells. rows: label to counts (columns,); an unused column shows a dot."""
    largest = max((float(np.max(counts / max(counts.sum(), 1))) for counts in rows.values()), default=0.0) or 1.0
    lines = []
    for label, counts in rows.items():
        cells = []
        for share in counts / max(counts.sum(), 1):
            colour = f"background: rgba(var(--heat), {share / largest * 0.85:.3f})"
            cells.append(element("td", f"{100 * share:.0f} %" if share else "·", style=colour))
        lines.append(element("tr", element("th", label), *cells))
    head = element("tr", element("th", corner), *(element("th", column) for column in columns))
    return element("div", element("table", head, *lines, kind="heat"), kind="scroll")
