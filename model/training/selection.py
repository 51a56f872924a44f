"""Which checkpoint of a run is the best: validation on held-out samples, and the score that compares two of them."""

import math
from dataclasses import dataclass, field

from moesaic.model.recipes.recipe import Recipe
from moesaic.model.tasks.definitions import find_task
from moesaic.model.tasks.delta import delta_m

_LEAST_REFERENCE = 0.01


@dataclass
class Selection:
    """The best validation so far.

    score: higher is better. reference: what the run's first validation measured, by task, but no less than 0.01, as a network
    that has hardly learnt may score 0; "delta_m" scores are relative to it. A task whose first metric is not a number, as of
    images without its truth, has no part in them; a validation that lacks the metric of another one has no score.
    """

    score: float | None = None
    step: int = 0
    reference: dict[str, float] = field(default_factory=dict)

    def update(self, recipe: Recipe, metrics: dict[str, float], step: int) -> bool:
        """Whether these metrics, by task, are better than all before."""
        metrics = {task: value for task, value in metrics.items() if math.isfinite(value)}
        self.reference = self.reference or {task: max(value, _LEAST_REFERENCE) for task, value in metrics.items()}
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
            return delta_m({task: metrics[task] for task in self.reference}, self.reference)
        task = find_task(select, recipe.model.task(select).channels)
        return metrics[select] if task.higher_is_better else -metrics[select]
