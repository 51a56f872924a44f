"""Random changes to a training sample that keep the image and all its targets consistent."""

import math
from dataclasses import dataclass

import numpy as np

from moesaic.model.data.geometry import fitted_size, mirrored, resized, rotated, window
from moesaic.model.data.samples import Sample
from moesaic.model.tasks.registry import task_kind
from moesaic.model.tasks.targets import INVALID_LABEL
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_BRIGHTNESS = 32.0  # of 255, either way
_FACTORS = 0.5, 1.5  # range for contrast and saturation
_HUE = math.radians(36)  # either way
_CROPS = 11  # one, and as many more tries as in mmsegmentation


@dataclass(frozen=True)
class Augmentation:
    """Random mirroring, scaling, rotation, cropping and colour changes; samples become height x width pixels.

    An image is first made to fit as for evaluation (`geometry.fitted_size`), scaled by a further factor drawn from `scale`, and
    rotated; then a window is cut out at a random position. Pixels outside the image are padding and invalid. Depth is divided by the drawn
    factor: what looks twice as large is half as far away. Normals change when the image is mirrored or rotated, and not otherwise.

    scale: lower and upper limit of the factor. factors: if any, one of them is taken in place of a factor from `scale`. centred: the
    window is cut out around the centre. rotation: largest angle in degrees, either way, about the centre. mirror: half of
    the samples. colours: brightness by up to 32 (of 255), contrast and saturation by a factor of 0.5 to 1.5 and hue by up to 36
    degrees, each for half of the samples (Howard, arXiv:1312.5402). exchange: permute the colour channels. inverse_depth: depth is
    one over a distance, so it is multiplied by the factor instead. largest_class_share: below 1, a window in which fewer than two classes
    of the segmentation occur, or one takes that share of its valid pixels or more, is drawn again, up to ten times (`cat_max_ratio` of
    mmsegmentation's `RandomCrop`). description: of the network's input.
    """

    height: int
    width: int
    scale: tuple[float, float] = (1.0, 1.0)
    factors: tuple[float, ...] = ()
    centred: bool = False
    rotation: float = 0.0
    mirror: bool = True
    colours: bool = False
    exchange: bool = False
    inverse_depth: bool = False
    largest_class_share: float = 1.0
    description: InputDescription = MINUS_ONE_TO_ONE

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The changed sample, [height, width]; it depends only on the sample and the generator's state."""
        if self.mirror and rng.integers(2):
            sample = mirrored(sample)
        factor = float(rng.choice(self.factors)) if self.factors else rng.uniform(*self.scale)
        sample = self._scaled(sample, factor)
        padding = self.description.padding
        if self.rotation:
            sample = rotated(sample, rng.uniform(-self.rotation, self.rotation), padding)
        sample = self._cropped(sample, rng)
        image = _recoloured(sample.image, rng) if self.colours else sample.image
        if self.exchange:
            image = image[..., rng.permutation(3)]
        return Sample(image, sample.targets, sample.name)

    def _cropped(self, sample: Sample, rng: np.random.Generator) -> Sample:
        rows, columns = sample.image.shape[:2]
        limit, labels = self.largest_class_share, sample.targets.get("segmentation")
        top, left = 0, 0
        for _ in range(_CROPS):
            if self.centred:
                top, left = (rows - self.height) // 2, (columns - self.width) // 2
                break
            top, left = _start(rng, rows, self.height), _start(rng, columns, self.width)
            if limit == 1 or labels is None:
                break
            seen = labels[max(top, 0) : top + self.height, max(left, 0) : left + self.width]
            counts = np.unique(seen[seen != INVALID_LABEL], return_counts=True)[1]
            if len(counts) > 1 and counts.max() / counts.sum() < limit:
                break
        return window(sample, top, left, self.height, self.width, self.description.padding)

    def _scaled(self, sample: Sample, factor: float) -> Sample:
        rows, columns = fitted_size(sample, self.height, self.width, self.description, factor)
        sample = resized(sample, rows, columns, self.description.interpolation)
        targets = {task: task_kind(task).scaled(target, factor) for task, target in sample.targets.items()}
        if self.inverse_depth and "depth" in targets:
            targets["depth"] = sample.targets["depth"] * np.float32(factor)
        return Sample(sample.image, targets, sample.name)


def _start(rng: np.random.Generator, length: int, wanted: int) -> int:
    """First pixel of a window along one side: random, or such that a side shorter than the window is centred in it."""
    return int(rng.integers(length - wanted + 1)) if length >= wanted else (length - wanted) // 2


def _recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every change is affine in RGB, so one matrix and an offset apply them all; hue is a rotation about the grey axis."""
    brightness, contrast, saturation, hue = rng.integers(2, size=4)
    matrix, offset = np.eye(3), 0.0
    if saturation:
        factor = rng.uniform(*_FACTORS)
        matrix = factor * np.eye(3) + (1 - factor) * _LUMA
    if hue:
        matrix = _turn_about_grey(rng.uniform(-_HUE, _HUE)) @ matrix
    if contrast:
        matrix = rng.uniform(*_FACTORS) * matrix
    if brightness:
        offset = rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    changed = image @ matrix.T.astype(np.float32) + np.float32(offset)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _turn_about_grey(angle: float) -> np.ndarray:
    """Rotation matrix about (1, 1, 1) (Rodrigues' formula)."""
    c, s, along = math.cos(angle), math.sin(angle), (1 - math.cos(angle)) / 3
    across = s / math.sqrt(3)
    return np.array(
        [
            [c + along, along - across, along + across],
            [along + across, c + along, along - across],
            [along - across, along + across, c + along],
        ]
    )
