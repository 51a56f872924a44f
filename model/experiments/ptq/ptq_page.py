"""What `moesaic ptq` found, as one table and as a page in Markdown."""

from __future__ import annotations

from moesaic.model.experiments.ptq.study import Figures, Study
from moesaic.pages.number_formats import decimals
from moesaic.pages.tables import Cell, Column, Table

_DECIBELS, _VALUE = decimals(1), decimals(4)


def ptq_table(study: Study) -> Table:
    """Two rows for each task of each network: signal to noise, with the best of them strong, and the task's metric.

    Below it stands, for every empty place, why nothing was measured.
    """
    columns = (
        Column("network"), Column("task"), Column("figure"), Column("float", align="right"),
        *(Column(way, align="right") for way in study.ways),
    )  # fmt: skip
    rows = [row for one in study.figures for row in _rows(study, one)]
    notes = [f"{network}, {way}: {why}" for (network, way), why in study.failed.items()]
    return Table(columns, rows, notes)


def _rows(study: Study, figures: Figures) -> list[list[Cell | str | None]]:
    best = max(figures.decibels.values(), default=None)
    ratios = [figures.decibels.get(way) for way in study.ways]
    values = [figures.values.get(way) for way in study.ways]
    return [
        [figures.network, figures.task, "dB", None, *(_ratio(one, best) for one in ratios)],
        ["", "", figures.metric, _VALUE(figures.real), *(None if one is None else _VALUE(one) for one in values)],
    ]


def _ratio(decibels: float | None, best: float | None) -> Cell | str | None:
    if decibels is None or best is None:
        return None
    written = _DECIBELS(decibels)
    return Cell(written, "strong") if written == _DECIBELS(best) else written


def ptq_markdown(study: Study) -> str:
    """The page: the table, and what its rows are."""
    return "\n".join(
        [
            "# Integers by several tools",
            "",
            "dB: the power of the float network's predictions over that of the difference from them. Below it the task's metric.",
            "",
            ptq_table(study).to_markdown(),
            "",
        ]
    )
