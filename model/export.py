"""From a model to a bundle: calibrate, quantise, measure, record golden vectors, write ONNX."""

import dataclasses
import math

import numpy as np

from model.configuration import ModelConfiguration, Recipe
from model.data.scenes import Scenes
from model.evaluate import measure_float, measure_integer, top_k_agreement
from model.network.random_weights import random_model
from model.network.vit import M3ViT
from model.onnx_export import export_onnx
from model.pathways.alternatives import PathwayPlan, add_alternatives, apply_pathways, plan_pathways
from model.pathways.budgets import Budget
from model.pathways.pathway import apply_pathway
from model.pathways.usage import measure_usage
from model.quantisation.calibration import calibrate, merge
from model.quantisation.golden import expert_loads, golden_vectors, saturated_shares
from model.quantisation.integer import IntegerNetwork
from model.quantisation.quantise import describe, quantise
from model.tasks.definitions import find_task
from model.training.sources import training_scenes, validation_scenes
from spec.bundle import Bundle, Task
from spec.errors import UserError

CALIBRATION_SCENES = 64
AGREEMENT_SCENES = 32  # enough: each has thousands of routing decisions
_RANDOM_CALIBRATION_TOKENS, _RANDOM_CALIBRATION_SCENES = 2048, 4  # at least


def integer_network(model: M3ViT, images: np.ndarray, plan: PathwayPlan | None = None) -> IntegerNetwork:
    """The model quantised with scales from images uint8 [N, height, width, 3]. UserError if it has not the light head.

    plan: the pathways that the network is to have, by default the model's own; the scales suit all of them. Afterwards the model
    has the plan's default.
    """
    _require_light_head(model.configuration)
    if plan is None:
        tasks, tensors = quantise(model, calibrate(model, images))
        return IntegerNetwork(describe(model), tasks, tensors)
    calibrations = []
    for pathways in plan.every:
        apply_pathways(model, pathways)
        calibrations.append(calibrate(model, images))
    apply_pathway(model, plan.union)
    tasks, tensors = add_alternatives(plan, *quantise(model, merge(calibrations)))
    apply_pathways(model, plan.default)
    return IntegerNetwork(describe(model), tasks, tensors)


def _require_light_head(configuration: ModelConfiguration) -> None:
    if configuration.head != "light":
        head = f"the head {configuration.head!r} has no integer form: the accelerator runs the light head"
        raise UserError(f"{head}; train a recipe with head = 'light', or export this model as ONNX alone")


def compare(
    model: M3ViT, network: IntegerNetwork, scenes: Scenes, alternative: str | None = None
) -> dict[str, dict]:
    """By task: the metric's name, whether higher is better, and its value in float and in integers.

    alternative: the pathway of the integer network that the model has, None for its default.
    """
    c = model.configuration
    in_float, in_integers = measure_float(model, scenes), measure_integer(network, c, scenes, alternative)
    definitions = {task.name: find_task(task.name, task.channels) for task in c.tasks}
    return {
        name: {
            "metric": definition.metric,
            "higher_is_better": definition.higher_is_better,
            "float": in_float[name],
            "integer": in_integers[name],
        }
        for name, definition in definitions.items()
    }


def build_bundle(
    name: str,
    model: M3ViT,
    recipe: Recipe,
    *,
    budget: Budget | None = None,
    alternatives: dict[str, Budget] | None = None,
    validation: int = 128,
    calibration: int = CALIBRATION_SCENES,
) -> Bundle:
    """The bundle of a trained model.

    budget: keep only that much of the experts for each task, by their usage on the calibration scenes (the model's routers are
    restricted too, so that the float figures are those of the same pathway). alternatives: name to the budget of another pathway
    of every task. validation, calibration: number of held-out scenes for the accuracy figures and of training scenes for the
    scales.
    """
    _require_light_head(model.configuration)
    model.eval()
    seen = training_scenes(recipe, 0, calibration).images
    usage = measure_usage(model, seen)
    plan = plan_pathways(model, usage, budget, alternatives or {})
    network = integer_network(model, seen, plan)
    held_out = validation_scenes(recipe, validation)
    names = model.configuration.task_names
    tasks = _with_metrics(model, network, plan, held_out)
    files = {f"model.{task}.onnx": export_onnx(model, (task,)) for task in names}
    return Bundle(
        name=name,
        architecture=network.architecture,
        tasks=tasks,
        tensors=network.tensors,
        golden=golden_vectors(network, held_out.images[0]),
        extra_files={"model.onnx": export_onnx(model, names), **files},
        report={
            "router_topk_agreement": top_k_agreement(model, network, held_out.images[:AGREEMENT_SCENES]),
            "expert_usage": {
                task: {str(i): [round(float(part), 6) for part in one.share] for i, one in blocks.items()}
                for task, blocks in usage.items()
            },
            "validation_scenes": validation,
            "recipe": recipe.to_dict(),
        },
    )


def _with_metrics(model: M3ViT, network: IntegerNetwork, plan: PathwayPlan, scenes: Scenes) -> dict[str, Task]:
    """The network's tasks with the accuracy of each pathway."""
    measured = {}
    for alternative, pathways in plan.alternatives.items():
        apply_pathways(model, pathways)
        measured[alternative] = compare(model, network, scenes, alternative)
    apply_pathways(model, plan.default)
    default = compare(model, network, scenes)
    return {
        name: dataclasses.replace(
            task,
            metrics=default[name],
            alternatives={
                alternative: dataclasses.replace(one, metrics=measured[alternative][name])
                for alternative, one in task.alternatives.items()
            },
        )
        for name, task in network.tasks.items()
    }


def build_random_bundle(name: str, recipe: Recipe, seed: int) -> Bundle:
    """The bundle of a network that was never trained, for measuring speed: see `model.network.random_weights`.

    It takes the road of a trained one, but has no accuracy and no ONNX. The updates and the routers' loads are adjusted on
    the image of the golden vectors, so that this frame has the loads that were asked for; the scales come from other
    scenes. The report has "random_weights" (the seed), "expert_load" and "saturated_shares" of the golden vectors.
    """
    _require_light_head(recipe.model)
    image = validation_scenes(recipe, 1).images
    model = random_model(recipe.model, seed, image)
    scenes = max(_RANDOM_CALIBRATION_SCENES, math.ceil(_RANDOM_CALIBRATION_TOKENS / recipe.model.tokens))
    network = integer_network(model, training_scenes(recipe, 0, scenes).images)
    golden = golden_vectors(network, image[0])
    return Bundle(
        name=name,
        architecture=network.architecture,
        tasks=network.tasks,
        tensors=network.tensors,
        golden=golden,
        report={
            "random_weights": seed,
            "expert_load": {
                task: {str(i): load for i, load in blocks.items()}
                for task, blocks in expert_loads(network.tasks, golden).items()
            },
            "saturated_shares": {name: round(share, 6) for name, share in saturated_shares(golden).items() if share},
            "recipe": recipe.to_dict(),
        },
    )
