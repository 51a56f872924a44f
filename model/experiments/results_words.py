"""How estimates and verdicts are worded on the results page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moesaic.model.experiments.paired import Estimate, estimate
from moesaic.model.experiments.results_design import FEWEST_SEEDS, REFERENCE, SEEDS
from moesaic.model.recipes.recipe import load_recipe
from moesaic.pages.tables import Cell, Column, Table, Value

if TYPE_CHECKING:
    from moesaic.model.tasks.task import Task

SIGNIFICANT = 0.05


def spread(values: Sequence[float], digits: int = 4) -> str:
    """The mean over the seeds and half of its 95 % interval; a dash without values, and the value alone if there is one."""
    return written(estimate(values), digits) if values else "–"


def written(found: Estimate, digits: int = 4) -> str:
    """An estimate as its mean and half of its 95 % interval."""
    mean = f"{found.mean:.{digits}f}"
    return mean if found.half_width is None else f"{mean} ± {found.half_width:.{digits}f}"


def interval(found: Estimate, digits: int = 2, unit: str = "") -> str:
    """The interval in words; the mean if there is none. unit: appended as it is."""
    if found.low is None:
        return f"{found.mean:+.{digits}f}{unit}"
    return f"{found.low:+.{digits}f} to {found.high:+.{digits}f}{unit}"


def probability(p: float | None) -> str:
    """A p-value; a dash if there is none."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def is_shown(found: Estimate | None, adjusted: float | None) -> bool:
    """Whether a difference is shown: enough seeds, an interval without 0, and a corrected p-value below SIGNIFICANT."""
    enough = found is not None and found.count >= FEWEST_SEEDS
    return enough and found.sign != 0 and adjusted is not None and adjusted < SIGNIFICANT


def stressed(text: str, shown: bool) -> Value | Cell:
    """The entry of a table, strong only where a difference is shown."""
    return Cell(text, "strong") if shown else text


def too_few(count: int) -> str:
    """That so many seeds allow no statement."""
    return f"{count} of {len(SEEDS)} seeds are too few for a statement ({FEWEST_SEEDS} are the least)."


def definition(task: str, recipe: str = REFERENCE) -> Task:
    """The task of a recipe in recipes/results."""
    return load_recipe(f"results/{recipe}").model.task(task).definition()


def heading(task: str) -> str:
    """A task with its metric, and an arrow that says which way is better."""
    defined = definition(task)
    return f"{task}, {defined.metric} {'↑' if defined.higher_is_better else '↓'}"


def worse(task: str, before: float, after: float) -> float:
    """By how many percent a task's metric got worse."""
    return (-100 if definition(task).higher_is_better else 100) * (after - before) / before


def table(names: Sequence[str], figures: Sequence[str], rows: Sequence[Sequence[Value | Cell]], *notes: str) -> str:
    """A Markdown table whose first columns hold names and whose other columns hold figures."""
    columns = (*map(Column, names), *(Column(heading, align="right") for heading in figures))
    return Table(columns, rows, notes).to_markdown()
