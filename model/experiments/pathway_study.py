"""What a budget of experts costs each task, and what it saves: accuracy, bytes and multiply-accumulates by budget."""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.samples import Dataset
from moesaic.model.evaluation.evaluate import measure_float, measure_integer
from moesaic.model.finetuning.pathway_training import fine_tune_on_pathways
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.alternatives import PathwayPlan, pathways_within
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.pathway import Pathways, on_pathways, whole_network
from moesaic.model.pathways.usage import Usage
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe
from moesaic.spec.bundle import Alternative
from moesaic.spec.cost import dram_bytes, frame_macs, weight_bytes


@dataclass(frozen=True)
class Point:
    """One task under one budget.

    experts: those kept, by MoE block. kept: their number over all blocks. top_k: experts per token. value: the task's metric in
    float. integer: the metric in integers, None if it was not measured. weight_bytes, dram_bytes, macs: for one frame, see
    `moesaic.spec.cost`. change: of `value` from the whole network's, in percent, positive when worse.
    """

    task: str
    budget: str
    experts: dict[int, tuple[int, ...]]
    kept: int
    top_k: int
    value: float
    integer: float | None
    change: float
    weight_bytes: int
    dram_bytes: int
    macs: int


@dataclass(frozen=True)
class PathwayStudy:
    """The measurements of all tasks and budgets.

    scope: of the budgets, "layer" or "task". fine_tuned: steps of fine-tuning per number of experts. samples: number of held-out
    samples. metrics: task to (name, whether higher is better). usage: of the whole network. points: for every task and budget; the
    first of each task is the whole network.
    """

    scope: str
    fine_tuned: int
    samples: int
    configuration: ModelConfiguration
    metrics: dict[str, tuple[str, bool]]
    usage: Usage
    points: list[Point]

    def to_dict(self) -> dict:
        """The study in plain types, as in pathways.json."""
        return {
            "scope": self.scope,
            "fine_tuned_steps": self.fine_tuned,
            "samples": self.samples,
            "model": dataclasses.asdict(self.configuration),
            "metrics": {
                task: {"metric": name, "higher_is_better": higher} for task, (name, higher) in self.metrics.items()
            },
            "usage": {
                task: {
                    str(i): {
                        "tokens": u.tokens,
                        "counts": u.counts.tolist(),
                        "score_mass": np.round(u.mass, 4).tolist(),
                    }
                    for i, u in blocks.items()
                }
                for task, blocks in self.usage.items()
            },
            "points": [dataclasses.asdict(point) for point in self.points],
        }


def grid(experts: list[int], top_ks: list[int], scope: str, blocks: int) -> list[Budget]:
    """Every number of experts combined with every top-k, except where a token would go to more experts than a block keeps.

    scope: "layer" or "task". blocks: number of MoE blocks, which share a budget of scope "task". UserError if no budget is left.
    """
    share = blocks if scope == "task" else 1
    budgets = [Budget(e, k, scope) for e in experts for k in top_ks if k * share <= e]
    if not budgets:
        raise UserError(
            f"no budget is left: each of {experts} experts {'over all blocks' if share > 1 else 'a block'} is too few for"
            f" every top-k of {top_ks}; lower the top-k"
        )
    return list(dict.fromkeys(budgets))


def measure_budgets(
    model: M3ViT,
    recipe: Recipe,
    usage: Usage,
    calibration: np.ndarray,
    held_out: Dataset,
    budgets: list[Budget],
    *,
    integers: bool = False,
    fine_tune_steps: int = 0,
    data_root: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> PathwayStudy:
    """Measure the whole network and each budget on held-out samples.

    usage: of the whole network. calibration: images uint8 [N, height, width, 3], for the scales of integers. integers: also measure
    the integer network. fine_tune_steps: before measuring, fine-tune a copy of the model for each number of experts, on all its
    values of top-k in turn. data_root: directory of the data set's files, None for scenes. advance: called after each step of
    fine-tuning and after each budget. UserError if a budget cannot be met or the model does not have the light head.
    """
    c = model.configuration
    c.require_linear_gate()
    if not c.has_integer_form:
        raise UserError(f"the costs of the head {c.head!r} are not known here: use a model with the light head")
    tuned: dict[str, tuple[M3ViT, dict[str, Pathways]]] = {"": (model, {"all": whole_network(model)})}
    for budget in budgets:
        group = str(budget.experts) if fine_tune_steps else ""
        if group not in tuned:
            tuned[group] = copy.deepcopy(model), {}
        tuned[group][1][str(budget)] = pathways_within(model, usage, budget)
    points: list[Point] = []
    metrics = {task.name: task.definition() for task in c.tasks_with_truth}
    reference: dict[str, float] = {}
    for group, (one, pathways) in tuned.items():
        if group:
            every = list(pathways.values())
            fine_tune_on_pathways(one, recipe, every, fine_tune_steps, data_root=data_root, advance=advance)
        for name, in_float, in_integers in _measured(one, pathways, calibration, held_out, integers):
            reference = reference or in_float
            for task, definition in metrics.items():
                worse = reference[task] - in_float[task]
                if not definition.higher_is_better:
                    worse = -worse
                change = 100 * worse / abs(reference[task]) if reference[task] else 0.0
                points.append(
                    _point(c, task, name, pathways[name][task], in_float[task], in_integers.get(task), change)
                )
            advance()
    order = {task: n for n, task in enumerate(c.task_names)}
    points.sort(key=lambda point: order[point.task])
    judged = {name: (definition.metric_name, definition.higher_is_better) for name, definition in metrics.items()}
    scope = budgets[0].scope if budgets else "layer"
    return PathwayStudy(scope, fine_tune_steps, len(held_out), c, judged, usage, points)


def _measured(
    model: M3ViT, pathways: dict[str, Pathways], calibration: np.ndarray, held_out: Dataset, integers: bool
) -> Iterator[tuple[str, dict[str, float], dict[str, float]]]:
    """Each pathway's name and its metrics in float and in integers; one quantised network serves all pathways."""
    first, *others = pathways
    network = None
    if integers:
        plan = PathwayPlan(pathways[first], {name: pathways[name] for name in others})
        network = integer_network(model, calibration, plan)
    for name, one in pathways.items():
        exact = {}
        if network:
            exact = measure_integer(network, model.configuration, held_out, None if name == first else name)
        with on_pathways(model, one):
            in_float = measure_float(model, held_out)
        yield name, in_float, exact


def _point(
    c: ModelConfiguration,
    task: str,
    budget: str,
    chosen: Alternative,
    value: float,
    integer: float | None,
    change: float,
) -> Point:
    described = c.bundle_task(task, chosen)
    costs = (count(c.architecture, described) for count in (weight_bytes, dram_bytes, frame_macs))
    kept = sum(map(len, chosen.pathway.values()))
    return Point(task, budget, chosen.pathway, kept, chosen.top_k, value, integer, change, *costs)
