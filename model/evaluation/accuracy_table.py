"""Accuracy by task as a table."""

from __future__ import annotations

from collections.abc import Mapping

from moesaic.pages.number_formats import decimals, signed
from moesaic.pages.tables import Column, Table


def accuracy_table(metrics: Mapping[str, Mapping]) -> Table:
    """One row per measured task: the float network's metric, the integer network's if it was measured, and their difference.

    metrics: task to {"metric": name, "float", "integer": values, "higher_is_better"}, as in `moesaic.spec.bundle.Task.metrics`.
    """
    columns = (
        Column("task"), Column("metric"), Column("float", decimals(4)), Column("integer", decimals(4)), Column("difference", signed(4)),
    )  # fmt: skip
    rows = []
    for task, values in metrics.items():
        real, integer = values.get("float"), values.get("integer")
        if real is not None:
            higher = values.get("higher_is_better")
            arrow = "" if higher is None else " ↑" if higher else " ↓"
            rows.append(
                (task, f"{values['metric']}{arrow}", real, integer, None if integer is None else integer - real)
            )
    return Table(columns, rows)
