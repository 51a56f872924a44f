"""The project's kinds of task; other packages add theirs in the same way (`moesaic.model.tasks.task`)."""

import math

import numpy as np
from torch import Tensor

from moesaic.model.tasks.edge_metric import TOLERANCE, EdgeMeter
from moesaic.model.tasks.losses import (
    WeightedLoss,
    class_cross_entropy,
    depth_l1,
    depth_log_l1,
    edges_cross_entropy,
    image_cross_entropy,
    loss_sets,
    normals_cosine,
    normals_l1,
    saliency_cross_entropy,
)
from moesaic.model.tasks.metrics import (
    AccuracyMeter,
    AngleMeter,
    DepthMeter,
    IouMeter,
    Meter,
    NoiseMeter,
    SaliencyMeter,
)
from moesaic.model.tasks.targets import DIRECTIONS, IMAGE_CLASS, LABELS, METRES
from moesaic.model.tasks.task import Task
from moesaic.spec.heads import CLASSIFICATION, FEATURES


class Segmentation(Task):
    """A class for every pixel."""

    kind, truth = "segmentation", LABELS
    decoding = "classes"
    metric, higher_is_better = "mIoU", True
    losses = loss_sets(*3 * [WeightedLoss(class_cross_entropy)])

    def meter(self) -> Meter:
        return IouMeter(self.class_names)


class Parts(Segmentation):
    """A class for every pixel: parts of people, or of shapes."""

    kind = "parts"
    losses = loss_sets(WeightedLoss(class_cross_entropy), WeightedLoss(class_cross_entropy, 2.0))


class Saliency(Task):
    """Whether a pixel belongs to the salient object."""

    kind, channels, truth = "saliency", 1, LABELS
    decoding = "probabilities"
    metric, higher_is_better = "maxF", True
    losses = loss_sets(WeightedLoss(saliency_cross_entropy, 2.0), WeightedLoss(saliency_cross_entropy, 5.0))

    def meter(self) -> Meter:
        return SaliencyMeter()


class Edges(Task):
    """Whether a pixel is an edge. Its metric has the option `tolerance`, see `moesaic.model.tasks.edge_metric`."""

    kind, channels, truth = "edges", 1, LABELS
    decoding, picture = "probabilities", "grey"
    metric, higher_is_better = "odsF", True
    options = {"tolerance": TOLERANCE}  # noqa: RUF012 (read only)
    losses = loss_sets(WeightedLoss(edges_cross_entropy, 10.0), WeightedLoss(edges_cross_entropy, 50.0))

    def meter(self) -> Meter:
        return EdgeMeter(self.option["tolerance"])


class Depth(Task):
    """The distance along the optical axis, in metres."""

    kind, channels, truth = "depth", 1, METRES
    decoding = "metres"
    metric, higher_is_better = "rmse (m)", False
    opposed = frozenset(("delta1", "delta2", "delta3"))
    losses = loss_sets(WeightedLoss(depth_log_l1), WeightedLoss(depth_l1), WeightedLoss(depth_l1))

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.chosen.function(prediction, target, output=self.output)

    def meter(self) -> Meter:
        return DepthMeter(self.output)

    @staticmethod
    def scaled(target: np.ndarray, factor: float) -> np.ndarray:
        """What looks twice as large is half as far away."""
        return target / np.float32(factor)


class Normals(Task):
    """The direction of the surface."""

    kind, channels, truth = "normals", 3, DIRECTIONS
    decoding = "directions"
    metric, higher_is_better = "mean angle (degrees)", False
    opposed = frozenset(("within 11.25 degrees", "within 22.5 degrees", "within 30 degrees"))
    losses = loss_sets(WeightedLoss(normals_cosine), WeightedLoss(normals_l1, 10.0), WeightedLoss(normals_cosine))

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.chosen.function(prediction, target, output=self.output)

    def meter(self) -> Meter:
        return AngleMeter(self.output)

    @staticmethod
    def mirrored(target: np.ndarray) -> np.ndarray:
        return target * np.array([-1, 1, 1], np.float32)

    @staticmethod
    def rotated(target: np.ndarray, degrees: float) -> np.ndarray:
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], np.float32)
        return target @ turn.T


class Classification(Task):
    """The class of the whole image."""

    kind, truth = CLASSIFICATION, IMAGE_CLASS
    decoding = CLASSIFICATION
    metric, higher_is_better = "top-1", True
    in_short = ("top-5",)
    losses = loss_sets(WeightedLoss(image_cross_entropy), WeightedLoss(image_cross_entropy))

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.chosen.function(prediction, target, label_smoothing=self.label_smoothing)

    def meter(self) -> Meter:
        return AccuracyMeter()


class Features(Task):
    """The tokens themselves. They have no ground truth: the metric compares them with another network's."""

    kind, truth = FEATURES, None
    decoding = FEATURES
    metric, higher_is_better = "to float (dB)", True

    def meter(self) -> Meter:
        return NoiseMeter()
