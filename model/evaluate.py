"""Predictions and metrics, of the float network and of the integer network on the same images."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moesaic.errors import UserError
from moesaic.model.data.dataset import Batch, require_tasks
from moesaic.model.data.image_sources import HeldOut, Images, normalise
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.usage import chosen_experts
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.recipes.recipe import ModelConfiguration
from moesaic.model.tasks.definitions import TASKS, find_task
from moesaic.spec.arithmetic import route_token
from moesaic.spec.pathway_names import pathway_name

_BATCH, _BATCH_PIXELS = 32, 1 << 20  # at most, so that predictions of many classes fit in memory

Predictor = Callable[[np.ndarray, str], np.ndarray]


def _batch_of(configuration: ModelConfiguration) -> int:
    """Images that are taken at once."""
    return max(1, min(_BATCH, _BATCH_PIXELS // (configuration.image_height * configuration.image_width)))


def predict(model: M3ViT, images: np.ndarray, task: str) -> np.ndarray:
    """The float network's prediction [N, C, h, w], float32, for images uint8 [N, h, w, 3]."""
    device, size = model.device, _batch_of(model.configuration)
    with torch.inference_mode():
        parts = [
            model(normalise(images[i : i + size]).to(device), task).float().cpu().numpy()
            for i in range(0, len(images), size)
        ]
    return np.concatenate(parts)


def float_predictor(model: M3ViT) -> Predictor:
    """The float network as `evaluate` takes it."""
    return lambda images, task: predict(model, images, task)


def integer_predictor(network: IntegerNetwork, alternative: str | None = None) -> Predictor:
    """The integer network as `evaluate` takes it, on its default pathways or on an alternative that all tasks have."""
    return lambda images, task: network.predict(images, pathway_name(task, alternative))


def evaluate(
    predictors: Mapping[str, Predictor],
    configuration: ModelConfiguration,
    data: HeldOut,
    console: Console | None = None,
) -> dict[str, dict[str, float]]:
    """Every task's metric for several networks, predictor's name by predictor's name, in one pass over the data.

    predictors: functions of images uint8 [N, h, w, 3] and a task that give its prediction [N, C, h, w]. data: with truth for all
    tasks; it is read batch by batch, so that a data set need not fit in memory. console: where to show a progress bar.
    UserError if a data set lacks a task or its samples are of another size than the configuration's.
    """
    tasks = {task.name: find_task(task.name, task.channels) for task in configuration.tasks}
    if not hasattr(data, "images"):
        require_tasks(data, {task.name: task.channels for task in configuration.tasks})
    meters = {name: {network: task.meter() for network in predictors} for name, task in tasks.items()}
    for batch in _batches(data, configuration, console):
        for name, task in tasks.items():
            for network, predictor in predictors.items():
                prediction = predictor(batch.images, name)
                meters[name][network].update(prediction, task.target(batch, *prediction.shape[-2:]))
    return {name: {network: meter.result() for network, meter in each.items()} for name, each in meters.items()}


def _batches(data: HeldOut, configuration: ModelConfiguration, console: Console | None) -> Iterator[Images]:
    size, count = (configuration.image_height, configuration.image_width), _batch_of(configuration)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=console is None) as progress:
        bar = progress.add_task("evaluating", total=len(data))
        for first in range(0, len(data), count):
            places = range(first, min(first + count, len(data)))
            batch = data[first : places.stop] if hasattr(data, "images") else Batch.of([data[i] for i in places])
            if batch.images.shape[1:3] != size:
                found = "{}x{}".format(*batch.images.shape[1:3])
                raise UserError(f"images are {found}, the model takes {size[0]}x{size[1]}: open the data at its size")
            yield batch
            progress.update(bar, completed=places.stop)


def measure_float(model: M3ViT, data: HeldOut, console: Console | None = None) -> dict[str, float]:
    """Every task's metric for the float network; see `evaluate`."""
    found = evaluate({"float": float_predictor(model)}, model.configuration, data, console)
    return {task: values["float"] for task, values in found.items()}


def measure_integer(
    network: IntegerNetwork,
    configuration: ModelConfiguration,
    data: HeldOut,
    alternative: str | None = None,
    console: Console | None = None,
) -> dict[str, float]:
    """Every task's metric for the integer network, on the tasks' default pathways or on an alternative that all have."""
    found = evaluate({"integer": integer_predictor(network, alternative)}, configuration, data, console)
    return {task: values["integer"] for task, values in found.items()}


def compare(
    model: M3ViT,
    network: IntegerNetwork | None,
    data: HeldOut,
    alternative: str | None = None,
    console: Console | None = None,
) -> dict[str, dict]:
    """By task: the metric's name, whether higher is better, and its value in float and, if there is an integer network, in integers.

    alternative: the pathway of the integer network that the model has, None for its default. data, console: see `evaluate`.
    """
    predictors = {"float": float_predictor(model)}
    if network is not None:
        predictors["integer"] = integer_predictor(network, alternative)
    return {
        task: {"metric": TASKS[task].metric, "higher_is_better": TASKS[task].higher_is_better, **values}
        for task, values in evaluate(predictors, model.configuration, data, console).items()
    }


def top_k_agreement(model: M3ViT, network: IntegerNetwork, images: np.ndarray) -> float:
    """The share, 0..1, of the float routers' choices that the integer routers make too.

    Over all images, tasks, MoE blocks, tokens and chosen experts. Each network routes its own activations, so that
    earlier disagreements count as they would in use. 1 for a model without experts.
    """
    agreed, total, size = 0, 0, _batch_of(model.configuration)
    for task in model.configuration.task_names:
        for first in range(0, len(images), size):
            batch, record = images[first : first + size], {}
            network.run(batch, task, record)
            for i, chosen in chosen_experts(model, batch, task).items():
                logits = record[f"blocks.{i}.router"]
                kept = network.tasks[task].pathway[i]
                selected, _ = route_token(logits.reshape(-1, len(kept)), network.tasks[task].top_k)
                agreed += int((chosen[:, list(kept)] & selected).sum())
                total += int(selected.sum())
    return agreed / total if total else 1.0
