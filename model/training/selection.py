"""Which checkpoint of a run is the best: validation on held-out samples, and the score that compares two of them."""

from dataclasses import dataclass, field

from model.configuration import Recipe
from model.tasks.definitions import find_task
from model.tasks.delta import delta_m

_LEAST_REFERENCE = 0.01


@dataclass
class Selection:
    """The best validation so far.

    score: higher is better. reference: what the run's first validation measured, by task, but no less than 0.01, as a network
    that has hardly learnt may score 0; "delta_m" scores are relative to it.
    """

    score: float | None = None
    step: int = 0
    reference: dict[str, float] = field(default_factory=dict)

    def update(self, recipe: Recipe, metrics: dict[str, float], step: int) -> bool:
        """Whether these metrics, by task, are better than all before."""
        self.reference = self.reference or {task: max(value, _LEAST_REFERENCE) for task, value in metrics.items()}
        score = self._score(recipe, metrics)
        if self.score is not None and score <= self.score:
            return False
        self.score, self.step = score, step
        return True

    def _score(self, recipe: Recipe, metrics: dict[str, float]) -> float:
        select = recipe.training.select
        if select == "delta_m":
            return delta_m(metrics, self.reference)
        task = find_task(select, recipe.model.task(select).channels)
        return metrics[select] if task.higher_is_better else -metrics[select]
