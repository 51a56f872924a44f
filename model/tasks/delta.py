"""Delta_m: how much better or worse a multi-task model is than one single-task model per task."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.tasks.definitions import TASKS
from spec.errors import UserError


def delta_m(results: Mapping[str, float], single_task_results: Mapping[str, float]) -> float:
    """The mean over tasks of the relative change against the single-task results, in percent, positive where better.

    Maninis et al., Attentive Single-Tasking of Multiple Tasks, CVPR 2019, section 4: a change counts with its sign reversed
    where lower is better. Both arguments: task to its metric. UserError unless both have the same tasks, one or more, and
    every single-task result is positive.
    """
    for here, there, what in (
        (results, single_task_results, "single-task"),
        (single_task_results, results, "multi-task"),
    ):
        if missing := [task for task in here if task not in there]:
            raise UserError(f"delta_m: no {what} result for {', '.join(missing)}: measure the same tasks on both sides")
    if not results:
        raise UserError("delta_m: no results: measure one task or more")
    changes = []
    for task, result in results.items():
        single = single_task_results[task]
        if not single > 0:
            raise UserError(
                f"delta_m: the single-task result of {task} is {single}, not above 0: no change relates to it"
            )
        changes.append((1 if TASKS[task].higher_is_better else -1) * (result - single) / single)
    return 100 * statistics.fmean(changes)


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (0 of a single value) of `count` values."""

    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0, len(values))

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ± {self.deviation:.2f}"


def delta_m_of_seeds(runs: Sequence[Mapping[str, float]], single_task_runs: Mapping[str, Sequence[float]]) -> Spread:
    """Mean and spread of `delta_m` over runs that differ in their seed.

    runs: the results of each multi-task run. single_task_runs: task to the results of its single-task runs, whose mean every
    run is compared with. UserError as in `delta_m`, and without any run.
    """
    if not runs:
        raise UserError("delta_m: no runs: give one or more")
    for task, values in single_task_runs.items():
        if not values:
            raise UserError(f"delta_m: no single-task result for {task}: give one or more")
    single = {task: statistics.fmean(values) for task, values in single_task_runs.items()}
    return Spread.of([delta_m(run, single) for run in runs])
