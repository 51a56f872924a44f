"""What each task predicts, how its loss trains it, and how its metric judges it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.data.scenes import SEGMENTATION_CLASSES, Scenes
from spec.errors import UserError
from spec.predictions import DEPTH_UNIT


def segmentation_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy. prediction [B, classes, h, w], target integers [B, h, w]."""
    return F.cross_entropy(prediction, target.long())


def mean_iou(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean over the classes present, in the truth or the prediction, of intersection / union; 0..1.

    prediction [N, classes, h, w] of any number type, target integers [N, h, w].
    """
    classes = prediction.shape[1]
    pairs = target.astype(np.int64) * classes + prediction.argmax(1)
    confusion = np.bincount(pairs.ravel(), minlength=classes * classes).reshape(classes, classes)
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    return float((confusion.diagonal()[union > 0] / union[union > 0]).mean())


def depth_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """L1 between logarithms of depth. prediction [B, 1, h, w] is ln(depth / DEPTH_UNIT), target [B, h, w] metres."""
    return F.l1_loss(prediction[:, 0], torch.log(target / DEPTH_UNIT))


def depth_in_metres(prediction: np.ndarray) -> np.ndarray:
    """The depth that a prediction [N, 1, h, w] stands for, [N, h, w] in metres."""
    return DEPTH_UNIT * np.exp(prediction[:, 0])


def root_mean_square_error(prediction: np.ndarray, target: np.ndarray) -> float:
    """In metres. prediction [N, 1, h, w] is ln(depth / DEPTH_UNIT), target [N, h, w] metres."""
    error = depth_in_metres(np.asarray(prediction, np.float64)) - target
    return float(np.sqrt(np.square(error).mean()))


def normals_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of 1 - cosine. prediction [B, 3, h, w] of any length, target unit vectors [B, h, w, 3]."""
    length = prediction.square().sum(1).add(1e-12).sqrt()
    return 1 - ((prediction * target.permute(0, 3, 1, 2)).sum(1) / length).mean()


def mean_angle(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean angle in degrees. prediction [N, 3, h, w] of any length, target unit vectors [N, h, w, 3]."""
    prediction = np.moveaxis(np.asarray(prediction, np.float64), 1, -1)
    length = np.maximum(np.linalg.norm(prediction, axis=-1), 1e-12)
    cosine = (prediction * target).sum(-1) / length
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


@dataclass(frozen=True)
class Task:
    """A task's output channels, ground truth (an attribute of `Scenes`), loss, metric and the metric's name."""

    channels: int
    truth: str
    loss: Callable[[Tensor, Tensor], Tensor]
    measure: Callable[[np.ndarray, np.ndarray], float]
    metric: str
    higher_is_better: bool

    def target(self, scenes: Scenes, height: int, width: int) -> np.ndarray:
        """The ground truth at a prediction's resolution: the scene's pixel nearest to each output pixel's centre."""
        truth = getattr(scenes, self.truth)
        if truth.shape[1:3] == (height, width):
            return truth
        rows = ((np.arange(height) + 0.5) * truth.shape[1] / height).astype(np.int64)
        columns = ((np.arange(width) + 0.5) * truth.shape[2] / width).astype(np.int64)
        return truth[:, rows[:, None], columns]


TASKS = {
    "segmentation": Task(
        len(SEGMENTATION_CLASSES), "segmentation", segmentation_loss, mean_iou, "mIoU", higher_is_better=True
    ),
    "depth": Task(1, "depth", depth_loss, root_mean_square_error, "rmse (m)", higher_is_better=False),
    "normals": Task(3, "normals", normals_loss, mean_angle, "mean angle (degrees)", higher_is_better=False),
}


def find_task(name: str, channels: int) -> Task:
    """The task called `name`. UserError when there is none, or when a recipe gives it another number of channels."""
    if name not in TASKS:
        raise UserError(f"no data for task {name!r}: the rendered scenes have {', '.join(TASKS)}")
    if TASKS[name].channels != channels:
        raise UserError(f"task {name} has {channels} channels in the recipe, the scenes need {TASKS[name].channels}")
    return TASKS[name]
