"""Times of experts as a table."""

from __future__ import annotations

from collections.abc import Mapping

from moesaic.pages.number_formats import three_digits
from moesaic.pages.tables import Column, Table


def timing_table(figures: Mapping) -> Table:
    """figures: "columns", names of which the first is of text, and "rows", as `expert_timing.TableOfFigures` has them."""
    first, *others = figures["columns"]
    return Table((Column(first), *(Column(name, three_digits) for name in others)), figures["rows"])
