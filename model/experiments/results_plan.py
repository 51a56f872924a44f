"""The plan of the study as a table: all runs, how many are done, and how long the rest may take."""

from __future__ import annotations

import statistics
from pathlib import Path

from moesaic.campaign.kept_results import read_result
from moesaic.model.experiments.results_design import SEEDS, Planned, plan
from moesaic.model.experiments.results_records import Study, gather, run_key, tuning_runs
from moesaic.pages.number_formats import count
from moesaic.pages.tables import Column, Table


def plan_table(directory: Path) -> Table:
    """A row for each kind of run, in the order of the work, and the sums. directory: of the kept results.

    Seconds are of one core: the mean of the runs that are done, otherwise those of the design.
    """
    study = gather(directory)
    rows: list[tuple[str, int, int, float, float]] = []
    for row in plan():
        runs, done, seconds = _counted(row, study, directory)
        rows.append((row.title, runs, done, seconds, seconds * (runs - done)))
    hours = sum(row[1] * row[3] for row in rows) / 3600
    left = sum(row[4] for row in rows) / 3600
    note = f"{hours:.1f} hours of one core in all, {left:.1f} of them remain; with `--workers 2` on two cores, half of that."
    heads = (
        Column("runs"),
        Column("number", count),
        Column("done", count),
        Column("s each", count),
        Column("s left", count),
    )
    return Table(heads, rows, (note,))


def _counted(row: Planned, study: Study, directory: Path) -> tuple[int, int, float]:
    """How many runs a row has, how many of them are done, and how long one takes."""
    if row.kind == "tuning":
        found = [read_result(directory / f"{run_key(run)}.json") for run in tuning_runs(row.name, directory)]
    elif row.kind == "further":
        return row.runs, len(study.further_of(row.name)), row.seconds
    else:
        found = [study.runs.get((row.name, seed)) for seed in SEEDS]
    seconds = [run["training_seconds"] for run in found if run is not None and run["training_seconds"] is not None]
    return len(found), sum(run is not None for run in found), statistics.mean(seconds) if seconds else row.seconds
