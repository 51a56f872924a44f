"""The kinds of task: what each predicts, how its loss trains it, and how its metric judges it."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Protocol

import numpy as np
from torch import Tensor

from moesaic.errors import InternalError, UserError
from moesaic.model.tasks.edge_metric import EdgeMeter
from moesaic.model.tasks.losses import LOSS_SETS, WeightedLoss
from moesaic.model.tasks.metrics import (
    AccuracyMeter,
    AngleMeter,
    DepthMeter,
    IouMeter,
    Meter,
    NoiseMeter,
    SaliencyMeter,
)
from moesaic.model.tasks.targets import CHANNELS, INVALID_LABEL
from moesaic.spec.heads import CLASSIFICATION, FEATURES
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription

DEFAULT_LOSSES = "scenes"
LABELLED = ("segmentation", "parts")
"""Kinds whose targets label every pixel with a class."""
DESCRIBED = ("depth", "normals")
"""Kinds whose outputs have a unit or axes, see `moesaic.spec.output_description`."""


class HasTargets(Protocol):
    """A batch from a data set, or rendered scenes. targets: by task, see `moesaic.model.tasks.targets`."""

    @property
    def targets(self) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Task:
    """One kind of task.

    channels: number of output channels; 0 in TASKS if it is the number of classes, which depends on the data set, or the network's
    width. loss, weight: see `moesaic.model.tasks.losses`; training minimises the sum of weight * loss. meter: creates the metric,
    which takes one batch after another. metric: its name, with the unit if it has one. further: more metrics by name.
    """

    kind: str
    channels: int
    loss: Callable[..., Tensor]
    weight: float
    meter: Callable[..., Meter]
    metric: str
    higher_is_better: bool
    further: Mapping[str, Callable[[], Meter]] = field(default_factory=dict)

    def measure(self, predictions: np.ndarray, targets: np.ndarray) -> float:
        """The metric of predictions [N, C, h, w] against targets [N, h, w] or [N, h, w, 3] at the same resolution."""
        meter = self.meter()
        meter.update(predictions, targets)
        return meter.result()

    def target(self, data: HasTargets, shape: tuple[int, ...]) -> np.ndarray:
        """The ground truth for predictions of this shape, in its own dtype: [N, h, w] or [N, h, w, 3], of a classification [N].

        Nearest neighbour: each output pixel takes the pixel that holds its centre.
        """
        truth = data.targets[self.kind]
        if self.kind == CLASSIFICATION or truth.shape[1:3] == shape[2:]:
            return truth
        height, width = shape[2:]
        rows = ((np.arange(height) + 0.5) * truth.shape[1] / height).astype(np.int64)
        columns = ((np.arange(width) + 0.5) * truth.shape[2] / width).astype(np.int64)
        return truth[:, rows[:, None], columns]


def _no_loss(prediction: Tensor, target: Tensor) -> Tensor:
    raise InternalError("features have no ground truth, so they have no loss")


def _task(
    kind: str,
    meter: Callable[[], Meter],
    metric: str,
    higher_is_better: bool,
    further: Mapping[str, Callable[[], Meter]] = MappingProxyType({}),
) -> Task:
    loss = LOSS_SETS[DEFAULT_LOSSES].get(kind, WeightedLoss(_no_loss, 0.0))
    return Task(kind, CHANNELS.get(kind, 0), loss.function, loss.weight, meter, metric, higher_is_better, further)


TASKS = {
    task.kind: task
    for task in (
        _task("segmentation", IouMeter, "mIoU", higher_is_better=True),
        _task("parts", IouMeter, "mIoU", higher_is_better=True),
        _task("saliency", SaliencyMeter, "maxF", higher_is_better=True),
        _task("edges", EdgeMeter, "odsF", higher_is_better=True),
        _task("depth", DepthMeter, "rmse (m)", higher_is_better=False),
        _task("normals", AngleMeter, "mean angle (degrees)", higher_is_better=False),
        _task(
            CLASSIFICATION, AccuracyMeter, "top-1", higher_is_better=True, further={"top-5": lambda: AccuracyMeter(5)}
        ),
        _task(FEATURES, NoiseMeter, "to float (dB)", higher_is_better=True),
    )
}
"""By kind. The metric of features compares a network with another one, as they have no ground truth."""


def find_task(kind: str, channels: int, losses: str = DEFAULT_LOSSES, output: OutputDescription = USUAL_OUTPUT) -> Task:
    """The kind of task, with `channels` output channels and its loss from the set `losses`, a key of LOSS_SETS.

    output: what the channels mean, which loss and metric of depth and normals take into account.
    UserError when there is no such kind or set, or when it needs a different number of channels.
    """
    if kind not in TASKS:
        raise UserError(f"unknown task {kind!r}: choose {', '.join(TASKS)}")
    if losses not in LOSS_SETS:
        raise UserError(f"unknown losses {losses!r}: choose {' or '.join(LOSS_SETS)}")
    task = TASKS[kind]
    if task.channels and task.channels != channels:
        raise UserError(f"task {kind} has {channels} channels in the recipe, it needs {task.channels}")
    if kind in LABELLED and not 2 <= channels <= INVALID_LABEL:
        raise UserError(
            f"task {kind} has {channels} channels in the recipe, it needs one per class, 2 to {INVALID_LABEL}"
        )
    if kind == FEATURES:
        return dataclasses.replace(task, channels=channels)
    loss = LOSS_SETS[losses][kind]
    task = dataclasses.replace(task, channels=channels, loss=loss.function, weight=loss.weight)
    if kind not in DESCRIBED:
        return task
    return dataclasses.replace(task, loss=partial(task.loss, output=output), meter=partial(task.meter, output=output))
