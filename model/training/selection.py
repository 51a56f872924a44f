"""Selection of a run's best checkpoint by a score of its validation metrics."""

import math
from dataclasses import dataclass, field

from moesaic.model.recipes.recipe import Recipe
from moesaic.model.tasks.delta import delta_m
from moesaic.model.tasks.registry import task_kind

_LEAST_REFERENCE = 0.01


@dataclass
class Selection:
    """The best validation so far.

    score: higher is better; None before the first. step: its number of training steps. reference: the metrics by task relative to which
    "delta_m" scores are computed: those of the recipe, else of the run's first validation, but at least 0.01, as a network that has
    hardly learnt may score 0. A task whose first metric is not finite (its images have no ground truth) is left out of "delta_m"; a
    later validation that lacks the metric of a remaining task has no score.
    """

    score: float | None = None
    step: int = 0
    reference: dict[str, float] = field(default_factory=dict)

    def update(self, recipe: Recipe, metrics: dict[str, float], step: int) -> bool:
        """Take in the metrics, by task, of the validation at `step`; returns whether they are the best so far."""
        metrics = {task: value for task, value in metrics.items() if math.isfinite(value)}
        first = {task: max(value, _LEAST_REFERENCE) for task, value in metrics.items()}
        self.reference = self.reference or dict(recipe.training.reference) or first
        score = self._score(recipe, metrics)
        if score is None or (self.score is not None and score <= self.score):
            return False
        self.score, self.step = score, step
        return True

    def _score(self, recipe: Recipe, metrics: dict[str, float]) -> float | None:
        select = recipe.training.select
        wanted = self.reference.keys() if select == "delta_m" else {select}
        if not wanted or wanted - metrics.keys():
            return None
        if select == "delta_m":
            kinds = {task.name: task.kind for task in recipe.model.tasks}
            return delta_m({task: metrics[task] for task in self.reference}, self.reference, kinds)
        kind = task_kind(recipe.model.task(select).kind)
        return metrics[select] if kind.higher_is_better else -metrics[select]
