"""The tasks' metrics as meters, which take one batch after another and keep counts and sums, not predictions.

`moesaic.model.tasks.targets` defines the targets and how they mark invalid pixels, which every meter ignores. The result of a meter
that has seen no valid pixel is NaN.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from moesaic.errors import UserError
from moesaic.model.tasks.exact_sum import ExactSum
from moesaic.model.tasks.targets import DIRECTIONS, INVALID_CLASS, INVALID_LABEL
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription
from moesaic.spec.predictions import probability


class Meter(ABC):
    """A metric over a data set, and further figures that the same pass gives.

    `sums` names the attributes that hold all that the meter has taken in, if these grow by addition: then each of several processes
    measures a share of the data, and `+` makes one meter of theirs, in the order of the data, so that lists may be joined. Figures are
    those of one process to the last bit if the attributes are counts, `ExactSum` or lists, and up to rounding if they are floats. A
    meter that names nothing is given all data in every process.
    """

    sums: ClassVar[tuple[str, ...]] = ()

    def merge(self, other: "Meter") -> None:
        """Take in what another meter of the same task has taken in, from data that follow. TypeError if the meter names no `sums`."""
        if not self.sums:
            raise TypeError(f"{type(self).__name__} names no sums: it has to be given all data itself")
        for name in self.sums:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @abstractmethod
    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, C, h, w] of any numeric dtype, targets [N, h, w] or [N, h, w, 3].

        A classification's predictions are [N, classes], its targets [N]; both are [N, tokens, width] of features.
        """

    @abstractmethod
    def result(self) -> float:
        """The metric of all batches added so far."""

    def further(self) -> dict[str, float]:
        """Further figures of all batches added so far, by name, the same names for any batches; by default none."""
        return {}


OF_A_CLASS = "IoU: "
"""What the name of a class's own IoU starts with."""


class IouMeter(Meter):
    """Mean intersection over union (mIoU), counted over the whole set, of the classes present in truth or prediction; 0..1.

    Everingham et al., The PASCAL VOC Challenge, IJCV 2010. The multi-task papers' code counts an absent class as 0; on a whole
    validation set, where every class is present, the two agree. Further figures: the share of pixels whose class is right, and the
    IoU of each class, which is NaN of one that is nowhere. class_names: of the first classes; the others are called "class N".
    """

    sums = ("_confusion",)

    def __init__(self, class_names: tuple[str, ...] = ()) -> None:
        self._names = class_names
        self._confusion = np.zeros((1, 1), np.int64)  # [truth, prediction]; [1, 1] before the first batch

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, classes, h, w], targets integers [N, h, w]. UserError when a target is not a class."""
        classes = predictions.shape[1]
        valid = targets != INVALID_LABEL
        truth = targets[valid].astype(np.int64)
        if truth.max(initial=0) >= classes:
            raise UserError(f"the truth has class {truth.max()}, the model only 0 to {classes - 1}: correct the recipe")
        pairs = truth * classes + predictions.argmax(1)[valid]
        counts = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
        self._confusion = self._confusion + counts

    def _of_classes(self) -> np.ndarray:
        hits = self._confusion.diagonal()
        union = self._confusion.sum(0) + self._confusion.sum(1) - hits
        return np.where(union > 0, hits / np.maximum(union, 1), np.nan)

    def result(self) -> float:
        of_classes = self._of_classes()
        present = np.isfinite(of_classes)
        return float(of_classes[present].mean()) if present.any() else float("nan")

    def further(self) -> dict[str, float]:
        """ "pixel accuracy" (as MTAN and LibMTL), and "IoU: NAME" of every class."""
        pixels = self._confusion.sum()
        found = {"pixel accuracy": float(self._confusion.trace() / pixels) if pixels else float("nan")}
        for index, value in enumerate(self._of_classes()):
            name = self._names[index] if index < len(self._names) else f"class {index}"
            found[f"{OF_A_CLASS}{name}"] = float(value)
        return found


class SaliencyMeter(Meter):
    """maxF: the largest F-measure over 15 probability thresholds from 0.2 to 0.9; 0..1.

    At each threshold, precision P and recall R are averaged over images, and F = 2 P R / (P + R) is computed from the averages, as
    in `evaluation/eval_sal.py` of github.com/SimonVandenhende/Multi-Task-Learning-PyTorch (so beta is 1; the saliency literature
    uses beta^2 = 0.3). An image without a salient pixel has recall 0, as there. Unlike here, that code first rounds probabilities
    to 8 bits and has no invalid pixels; images without a valid pixel are left out. Further figures: see `further`.
    """

    THRESHOLDS = np.linspace(0.2, 0.9, 15)
    POOLED_THRESHOLDS = np.arange(1, 20) / 20
    """0.05 to 0.95, for the figures whose pixels are pooled."""

    sums = ("_precision", "_recall", "_jaccard", "_images", "_pooled", "_salient")

    def __init__(self) -> None:
        self._precision, self._recall, self._jaccard = (ExactSum(len(self.THRESHOLDS)) for _ in range(3))
        self._images = self._salient = 0
        self._pooled = np.zeros((len(_POOLED), 2, len(self.POOLED_THRESHOLDS)), np.int64)

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, 1, h, w] logits, targets uint8 [N, h, w]."""
        for shown, truth in zip(probability(predictions[:, 0]), targets):
            valid = truth != INVALID_LABEL
            if not valid.any():
                continue
            probabilities, salient = shown[valid], truth[valid] == 1
            chosen = _chosen(np.searchsorted(self.THRESHOLDS, probabilities), salient, len(self.THRESHOLDS))  # above
            self._precision.add(chosen[0] / np.maximum(chosen.sum(0), 1))
            self._recall.add(chosen[0] / max(salient.sum(), 1))
            union = chosen[1] + salient.sum()
            self._jaccard.add(np.where(union > 0, chosen[0] / np.maximum(union, 1), 1))
            self._images += 1
            for place, values in enumerate(_POOLED.values()):
                reached = np.searchsorted(self.POOLED_THRESHOLDS, values(probabilities), side="right")  # at or above
                self._pooled[place] += _chosen(reached, salient, len(self.POOLED_THRESHOLDS))
            self._salient += int(salient.sum())

    def result(self) -> float:
        if not self._images:
            return float("nan")
        precision, recall = self._precision.value / self._images, self._recall.value / self._images
        return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())

    def further(self) -> dict[str, float]:
        """ "max mIoU": the largest mean over images of intersection / union at the same thresholds (ASTMT, M3ViT); 1 of an image
        where nothing is salient or found.

        "maxF (pooled)": the largest F with beta^2 = 0.3 at 19 thresholds, 0.05 to 0.95, of precision and recall over the pixels of all
        images (`MaxF` in `src/data/metrics.py` of github.com/brdav/atrc). "maxF (InvPT)": the same as InvPT's and TaskPrompter's code
        measures it, which takes the sigmoid of the probabilities once more (`InvPT/evaluation/eval_sal.py` behind `get_output`, in
        github.com/prismformore/Multi-Task-Transformer), so that its thresholds are probabilities of 0, 0.20, 0.41, 0.62 and 0.85. Unlike
        there, the probabilities are not rounded to 8 bits first.
        """
        if not self._images:
            return dict.fromkeys(("max mIoU", *_POOLED), float("nan"))
        found = {"max mIoU": float((self._jaccard.value / self._images).max())}
        for name, chosen in zip(_POOLED, self._pooled):
            precision, recall = chosen[0] / np.maximum(chosen.sum(0), 1), chosen[0] / max(self._salient, 1)
            score = 1.3 * precision * recall / np.maximum(0.3 * precision + recall, 1e-12)
            found[name] = float(score.max())
        return found


def _chosen(passed: np.ndarray, salient: np.ndarray, thresholds: int) -> np.ndarray:
    """How many of the salient and of the other pixels pass each threshold, [2, thresholds]. passed: number of thresholds that each does."""
    counts = [np.bincount(passed[part], minlength=thresholds + 1) for part in (salient, ~salient)]
    return np.stack([of[::-1].cumsum()[::-1][1:] for of in counts])


_POOLED = {"maxF (pooled)": lambda values: values, "maxF (InvPT)": probability}


class DepthMeter(Meter):
    """Root mean square error over all valid pixels of the set, in metres. output: what the predictions mean."""

    sums = ("_squares", "_pixels", "_errors", "_close")

    def __init__(self, output: OutputDescription = USUAL_OUTPUT) -> None:
        self._output, self._squares, self._pixels = output, ExactSum(), 0
        self._errors, self._close = ExactSum(len(_ERRORS)), np.zeros(len(_DELTAS), np.int64)

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, 1, h, w] as `output` says, targets [N, h, w] in metres."""
        valid = targets > 0
        shown, truth = self._output.metres(predictions[:, 0])[valid], targets[valid]
        self._squares.add(float(np.square(shown - truth).sum()))
        self._pixels += int(valid.sum())
        differences, ratios = np.abs(shown - truth), shown / truth
        logarithms = np.square(np.log(ratios))
        self._errors.add(np.array([differences.sum(), (differences / truth).sum(), logarithms.sum()]))
        either = np.maximum(ratios, 1 / ratios)
        self._close += [int((either < 1.25**power).sum()) for power in range(1, len(_DELTAS) + 1)]

    def result(self) -> float:
        return float(np.sqrt(self._squares.value / self._pixels)) if self._pixels else float("nan")

    def further(self) -> dict[str, float]:
        """Over all valid pixels of the set: "absolute error (m)" and "relative error", |shown - true| and that / true (MTAN, LibMTL);
        "rmse of ln", the root mean square of ln(shown / true) (ASTMT, InvPT); "delta1" to "delta3", the shares of pixels where the
        larger of shown / true and true / shown is below 1.25, 1.25^2 and 1.25^3 (Eigen et al., NeurIPS 2014).
        """
        totals = zip((*_ERRORS, *_DELTAS), (*self._errors.value, *self._close))
        means = {name: float(total) / self._pixels if self._pixels else float("nan") for name, total in totals}
        return means | {"rmse of ln": math.sqrt(means["rmse of ln"])}


_ERRORS = ("absolute error (m)", "relative error", "rmse of ln")
_DELTAS = ("delta1", "delta2", "delta3")


class AngleMeter(Meter):
    """Mean angle between prediction and truth over all valid pixels of the set, in degrees (mErr).

    output: where the predictions' channels point.
    """

    sums = ("_degrees", "_pixels", "_within", "_histogram")

    def __init__(self, output: OutputDescription = USUAL_OUTPUT) -> None:
        self._axes, self._degrees, self._pixels = output.axis_matrix, ExactSum(), 0
        self._within = np.zeros(len(_ANGLES), np.int64)
        self._histogram = np.zeros(180 * _BINS_PER_DEGREE + 1, np.int64)

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, 3, h, w], vectors of any length, targets unit vectors [N, h, w, 3]."""
        valid = DIRECTIONS.valid(targets)
        shown, truth = np.moveaxis(np.asarray(predictions, np.float64), 1, -1)[valid], targets[valid]
        length = np.maximum(np.linalg.norm(shown, axis=-1), 1e-12)
        shown = shown @ self._axes.T
        cosine = (shown * truth).sum(-1) / length
        degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        self._degrees.add(float(degrees.sum()))
        self._pixels += len(truth)
        self._within += [int((degrees < angle).sum()) for angle in _ANGLES]
        places = np.rint(degrees * _BINS_PER_DEGREE).astype(np.int64)
        self._histogram += np.bincount(places, minlength=len(self._histogram))

    def result(self) -> float:
        return float(self._degrees.value) / self._pixels if self._pixels else float("nan")

    def further(self) -> dict[str, float]:
        """ "median angle (degrees)" over all valid pixels, to a thousandth of a degree; "within 11.25 degrees", 22.5 and 30: shares of
        pixels whose angle is smaller (MTAN, LibMTL).
        """
        names = [f"within {angle:g} degrees" for angle in _ANGLES]
        if not self._pixels:
            return dict.fromkeys(("median angle (degrees)", *names), float("nan"))
        seen = self._histogram.cumsum()
        middle = [
            int(np.searchsorted(seen, place, side="right")) for place in ((self._pixels - 1) // 2, self._pixels // 2)
        ]
        shares = {name: int(count) / self._pixels for name, count in zip(names, self._within)}
        return {"median angle (degrees)": sum(middle) / 2 / _BINS_PER_DEGREE, **shares}


_ANGLES = (11.25, 22.5, 30.0)
_BINS_PER_DEGREE = 1000


class AccuracyMeter(Meter):
    """The share of images whose class has the largest logit (top-1), 0..1; of equal logits the lowest come first.

    Further: the share of those whose class is among the five largest, "top-5".
    """

    sums = ("_hits", "_among_five", "_images")

    def __init__(self) -> None:
        self._hits, self._among_five, self._images = 0, 0, 0

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, classes] logits, targets integers [N]. UserError when a target is not a class."""
        if targets.max(initial=0) >= predictions.shape[1]:
            most = predictions.shape[1] - 1
            raise UserError(f"the truth has class {targets.max()}, the model only 0 to {most}: correct the recipe")
        valid = targets != INVALID_CLASS
        first = np.argsort(-predictions[valid], axis=1, kind="stable") == targets[valid, None]
        self._hits += int(first[:, 0].sum())
        self._among_five += int(first[:, :5].any(1).sum())
        self._images += int(valid.sum())

    def result(self) -> float:
        return self._hits / self._images if self._images else float("nan")

    def further(self) -> dict[str, float]:
        return {"top-5": self._among_five / self._images if self._images else float("nan")}


class NoiseMeter(Meter):
    """Signal-to-noise ratio of features to those of another network, in dB: power of the other's over that of the difference."""

    sums = ("_signal", "_noise")

    def __init__(self) -> None:
        self._signal, self._noise = ExactSum(), ExactSum()

    def update(self, predictions: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch: predictions [N, tokens, width], targets of the same shape, from the other network."""
        targets = targets.astype(np.float64)
        self._signal.add(float(np.square(targets).sum()))
        self._noise.add(float(np.square(predictions - targets).sum()))

    def result(self) -> float:
        signal, noise = float(self._signal.value), float(self._noise.value)
        if not noise:
            return math.inf if signal else float("nan")
        return 10 * math.log10(signal / noise) if signal else -math.inf
