"""From a model to a bundle: calibrate, quantise, measure, record golden vectors, write ONNX."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from moesaic.errors import UserError
from moesaic.model.data.dataset import class_names
from moesaic.model.data.image_sources import (
    HeldOut,
    calibration_images,
    first_images,
    open_validation,
    training_scenes,
    validation_scenes,
)
from moesaic.model.evaluate import compare, top_k_agreement
from moesaic.model.network.random_weights import random_model
from moesaic.model.network.vit import M3ViT
from moesaic.model.onnx_export import export_onnx
from moesaic.model.pathways.alternatives import PathwayPlan, add_alternatives, apply_pathways, plan_pathways
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.pathway import apply_pathway
from moesaic.model.pathways.pruning import fine_tune
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.quantisation.calibration import Calibration, calibrate, merge
from moesaic.model.quantisation.golden_vectors import expert_loads, golden_vectors, saturated_shares
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.quantise import quantise
from moesaic.model.quantisation.scales import Scales, choose_scales
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe
from moesaic.spec.bundle import Bundle, Task

CALIBRATION_SCENES = 64
DEFAULT_PTQ = PtqSettings()
AGREEMENT_SCENES = 32  # enough: each has thousands of routing decisions
_RANDOM_CALIBRATION_TOKENS, _RANDOM_CALIBRATION_SCENES = 2048, 4  # at least


def integer_network(
    model: M3ViT,
    images: np.ndarray,
    plan: PathwayPlan | None = None,
    settings: PtqSettings = DEFAULT_PTQ,
    scales: Scales | None = None,
) -> IntegerNetwork:
    """The model quantised with scales from images uint8 [N, height, width, 3]. UserError if it has not the light head.

    plan: the pathways that the network is to have, by default the model's own; the scales suit all of them. Afterwards the model
    has the plan's default. settings: how the scales are chosen. scales: these instead, as fine-tuning in integers leaves them.
    """
    require_light_head(model.configuration)
    if scales is None:
        scales = choose_scales(_calibrate(model, images, plan), model.configuration, settings)
    architecture = dataclasses.replace(model.configuration.architecture, expert_weight_bits=scales.settings.expert_bits)
    if plan is None:
        return IntegerNetwork(architecture, *quantise(model, scales))
    apply_pathway(model, plan.union)
    tasks, tensors = add_alternatives(plan, *quantise(model, scales))
    apply_pathways(model, plan.default)
    return IntegerNetwork(architecture, tasks, tensors)


def _calibrate(model: M3ViT, images: np.ndarray, plan: PathwayPlan | None) -> Calibration:
    """What passes on any pathway of a plan, or on the model's own."""
    if plan is None:
        return calibrate(model, images)
    calibrations = []
    for pathways in plan.every:
        apply_pathways(model, pathways)
        calibrations.append(calibrate(model, images))
    return merge(calibrations)


def require_light_head(configuration: ModelConfiguration) -> None:
    """UserError unless the network has an integer form."""
    if configuration.head != "light":
        head = f"the head {configuration.head!r} has no integer form: the accelerator runs the light head"
        raise UserError(f"{head}; train a recipe with head = 'light', or take `moesaic export --onnx-only`")


def onnx_files(model: M3ViT) -> dict[str, bytes]:
    """The float network by file name: model.onnx has every task, model.TASK.onnx one of them. Any head."""
    names = model.configuration.task_names
    return {"model.onnx": export_onnx(model, names)} | {
        f"model.{task}.onnx": export_onnx(model, (task,)) for task in names
    }


def build_bundle(
    name: str,
    model: M3ViT,
    recipe: Recipe,
    *,
    budget: Budget | None = None,
    alternatives: dict[str, Budget] | None = None,
    fine_tune_steps: int = 0,
    advance: Callable[[], None] = lambda: None,
    validation: int = 128,
    calibration: int = CALIBRATION_SCENES,
    settings: PtqSettings = DEFAULT_PTQ,
    scales: Scales | None = None,
    data_root: Path | None = None,
) -> Bundle:
    """The bundle of a trained model.

    budget: keep only that much of the experts for each task, by their usage on the calibration images (the model's routers are
    restricted too, so that the float figures are those of the same pathway). alternatives: name to the budget of another pathway
    of every task. fine_tune_steps: train on first, the pathways taking turns; advance is called after each step. validation,
    calibration: number of held-out images for the accuracy figures and of training images for the scales, of the recipe's data.
    settings, scales: see `integer_network`. data_root: where the data set's files are.
    """
    require_light_head(model.configuration)
    model.eval()
    seen = calibration_images(recipe, data_root, calibration)
    usage = measure_usage(model, seen)
    plan = plan_pathways(model, usage, budget, alternatives or {})
    if fine_tune_steps:
        fine_tune(model, recipe, plan.every, fine_tune_steps, data_root=data_root, advance=advance)
    network = integer_network(model, seen, plan, settings, scales)
    data = dataclasses.replace(recipe.data, validation=validation)
    held_out = open_validation(dataclasses.replace(recipe, data=data), data_root)
    tasks = _with_metrics(model, network, plan, held_out)
    return Bundle(
        name=name,
        architecture=network.architecture,
        tasks=_with_class_names(tasks, recipe),
        tensors=network.tensors,
        golden=golden_vectors(network, first_images(held_out, 1)[0]),
        extra_files=onnx_files(model),
        report={
            "router_topk_agreement": top_k_agreement(model, network, first_images(held_out, AGREEMENT_SCENES)),
            "expert_usage": {
                task: {str(i): [round(float(part), 6) for part in one.share] for i, one in blocks.items()}
                for task, blocks in usage.items()
            },
            "validation_scenes": validation,
            "quantisation": dataclasses.asdict(scales.settings if scales else settings),
            "recipe": recipe.to_dict(),
        },
    )


def _with_metrics(model: M3ViT, network: IntegerNetwork, plan: PathwayPlan, data: HeldOut) -> dict[str, Task]:
    """The network's tasks with the accuracy of each pathway."""
    measured = {}
    for alternative, pathways in plan.alternatives.items():
        apply_pathways(model, pathways)
        measured[alternative] = compare(model, network, data, alternative)
    apply_pathways(model, plan.default)
    default = compare(model, network, data)
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


def _with_class_names(tasks: dict[str, Task], recipe: Recipe) -> dict[str, Task]:
    """The tasks with the names that the recipe's data has for their classes."""
    names = class_names(recipe.data.name)
    return {name: dataclasses.replace(task, class_names=tuple(names.get(name, ()))) for name, task in tasks.items()}


def build_random_bundle(name: str, recipe: Recipe, seed: int, settings: PtqSettings = DEFAULT_PTQ) -> Bundle:
    """The bundle of a network that was never trained, for measuring speed: see `moesaic.model.network.random_weights`.

    It takes the road of a trained one, but has no accuracy and no ONNX. The updates and the routers' loads are adjusted on
    the image of the golden vectors, so that this frame has the loads that were asked for; the scales come from other
    scenes. The report has "random_weights" (the seed), "expert_load" and "saturated_shares" of the golden vectors.
    """
    require_light_head(recipe.model)
    image = validation_scenes(recipe, 1).images
    model = random_model(recipe.model, seed, image)
    scenes = max(_RANDOM_CALIBRATION_SCENES, math.ceil(_RANDOM_CALIBRATION_TOKENS / recipe.model.tokens))
    network = integer_network(model, training_scenes(recipe, 0, scenes).images, settings=settings)
    golden = golden_vectors(network, image[0])
    return Bundle(
        name=name,
        architecture=network.architecture,
        tasks=_with_class_names(network.tasks, recipe),
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
