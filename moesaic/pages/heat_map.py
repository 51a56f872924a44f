"""Heat maps: shares as coloured cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moesaic.pages.markup import Markup, element
from moesaic.pages.palette import heat

_STRONG = 0.8
"""Fraction of the scale above which text takes the colour that is easier to read there."""


def heat_map(rows: Mapping[str, Sequence[float]], corner: str, columns: Sequence[str]) -> Markup:
    """A table of shares; the largest one has the strongest colour.

    rows: row label to a share, 0 to 1, for each column; a share of 0 is shown as a dot. corner: heading of the row labels.
    """
    largest = max((share for shares in rows.values() for share in shares), default=0.0) or 1.0
    lines = []
    for row, shares in rows.items():
        cells = [
            element(
                "td",
                f"{100 * share:.0f} %" if share else "·",
                kind="strong" if share / largest > _STRONG else "",
                style=f"background: {heat(share / largest)}",
            )
            for share in shares
        ]
        lines.append(element("tr", element("th", row), *cells))
    head = element("tr", element("th", corner), *(element("th", column) for column in columns))
    return element("div", element("table", head, *lines, kind="heat"), kind="scroll")
