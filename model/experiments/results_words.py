"""How estimates and verdicts are worded on the results page."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from moesaic.model.experiments.paired import Estimate, estimate
from moesaic.model.experiments.results_design import FEWEST_SEEDS, REFERENCE
from moesaic.model.recipes.recipe import load_recipe
from moesaic.pages.number_formats import decimals, signed
from moesaic.pages.tables import Cell, Column, Table, Value

if TYPE_CHECKING:
    from moesaic.model.tasks.task import Task

SIGNIFICANT = 0.05


def spread(values: Sequence[float], digits: int = 4) -> str:
    """The mean over the seeds and half of its 95 % interval; a dash without values, and the value alone if there is one."""
    return written(estimate(values), digits) if values else "–"


def written(found: Estimate, digits: int = 4) -> str:
    """An estimate as its mean and half of its 95 % interval."""
    mean = decimals(digits)(round(found.mean, digits) + 0.0)  # no -0.00
    return mean if found.half_width is None else f"{mean} ± {found.half_width:.{digits}f}"


def interval(found: Estimate, digits: int = 2, unit: str = "") -> str:
    """The interval in words; the mean if there is none. unit: appended as it is."""
    sign = signed(digits)
    if found.low is None or found.high is None:
        return f"{sign(found.mean)}{unit}"
    return f"{sign(found.low)} to {sign(found.high)}{unit}"


def probability(p: float | None) -> str:
    """A p-value; a dash if there is none."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def is_shown(found: Estimate | None, adjusted: float | None) -> bool:
    """Whether a difference is shown: enough seeds, an interval without 0, and a corrected p-value below SIGNIFICANT."""
    if found is None or adjusted is None or found.count < FEWEST_SEEDS:
        return False
    return found.sign != 0 and adjusted < SIGNIFICANT


def stressed(text: str, shown: bool) -> Value | Cell:
    """The entry of a table, strong only where a difference is shown."""
    return Cell(text, "strong") if shown else text


def paragraph(*sentences: str) -> str:
    """A paragraph of Markdown from its sentences, in lines of at most 140 characters where words allow."""
    return textwrap.fill(" ".join(sentences), 140, break_long_words=False, break_on_hyphens=False)


def bullets(points: Sequence[str]) -> str:
    """A list of Markdown, its lines as in `paragraph`."""
    wrap = textwrap.TextWrapper(140, "- ", "  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrap.fill(point) for point in points)


@functools.cache
def definition(task: str) -> Task:
    """A task of the main setting."""
    return load_recipe(f"results/{REFERENCE}").model.task(task).definition()


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
