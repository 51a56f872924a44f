"""What `moesaic evaluate` measured, as a JSON file."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moesaic.files import write_file
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.tasks.delta import delta_m


def delta_figures(recipe: Recipe, metrics: Mapping[str, Mapping]) -> dict[str, float]:
    """Delta_m of "float" and "integer" against the recipe's reference figures, in percent; of neither without such figures.

    metrics: as `moesaic.model.evaluation.evaluate.compare` gives them. A network without a finite metric of every task has none.
    """
    reference = dict(recipe.training.reference)
    kinds = {task.name: task.kind for task in recipe.model.tasks}
    found = {}
    for network in ("float", "integer") if reference else ():
        values = {task: metrics.get(task, {}).get(network, math.nan) for task in reference}
        if all(map(math.isfinite, values.values())):
            found[network] = delta_m(values, reference, kinds)
    return found


def write_figures(
    path: Path, checkpoint: Path, step: int, recipe: Recipe, samples: int, metrics: Mapping[str, Mapping]
) -> None:
    """Write the metrics and what they are of. What was not measured, such as the IoU of a class that is nowhere, is null.

    UserError if the file cannot be written.
    """
    content = {
        "checkpoint": str(checkpoint),
        "step": step,
        "data": recipe.data.name,
        "samples": samples,
        "tasks": metrics,
        "delta_m": delta_figures(recipe, metrics),
        "recipe": recipe.to_dict(),
    }
    write_file(path, json.dumps(finite(content), indent=1, allow_nan=False).encode() + b"\n")


def finite(value: Any) -> Any:
    """The same with None in place of numbers that are not finite, which JSON does not have."""
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
