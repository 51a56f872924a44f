"""Geometric changes to an image and its targets together: resize, crop, mirror, rotate, fit to a size.

The class of a whole image stays as it is.
"""

import math
from collections.abc import Mapping

import numpy as np

from moesaic.model.data.samples import Dataset, Sample
from moesaic.model.tasks.registry import task_kind, truth_of
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription
from moesaic.spec.placement import Placement, place, resized_size
from moesaic.spec.resize import placed

_FILTERS = {"linear": "BILINEAR", "cubic": "BICUBIC"}


def nearest(length: int, new_length: int) -> np.ndarray:
    """Indices for nearest-neighbour resizing along an axis, int64 [new_length]: the old pixel that holds each new pixel's centre."""
    return ((np.arange(new_length) + 0.5) * (length / new_length)).astype(np.int64)


def resized(sample: Sample, height: int, width: int, interpolation: str = "linear") -> Sample:
    """The sample resized to height x width pixels: the image with a linear or cubic filter, the targets by nearest neighbour."""
    if sample.image.shape[:2] == (height, width):
        return sample
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(sample.image)).resize(
        (width, height), Image.Resampling[_FILTERS[interpolation]]
    )
    rows, columns = nearest(sample.image.shape[0], height), nearest(sample.image.shape[1], width)
    targets = {task: target.take(columns, 1).take(rows, 0) for task, target in _of_pixels(sample).items()}
    return _changed(sample, np.asarray(image), targets)


def window(
    sample: Sample,
    top: int,
    left: int,
    height: int,
    width: int,
    padding: tuple[int, ...] = MINUS_ONE_TO_ONE.padding,
) -> Sample:
    """height x width pixels of a sample from row `top` and column `left` on; outside the sample, padding with invalid targets.

    top, left: in pixels; negative ones start outside. padding: RGB, 0 to 255.
    """
    targets = {
        task: _window(target, top, left, height, width, truth_of(task).invalid)
        for task, target in _of_pixels(sample).items()
    }
    return _changed(sample, _window(sample.image, top, left, height, width, padding), targets)


def mirrored(sample: Sample) -> Sample:
    """The sample mirrored left to right; the values of targets change as `Task.mirrored` of their kinds says."""
    targets = {task: task_kind(task).mirrored(target[:, ::-1]) for task, target in _of_pixels(sample).items()}
    return _changed(sample, sample.image[:, ::-1], targets)


def rotated(sample: Sample, degrees: float, padding: tuple[int, ...] = MINUS_ONE_TO_ONE.padding) -> Sample:
    """The sample rotated clockwise about its centre, at the same size; outside the original, padding with invalid targets.

    This is what a camera rotated about its optical axis would see: depth is unchanged, normals turn with the picture; `Task.rotated` says
    it for each kind. The image is interpolated bilinearly, the targets are taken from the nearest pixel.
    """
    from PIL import Image

    height, width = sample.image.shape[:2]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # Source of each pixel: the inverse rotation about the centre.
    x, y = np.arange(width) + 0.5 - width / 2, (np.arange(height) + 0.5 - height / 2)[:, None]
    columns = np.floor(cosine * x + sine * y + width / 2).astype(np.int64)
    rows = np.floor(cosine * y - sine * x + height / 2).astype(np.int64)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows = columns.clip(0, width - 1), rows.clip(0, height - 1)
    targets = {}
    for task, target in _of_pixels(sample).items():
        valid = inside[..., None] if target.ndim == 3 else inside
        placed = np.where(valid, target[rows, columns], np.array(truth_of(task).invalid, target.dtype))
        targets[task] = task_kind(task).rotated(placed, degrees)
    back = (cosine, sine, (width - cosine * width - sine * height) / 2)
    back += (-sine, cosine, (height - cosine * height + sine * width) / 2)
    image = Image.fromarray(np.ascontiguousarray(sample.image))
    image = image.transform((width, height), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR, fillcolor=padding)
    return _changed(sample, np.asarray(image), targets)


def fitted_size(
    sample: Sample, height: int, width: int, description: InputDescription, factor: float = 1.0
) -> list[int]:
    """Height and width of the whole sample when it is made to fit into height x width pixels, times a factor.

    "auto" shrinks it if it is larger, at its own proportions, and never enlarges it; otherwise the description says it.
    """
    sides = sample.image.shape[:2]
    if description.resize == "auto":
        return _shrunk(sides, height, width, factor)
    sides = resized_size(description, sides, (height, width))
    return [max(1, round(side * factor)) for side in sides]


def _shrunk(sides: tuple[int, ...], height: int, width: int, factor: float = 1.0) -> list[int]:
    factor = factor * min(1.0, height / sides[0], width / sides[1])
    return [max(1, round(side * factor)) for side in sides]


def fit(sample: Sample, height: int, width: int, description: InputDescription = MINUS_ONE_TO_ONE) -> Sample:
    """The sample at height x width pixels, as the description says. Depths keep their values.

    "auto" shrinks what is larger at its own proportions, then pads it evenly on both sides: no ground truth is cut off.
    """
    if description.resize != "auto":
        placement = place(description, sample.image.shape[:2], (height, width))
        image = placed(sample.image, placement, description)
        targets = {
            task: _placed(target, placement, truth_of(task).invalid) for task, target in _of_pixels(sample).items()
        }
        return _changed(sample, image, targets)
    rows, columns = fitted_size(sample, height, width, description)
    small = resized(sample, rows, columns, description.interpolation)
    return window(small, (rows - height) // 2, (columns - width) // 2, height, width, description.padding)


def _placed(target: np.ndarray, placement: Placement, fill: float) -> np.ndarray:
    """A target [H, W] or [H, W, 3] on a placement of the whole image, by nearest neighbour."""
    rows, columns = (nearest(length, new) for length, new in zip(target.shape, placement.resized))
    return _window(target.take(columns, 1).take(rows, 0), *placement.window, *placement.size, fill)


class Fitted:
    """A view of a data set in which every sample has height x width pixels, see `fit`."""

    def __init__(
        self, dataset: Dataset, height: int, width: int, description: InputDescription = MINUS_ONE_TO_ONE
    ) -> None:
        self.dataset, self.height, self.width, self.description = dataset, height, width, description
        self.name = dataset.name
        self.tasks: Mapping[str, int] = dataset.tasks
        self.class_names: Mapping[str, tuple[str, ...]] = dataset.class_names

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return fit(self.dataset[index], self.height, self.width, self.description)

    @property
    def places_whole_images(self) -> bool:
        """Whether `with_own` can say where samples lie: the description states how they are resized."""
        return self.description.resize != "auto"

    def placement(self, height: int, width: int) -> Placement:
        """Where a sample lies in its image, of height x width pixels, also where the description leaves that to `fit`."""
        size = (self.height, self.width)
        if self.description.resize != "auto":
            return place(self.description, (height, width), size)
        rows, columns = _shrunk((height, width), *size)
        window = ((rows - self.height) // 2, (columns - self.width) // 2)
        return Placement((height, width), (0, 0, height, width), (rows, columns), window, size)

    def with_own(self, index: int) -> tuple[Sample, Sample, Placement]:
        """The sample as `self[index]` gives it, the same at its own size, and where the first lies in the second."""
        own = self.dataset[index]
        placement = place(self.description, own.image.shape[:2], (self.height, self.width))
        return fit(own, self.height, self.width, self.description), own, placement


def _of_pixels(sample: Sample) -> dict[str, np.ndarray]:
    """The targets that have a value for every pixel."""
    return {task: target for task, target in sample.targets.items() if target.ndim}


def _changed(sample: Sample, image: np.ndarray, targets: dict[str, np.ndarray]) -> Sample:
    """The sample with another image and other targets of its pixels."""
    return Sample(image, sample.targets | targets, sample.name)


def _window(
    array: np.ndarray, top: int, left: int, height: int, width: int, fill: float | tuple[int, ...]
) -> np.ndarray:
    rows, columns = (slice(max(0, start), max(0, start + size)) for start, size in ((top, height), (left, width)))
    inside = array[rows, columns]
    if inside.shape[:2] == (height, width):
        return inside
    whole = np.full((height, width, *array.shape[2:]), fill, array.dtype)
    above, before = max(0, -top), max(0, -left)
    whole[above : above + inside.shape[0], before : before + inside.shape[1]] = inside
    return whole
