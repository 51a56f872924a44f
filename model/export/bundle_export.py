"""From a model to a bundle: calibrate, quantise, measure, record golden vectors, export ONNX."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from moesaic.model.data.registry import class_names
from moesaic.model.data.samples import Dataset
from moesaic.model.evaluation.agreement import AGREEMENT_SCENES, top_k_agreement
from moesaic.model.evaluation.evaluate import compare
from moesaic.model.evaluation.layer_figures import FIGURE_PICTURES, measure_layers
from moesaic.model.export.onnx_export import onnx_files
from moesaic.model.export.qdq_export import qdq_decibels, qdq_files
from moesaic.model.finetuning.pathway_training import fine_tune_on_pathways
from moesaic.model.input_pipeline.held_out import (
    calibration_images,
    first_images,
    open_validation,
    training_scenes,
    validation_scenes,
)
from moesaic.model.network.random_weights import random_model
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.alternatives import plan_pathways
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.pathway import on_pathways
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.quantisation.golden_vectors import expert_loads, golden_vectors, saturated_shares
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import (
    CALIBRATION_SCENES,
    DEFAULT_PTQ,
    calibrated,
    integer_network,
    require_integer_form,
)
from moesaic.model.quantisation.scales import Scales
from moesaic.model.quantisation.settings import NEAREST, PtqSettings
from moesaic.model.recipes.recipe import Recipe
from moesaic.spec.bundle import Bundle, Task

_QDQ_IMAGES = 8  # to compare quantised ONNX with the integers on
_RANDOM_CALIBRATION_TOKENS, _RANDOM_CALIBRATION_SCENES = 2048, 4  # minimum of each


def build_bundle(
    name: str,
    model: M3ViT,
    recipe: Recipe,
    *,
    budget: Budget | None = None,
    alternatives: dict[str, Budget] | None = None,
    fine_tune_steps: int = 0,
    console: Console | None = None,
    validation: int = 128,
    calibration: int = CALIBRATION_SCENES,
    settings: PtqSettings = DEFAULT_PTQ,
    scales: Scales | None = None,
    data_root: Path | None = None,
    pictures: Path | None = None,
    qdq: bool = False,
) -> Bundle:
    """The bundle of a trained model.

    budget: limits each task to the experts that it uses most on the calibration images, None to keep all; the float accuracy and the
    ONNX files are for the same pathways. alternatives: name to the budget of an additional pathway of every task.
    fine_tune_steps: first train the model on these pathways in turn. console: where to show progress bars. validation: number of
    held-out images for the accuracy figures. calibration: number of training images for the scales. settings, scales: see
    `integer_network`. data_root: directory of the data set's files, None for scenes. pictures: a folder with pictures to calibrate on
    instead; without data_root they also are the held-out images, without accuracy. The report has "layers", the figures of
    `measure_layers` on the first held-out images, or on these pictures, and "expert_bits", the `MeasuredBits` of experts that were
    chosen for 4 bits. qdq: add
    quantised ONNX files, and how near onnxruntime's outputs of them are on calibration images to the report's "qdq_decibels".
    UserError if the model does not have the light head, a budget cannot be met, or the data cannot be read.
    """
    require_integer_form(model.configuration)
    model.eval()
    seen = calibration_images(recipe, data_root, calibration, pictures)
    usage = measure_usage(model, seen)
    plan = plan_pathways(model, usage, budget, alternatives or {})
    if fine_tune_steps:
        with Progress(console=console, disable=console is None) as progress:
            bar = progress.add_task("fine-tuning", total=fine_tune_steps)
            fine_tune_on_pathways(
                model,
                recipe,
                plan.every,
                fine_tune_steps,
                data_root=data_root,
                advance=lambda: progress.advance(bar),
            )
    rounded, scales = calibrated(model, seen, settings, plan, scales, console)
    network = integer_network(rounded, seen, plan, scales=scales)
    data = dataclasses.replace(recipe.data, validation=validation)
    held_out = open_validation(dataclasses.replace(recipe, data=data), data_root, pictures)
    tasks = _with_metrics(model, network, held_out)
    judged = (seen if pictures else first_images(held_out, FIGURE_PICTURES))[:FIGURE_PICTURES]
    layers = measure_layers(model, network, scales, judged)
    with on_pathways(model, plan.default):
        files = onnx_files(model)
    quantised = qdq_files(network) if qdq else {}
    return Bundle(
        name=name,
        architecture=network.architecture,
        tasks=_with_class_names(tasks, recipe, held_out.class_names),
        tensors=network.tensors,
        golden=golden_vectors(network, first_images(held_out, 1)[0]),
        extra_files=files | quantised,
        report={
            "router_topk_agreement": top_k_agreement(model, network, first_images(held_out, AGREEMENT_SCENES)),
            "expert_usage": {
                task: {str(i): [round(float(part), 6) for part in one.share] for i, one in blocks.items()}
                for task, blocks in usage.items()
            },
            "layers": {name: dataclasses.asdict(figures) for name, figures in layers.items()},
            "validation_scenes": validation,
            "quantisation": dataclasses.asdict(scales.settings),
            **({"expert_bits": dataclasses.asdict(measured)} if (measured := scales.measured_bits) else {}),
            "recipe": recipe.to_dict(),
            **({"qdq_decibels": qdq_decibels(network, quantised, seen[:_QDQ_IMAGES])} if qdq else {}),
        },
        input=recipe.model.input,
    )


def _with_metrics(model: M3ViT, network: IntegerNetwork, data: Dataset) -> dict[str, Task]:
    """The network's tasks with the accuracy on each of their pathways."""
    alternatives = next(iter(network.tasks.values())).alternatives  # every task has the same ones
    measured = {alternative: compare(model, network, data, alternative) for alternative in alternatives}
    default = compare(model, network, data)
    return {
        name: dataclasses.replace(
            task,
            metrics=default.get(name, {}),
            alternatives={
                alternative: dataclasses.replace(one, metrics=measured[alternative].get(name, {}))
                for alternative, one in task.alternatives.items()
            },
        )
        for name, task in network.tasks.items()
    }


def _with_class_names(tasks: dict[str, Task], recipe: Recipe, names: Mapping[str, tuple[str, ...]]) -> dict[str, Task]:
    """The tasks with their classes' names: the recipe's, or those that the data set has for their kind."""
    own = {task.name: task.class_names for task in recipe.model.tasks}
    return {
        name: dataclasses.replace(task, class_names=own[name] or tuple(names.get(task.kind, ())))
        for name, task in tasks.items()
    }


def build_random_bundle(
    name: str, recipe: Recipe, seed: int, settings: PtqSettings = DEFAULT_PTQ, budget: Budget | None = None
) -> Bundle:
    """The bundle of an untrained network for measuring speed, see `moesaic.model.network.random_weights`.

    budget: limits each task to the experts that it uses most on the scenes that the scales come from; None keeps all.

    It is made like that of a trained network, but has no accuracy figures and no ONNX files. Updates and router loads are adjusted on
    the image of the golden vectors, so that this frame has the intended loads; the scales come from other scenes. Weights are rounded to
    the nearest integer whatever the settings say, since there is no accuracy to keep. The report has
    "random_weights" (the seed), the golden vectors' "expert_load" and "saturated_shares", and "expert_bits" as that of `build_bundle`.
    UserError without the light head.
    """
    require_integer_form(recipe.model)
    image = validation_scenes(recipe, 1).images
    model = random_model(recipe.model, seed, image)
    scenes = max(_RANDOM_CALIBRATION_SCENES, math.ceil(_RANDOM_CALIBRATION_TOKENS / recipe.model.tokens))
    settings = dataclasses.replace(settings, rounding=NEAREST)
    seen = training_scenes(recipe, 0, scenes).images
    plan = None if budget is None else plan_pathways(model, measure_usage(model, seen), budget, {})
    _, scales = calibrated(model, seen, settings, plan)
    network = integer_network(model, seen, plan, scales=scales)
    golden = golden_vectors(network, image[0])
    return Bundle(
        name=name,
        architecture=network.architecture,
        tasks=_with_class_names(network.tasks, recipe, class_names(recipe.data.name)),
        tensors=network.tensors,
        golden=golden,
        report={
            "random_weights": seed,
            **({"expert_bits": dataclasses.asdict(measured)} if (measured := scales.measured_bits) else {}),
            "expert_load": {
                task: {str(i): load for i, load in blocks.items()}
                for task, blocks in expert_loads(network.tasks, golden).items()
            },
            "saturated_shares": {name: round(share, 6) for name, share in saturated_shares(golden).items() if share},
            "recipe": recipe.to_dict(),
        },
        input=recipe.model.input,
    )
