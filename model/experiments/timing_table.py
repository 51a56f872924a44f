"""Timings of experts as a table."""

from __future__ import annotations

from collections.abc import Mapping

from moesaic.pages.number_formats import three_digits
from moesaic.pages.tables import Column, Table


def timing_table(figures: Mapping) -> Table:
    """A table of timings. figures: "columns" (the first holds text) and "rows", as in `expert_timing.TableOfFigures`."""
    first, *others = figures["columns"]
    return Table((Column(first), *(Column(name, three_digits) for name in others)), figures["rows"])
