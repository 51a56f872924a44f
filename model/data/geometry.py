"""Geometric changes to an image and its targets together: resize, crop, mirror, rotate, fit to a size.

The class of a whole image stays as it is.
"""

import math
from collections.abc import Mapping

import numpy as np

from moesaic.model.data.samples import Dataset, Sample
from moesaic.model.tasks.targets import INVALID

GREY = 128
"""Fills a window outside the image: the middle of the network's input range, as in the papers."""


def nearest(length: int, new_length: int) -> np.ndarray:
    """Indices for nearest-neighbour resizing along an axis, int64 [new_length]: the old pixel that holds each new pixel's centre."""
    return ((np.arange(new_length) + 0.5) * (length / new_length)).astype(np.int64)


def resized(sample: Sample, height: int, width: int) -> Sample:
    """The sample resized to height x width pixels: the image bilinearly, the targets by nearest neighbour."""
    if sample.image.shape[:2] == (height, width):
        return sample
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(sample.image)).resize((width, height), Image.Resampling.BILINEAR)
    rows, columns = nearest(sample.image.shape[0], height), nearest(sample.image.shape[1], width)
    targets = {task: target.take(columns, 1).take(rows, 0) for task, target in _of_pixels(sample).items()}
    return _changed(sample, np.asarray(image), targets)


def window(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """height x width pixels of a sample from row `top` and column `left` on; outside the sample, grey with invalid targets.

    top, left: in pixels; negative ones start outside.
    """
    targets = {
        task: _window(target, top, left, height, width, INVALID[task]) for task, target in _of_pixels(sample).items()
    }
    return _changed(sample, _window(sample.image, top, left, height, width, GREY), targets)


def mirrored(sample: Sample) -> Sample:
    """The sample mirrored left to right; the normals' x components change sign."""
    targets = {task: target[:, ::-1] for task, target in _of_pixels(sample).items()}
    if "normals" in targets:
        targets["normals"] = targets["normals"] * np.array([-1, 1, 1], np.float32)
    return _changed(sample, sample.image[:, ::-1], targets)


def rotated(sample: Sample, degrees: float) -> Sample:
    """The sample rotated clockwise about its centre, at the same size; outside the original, grey with invalid targets.

    This is what a camera rotated about its optical axis would see: depth is unchanged, normals turn with the picture. The image
    is interpolated bilinearly, the targets are taken from the nearest pixel.
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
        targets[task] = np.where(valid, target[rows, columns], np.array(INVALID[task], target.dtype))
    if "normals" in targets:
        turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], np.float32)
        targets["normals"] = targets["normals"] @ turn.T
    back = (cosine, sine, (width - cosine * width - sine * height) / 2)
    back += (-sine, cosine, (height - cosine * height + sine * width) / 2)
    image = Image.fromarray(np.ascontiguousarray(sample.image))
    image = image.transform(
        (width, height), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR, fillcolor=(GREY, GREY, GREY)
    )
    return _changed(sample, np.asarray(image), targets)


def fitting(sample: Sample, height: int, width: int) -> float:
    """The factor, at most 1, that scales the sample's image to fit into height x width pixels at its own aspect ratio."""
    return min(1.0, height / sample.image.shape[0], width / sample.image.shape[1])


def fit(sample: Sample, height: int, width: int) -> Sample:
    """The whole sample within height x width pixels: shrunk if larger, then padded evenly on both sides. Depths keep their values."""
    factor = fitting(sample, height, width)
    size = [max(1, round(side * factor)) for side in sample.image.shape[:2]]
    return window(resized(sample, *size), (size[0] - height) // 2, (size[1] - width) // 2, height, width)


class Fitted:
    """A view of a data set in which every sample has height x width pixels, see `fit`."""

    def __init__(self, dataset: Dataset, height: int, width: int) -> None:
        self.dataset, self.height, self.width = dataset, height, width
        self.name = dataset.name
        self.tasks: Mapping[str, int] = dataset.tasks
        self.class_names: Mapping[str, tuple[str, ...]] = dataset.class_names

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return fit(self.dataset[index], self.height, self.width)


def _of_pixels(sample: Sample) -> dict[str, np.ndarray]:
    """The targets that have a value for every pixel."""
    return {task: target for task, target in sample.targets.items() if target.ndim}


def _changed(sample: Sample, image: np.ndarray, targets: dict[str, np.ndarray]) -> Sample:
    """The sample with another image and other targets of its pixels."""
    return Sample(image, sample.targets | targets, sample.name)


def _window(array: np.ndarray, top: int, left: int, height: int, width: int, fill: float) -> np.ndarray:
    rows, columns = (slice(max(0, start), max(0, start + size)) for start, size in ((top, height), (left, width)))
    inside = array[rows, columns]
    if inside.shape[:2] == (height, width):
        return inside
    whole = np.full((height, width, *array.shape[2:]), fill, array.dtype)
    above, before = max(0, -top), max(0, -left)
    whole[above : above + inside.shape[0], before : before + inside.shape[1]] = inside
    return whole
