"""The six tasks: what each predicts, how its loss trains it, and how its metric judges it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.tasks.edge_metric import EdgeMeter
from moesaic.model.tasks.losses import LOSS_SETS
from moesaic.model.tasks.metrics import AngleMeter, DepthMeter, IouMeter, Meter, SaliencyMeter
from moesaic.model.tasks.targets import CHANNELS, INVALID_LABEL
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription

DEFAULT_LOSSES = "scenes"
DESCRIBED = ("depth", "normals")
"""The tasks whose outputs have a unit or axes, see `moesaic.spec.output_description`."""


class HasTargets(Protocol):
    """A batch from a data set, or rendered scenes. targets: by task, see `moesaic.model.tasks.targets`."""

    @property
    def targets(self) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Task:
    """One task.

    channels: number of output channels; 0 in TASKS if it is the number of classes, which depends on the data set. loss, weight:
    see `moesaic.model.tasks.losses`; training minimises the sum of weight * loss. meter: creates the metric, which takes one
    batch after another. metric: its name, with the unit if it has one.
    """

    name: str
    channels: int
    loss: Callable[..., Tensor]
    weight: float
    meter: Callable[..., Meter]
    metric: str
    higher_is_better: bool

    def measure(self, predictions: np.ndarray, targets: np.ndarray) -> float:
        """The metric of predictions [N, C, h, w] against targets [N, h, w] or [N, h, w, 3] at the same resolution."""
        meter = self.meter()
        meter.update(predictions, targets)
        return meter.result()

    def target(self, data: HasTargets, height: int, width: int) -> np.ndarray:
        """The ground truth at a prediction's resolution, [N, height, width] or [N, height, width, 3], in its own dtype.

        Nearest neighbour: each output pixel takes the pixel that holds its centre.
        """
        truth = data.targets[self.name]
        if truth.shape[1:3] == (height, width):
            return truth
        rows = ((np.arange(height) + 0.5) * truth.shape[1] / height).astype(np.int64)
        columns = ((np.arange(width) + 0.5) * truth.shape[2] / width).astype(np.int64)
        return truth[:, rows[:, None], columns]


def _task(name: str, meter: Callable[[], Meter], metric: str, higher_is_better: bool) -> Task:
    loss = LOSS_SETS[DEFAULT_LOSSES][name]
    return Task(name, CHANNELS.get(name, 0), loss.function, loss.weight, meter, metric, higher_is_better)


TASKS = {
    task.name: task
    for task in (
        _task("segmentation", IouMeter, "mIoU", higher_is_better=True),
        _task("parts", IouMeter, "mIoU", higher_is_better=True),
        _task("saliency", SaliencyMeter, "maxF", higher_is_better=True),
        _task("edges", EdgeMeter, "odsF", higher_is_better=True),
        _task("depth", DepthMeter, "rmse (m)", higher_is_better=False),
        _task("normals", AngleMeter, "mean angle (degrees)", higher_is_better=False),
    )
}


def find_task(name: str, channels: int, losses: str = DEFAULT_LOSSES, output: OutputDescription = USUAL_OUTPUT) -> Task:
    """The task called `name`, with `channels` output channels and its loss from the set `losses`, a key of LOSS_SETS.

    output: what the channels mean, which loss and metric of depth and normals take into account.
    UserError when there is no such task or set, or when the task needs a different number of channels.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}: choose {', '.join(TASKS)}")
    if losses not in LOSS_SETS:
        raise UserError(f"unknown losses {losses!r}: choose {' or '.join(LOSS_SETS)}")
    task = TASKS[name]
    if task.channels and task.channels != channels:
        raise UserError(f"task {name} has {channels} channels in the recipe, it needs {task.channels}")
    if not task.channels and not 2 <= channels <= INVALID_LABEL:
        raise UserError(
            f"task {name} has {channels} channels in the recipe, it needs one per class, 2 to {INVALID_LABEL}"
        )
    loss = LOSS_SETS[losses][name]
    task = dataclasses.replace(task, channels=channels, loss=loss.function, weight=loss.weight)
    if name not in DESCRIBED:
        return task
    return dataclasses.replace(task, loss=partial(task.loss, output=output), meter=partial(task.meter, output=output))
