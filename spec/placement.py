"""Which part of an image a network sees, and the way back from its pixels to those of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from moesaic.spec.input_description import InputDescription

_ROUNDING = 1e-6  # pixels; a crop ratio such as 224 / 256 is a rounded number


@dataclass(frozen=True)
class Placement:
    """How an image of `image` = (height, width) pixels becomes one of `size` = (height, width) pixels, which the network sees.

    The box `source` = (top, left, height, width) of the image is resized to `resized` = (height, width) pixels. Of these, the network
    sees a window of `size` from row and column `window` on; where it goes beyond them, there is padding.
    """

    image: tuple[int, int]
    source: tuple[int, int, int, int]
    resized: tuple[int, int]
    window: tuple[int, int]
    size: tuple[int, int]

    @property
    def filled(self) -> tuple[int, int, int, int]:
        """(top, left, height, width), in pixels, of the part of the network's input that shows the image; the rest is padding."""
        starts = [max(0, -start) for start in self.window]
        ends = [min(n, whole - start) for n, whole, start in zip(self.size, self.resized, self.window)]
        return starts[0], starts[1], ends[0] - starts[0], ends[1] - starts[1]

    @property
    def seen(self) -> tuple[float, float, float, float]:
        """(top, left, height, width), in the image's own pixels, of the part that the network sees."""
        filled = self.filled
        first, length = [], []
        for axis in (0, 1):
            scale = self.source[2 + axis] / self.resized[axis]
            first.append(self.source[axis] + scale * (self.window[axis] + filled[axis]))
            length.append(scale * filled[2 + axis])
        return first[0], first[1], length[0], length[1]

    def image_points(self, points: np.ndarray) -> np.ndarray:
        """Where points of the network's input lie in the image, float64 (..., 2).

        points: (..., 2), (row, column) in the network's pixels, with (0, 0) at the upper left corner of the first pixel and (0.5, 0.5)
        at its centre, as in the result. Points on the padding lie outside of the image.
        """
        return (np.asarray(points, np.float64) + self.window) / self._enlargement + self.source[:2]

    def network_points(self, points: np.ndarray) -> np.ndarray:
        """Where points of the image lie in the network's input, float64 (..., 2), the way back from image_points."""
        return (np.asarray(points, np.float64) - self.source[:2]) * self._enlargement - self.window

    @property
    def _enlargement(self) -> np.ndarray:
        """The network's pixels for each of the image's, down and across."""
        return np.array(self.resized) / self.source[2:]

    def to_image(self, prediction: np.ndarray, *, smooth: bool = True) -> np.ma.MaskedArray:
        """A dense prediction at the image's own pixels, masked where the network did not see the image.

        prediction: (height, width) or (height, width, channels), at any resolution of the network's whole input. smooth: interpolate
        linearly, in float32; otherwise each pixel gets the nearest value, in the prediction's dtype.
        """
        inside, places = [], []
        for axis in (0, 1):
            first, length = self.seen[axis], self.seen[2 + axis]
            centre = np.arange(self.image[axis]) + 0.5
            inside.append((centre >= first) & (centre < first + length))
            share, ratio = self.resized[axis] / self.source[2 + axis], prediction.shape[axis] / self.size[axis]
            shown = (centre - self.source[axis]) * share - self.window[axis]  # in the network's pixels
            begin, end = self.filled[axis] * ratio, (self.filled[axis] + self.filled[2 + axis]) * ratio
            last = max(
                math.floor(end) - 1, math.floor(begin)
            )  # values that only show the image, or else the one that does most
            places.append((shown * ratio - 0.5).clip(min(math.ceil(begin), last), last))
        values = _linear(prediction, *places) if smooth else _nearest(prediction, *places)
        mask = ~(inside[0][:, None] & inside[1][None, :])
        return np.ma.MaskedArray(
            values, np.broadcast_to(mask.reshape(*mask.shape, *[1] * (values.ndim - 2)), values.shape)
        )


def _nearest(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    row, column = (
        np.floor(place + 0.5).astype(np.int64).clip(0, n - 1) for place, n in zip((rows, columns), values.shape)
    )
    return values[row[:, None], column]


def _linear(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    for axis, wanted in enumerate((rows, columns)):
        places = wanted.clip(0, values.shape[axis] - 1)
        low = np.floor(places).astype(np.int64).clip(0, max(values.shape[axis] - 2, 0))
        high = np.minimum(low + 1, values.shape[axis] - 1)
        share = (places - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def place(description: InputDescription, image: tuple[int, int], size: tuple[int, int]) -> Placement:
    """How an image of `image` = (height, width) pixels gets to a network's `size`, as the description says; "auto" crops.

    With "crop" and a ratio below 1, and with "stretch", the whole image is resized and then cut, as image libraries do: the shorter
    edge becomes the network's divided by the ratio, the longer one is rounded down.
    """
    (height, width), (wanted_height, wanted_width) = image, size
    if description.resize == "auto":
        rows = min(height, max(1, width * wanted_height // wanted_width))
        columns = min(width, max(1, height * wanted_width // wanted_height))
        return Placement(image, ((height - rows) // 2, (width - columns) // 2, rows, columns), size, (0, 0), size)
    resized = resized_size(description, image, size)
    spare = [whole - n for whole, n in zip(resized, size)]
    centred = description.resize != "pad" or description.pad_side == "both"
    # Half of the padding is rounded down, as half of a cut is.
    window = [(n // 2 if n >= 0 else -(-n // 2)) if centred else 0 for n in spare]
    return Placement(image, (0, 0, height, width), resized, (window[0], window[1]), size)


def resized_size(description: InputDescription, image: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Height and width to which a whole image is resized before it is cut or padded; `resize` must not be "auto"."""
    (height, width), (wanted_height, wanted_width) = image, size
    rows, columns = (math.floor(n / description.crop_ratio + _ROUNDING) for n in size)
    if description.resize == "stretch":
        return rows, columns
    if description.resize == "crop":
        if rows * width >= columns * height:
            return rows, rows * width // height
        return columns * height // width, columns
    if wanted_height * width <= wanted_width * height:
        return wanted_height, max(1, (2 * width * wanted_height + height) // (2 * height))
    return max(1, (2 * height * wanted_width + width) // (2 * width)), wanted_width
