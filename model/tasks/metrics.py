"""The tasks' metrics as meters, which take one batch after another and keep counts and sums, not predictions.

`moesaic.model.tasks.targets` defines the targets and how they mark invalid pixels, which every meter ignores. The result of a meter
that has seen no valid pixel is NaN.
"""

import math
from typing import Protocol

import numpy as np

from moesaic.errors import UserError
from moesaic.model.tasks.targets import INVALID_CLASS, INVALID_LABEL
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription
from moesaic.spec.predictions import probability


class Meter(Protocol):
    """A metric over a data set."""

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, C, h, w] of any numeric dtype, targets [N, h, w] or [N, h, w, 3].

        A classification's predictions are [N, classes], its targets [N]; both are [N, tokens, width] of features.
        """
        ...

    def result(self) -> float:
        """The metric of all batches added so far."""
        ...


class IouMeter:
    """Mean intersection over union (mIoU), counted over the whole set, of the classes present in truth or prediction; 0..1.

    Everingham et al., The PASCAL VOC Challenge, IJCV 2010. The multi-task papers' code counts an absent class as 0; on a whole
    validation set, where every class is present, the two agree.
    """

    def __init__(self) -> None:
        self._confusion = np.zeros((0, 0), np.int64)  # [truth, prediction]

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, classes, h, w], targets integers [N, h, w]. UserError when a target is not a class."""
        classes = predictions.shape[1]
        if not self._confusion.size:
            self._confusion = np.zeros((classes, classes), np.int64)
        valid = targets != INVALID_LABEL
        truth = targets[valid].astype(np.int64)
        if truth.max(initial=0) >= classes:
            raise UserError(f"the truth has class {truth.max()}, the model only 0 to {classes - 1}: correct the recipe")
        pairs = truth * classes + predictions.argmax(1)[valid]
        self._confusion += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def result(self) -> float:
        hits = self._confusion.diagonal()
        union = self._confusion.sum(0) + self._confusion.sum(1) - hits
        present = union > 0
        return float((hits[present] / union[present]).mean()) if present.any() else float("nan")


class SaliencyMeter:
    """maxF: the largest F-measure over 15 probability thresholds from 0.2 to 0.9; 0..1.

    At each threshold, precision P and recall R are averaged over images, and F = 2 P R / (P + R) is computed from the averages, as
    in `evaluation/eval_sal.py` of github.com/SimonVandenhende/Multi-Task-Learning-PyTorch (so beta is 1; the saliency literature
    uses beta^2 = 0.3). An image without a salient pixel has recall 0, as there. Unlike here, that code first rounds probabilities
    to 8 bits and has no invalid pixels; images without a valid pixel are left out.
    """

    THRESHOLDS = np.linspace(0.2, 0.9, 15)

    def __init__(self) -> None:
        self._precision, self._recall = np.zeros(len(self.THRESHOLDS)), np.zeros(len(self.THRESHOLDS))
        self._images = 0

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, 1, h, w] logits, targets uint8 [N, h, w]."""
        for shown, truth in zip(probability(predictions[:, 0]), targets):
            valid = truth != INVALID_LABEL
            if not valid.any():
                continue
            # chosen: for salient and for other pixels, how many have a probability above each threshold
            above = np.searchsorted(self.THRESHOLDS, shown[valid])  # thresholds strictly below the probability
            salient = truth[valid] == 1
            bins = len(self.THRESHOLDS) + 1
            chosen = [np.bincount(above[part], minlength=bins)[::-1].cumsum()[::-1][1:] for part in (salient, ~salient)]
            self._precision += chosen[0] / np.maximum(chosen[0] + chosen[1], 1)
            self._recall += chosen[0] / max(salient.sum(), 1)
            self._images += 1

    def result(self) -> float:
        if not self._images:
            return float("nan")
        precision, recall = self._precision / self._images, self._recall / self._images
        return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())


class DepthMeter:
    """Root mean square error over all valid pixels of the set, in metres. output: what the predictions mean."""

    def __init__(self, output: OutputDescription = USUAL_OUTPUT) -> None:
        self._output, self._squares, self._pixels = output, 0.0, 0

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, 1, h, w] as `output` says, targets [N, h, w] in metres."""
        valid = targets > 0
        self._squares += float(np.square(self._output.metres(predictions[:, 0])[valid] - targets[valid]).sum())
        self._pixels += int(valid.sum())

    def result(self) -> float:
        return float(np.sqrt(self._squares / self._pixels)) if self._pixels else float("nan")


class AngleMeter:
    """Mean angle between prediction and truth over all valid pixels of the set, in degrees (mErr).

    output: where the predictions' channels point.
    """

    def __init__(self, output: OutputDescription = USUAL_OUTPUT) -> None:
        self._axes, self._degrees, self._pixels = output.axis_matrix, 0.0, 0

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, 3, h, w], vectors of any length, targets unit vectors [N, h, w, 3]."""
        valid = (targets != 0).any(-1)
        shown, truth = np.moveaxis(np.asarray(predictions, np.float64), 1, -1)[valid], targets[valid]
        length = np.maximum(np.linalg.norm(shown, axis=-1), 1e-12)
        shown = shown @ self._axes.T
        cosine = (shown * truth).sum(-1) / length
        self._degrees += float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).sum())
        self._pixels += len(truth)

    def result(self) -> float:
        return self._degrees / self._pixels if self._pixels else float("nan")


class AccuracyMeter:
    """The share of images whose class is among the `count` largest logits (top-1, top-5), 0..1; of equal logits the lowest come first."""

    def __init__(self, count: int = 1) -> None:
        self._count, self._hits, self._images = count, 0, 0

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, classes] logits, targets integers [N]. UserError when a target is not a class."""
        if targets.max(initial=0) >= predictions.shape[1]:
            most = predictions.shape[1] - 1
            raise UserError(f"the truth has class {targets.max()}, the model only 0 to {most}: correct the recipe")
        valid = targets != INVALID_CLASS
        first = np.argsort(-predictions[valid], axis=1, kind="stable")[:, : self._count]
        self._hits += int((first == targets[valid, None]).any(1).sum())
        self._images += int(valid.sum())

    def result(self) -> float:
        return self._hits / self._images if self._images else float("nan")


class NoiseMeter:
    """Signal-to-noise ratio of features to those of another network, in dB: power of the other's over that of the difference."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, tokens, width], targets of the same shape, from the other network."""
        targets = targets.astype(np.float64)
        self._signal += float(np.square(targets).sum())
        self._noise += float(np.square(predictions - targets).sum())

    def result(self) -> float:
        if not self._noise:
            return math.inf if self._signal else float("nan")
        return 10 * math.log10(self._signal / self._noise) if self._signal else -math.inf
