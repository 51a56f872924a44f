"""Accuracy by task as a table."""

from __future__ import annotations

from collections.abc import Mapping

from moesaic.model.tasks.metrics import OF_A_CLASS
from moesaic.pages.number_formats import decimals, signed
from moesaic.pages.tables import Column, Table


def accuracy_table(metrics: Mapping[str, Mapping]) -> Table:
    """A row for each metric of each task: the float network's, the integer network's if it was measured, and their difference.

    metrics: task to {"metric": name, "float", "integer": values, "higher_is_better", "further": the like for more metrics}, as in
    `moesaic.spec.bundle.Task.metrics`.
    """
    columns = (
        Column("task"), Column("metric"), Column("float", decimals(4)), Column("integer", decimals(4)), Column("difference", signed(4)),
    )  # fmt: skip
    rows = [
        row
        for task, values in metrics.items()
        for one in (values, *values.get("further", ()))
        if (row := _row(task, one)) is not None
    ]
    return Table(columns, rows)


def split_classes(metrics: Mapping[str, Mapping]) -> tuple[dict[str, dict], dict[str, dict]]:
    """The metrics of `accuracy_table` without those of single classes, and these alone, called after their classes."""
    whole, of_classes = {}, {}
    for task, values in metrics.items():
        further = values.get("further", ())
        kept = [one for one in further if not one["metric"].startswith(OF_A_CLASS)]
        whole[task] = {**values, "further": kept}
        single = [{**one, "metric": one["metric"].removeprefix(OF_A_CLASS)} for one in further if one not in kept]
        if single:
            of_classes[task] = {**single[0], "further": single[1:]}
    return whole, of_classes


def _row(task: str, values: Mapping) -> tuple | None:
    """The row of a metric; None if it was not measured."""
    real, integer = values.get("float"), values.get("integer")
    if real is None and integer is None:
        return None
    higher = values.get("higher_is_better")
    arrow = "" if higher is None else " ↑" if higher else " ↓"
    difference = None if real is None or integer is None else integer - real
    return task, f"{values['metric']}{arrow}", real, integer, difference
