"""Delta_m: how much better or worse a multi-task model is than one single-task model per task."""

import statistics
from collections.abc import Mapping
from types import MappingProxyType

from moesaic.errors import UserError
from moesaic.model.tasks.registry import task_kind


def delta_m(
    results: Mapping[str, float],
    single_task_results: Mapping[str, float],
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> float:
    """Mean over tasks of the relative change from the single-task results, in percent; positive means better.

    Maninis et al., Attentive Single-Tasking of Multiple Tasks, CVPR 2019, section 4; the sign is reversed for metrics where
    lower is better. The first two arguments map tasks to metrics. kinds: of the tasks that are not named after theirs. UserError
    unless both have the same tasks, at least one, and every single-task result is positive.
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
        changes.append((1 if task_kind(kinds.get(task, task)).higher_is_better else -1) * (result - single) / single)
    return 100 * statistics.fmean(changes)
