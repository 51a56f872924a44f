"""Resizing in integers, so that a board, a laptop and a test all see the same pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from moesaic.spec.input_description import InputDescription
from moesaic.spec.placement import Placement, place

LARGEST_SIDE = 16_384
"""Largest side of an image, in pixels: up to it the sums in `resize` stay below 2**63 for targets of at least 8 pixels a side."""
_CUBIC_ONE = 1 << 22


@lru_cache(maxsize=2)  # the frames of a stream have one size
def triangle_weights(source: int, target: int) -> np.ndarray:
    """Weights of a linear (triangle) filter along one axis, int64 (target, source), not normalised.

    source, target: pixels. Target pixel i is centred on (i + 1/2) * source / target. The triangle reaches max(1, source / target)
    source pixels to each side: linear interpolation when enlarging, an average without aliasing when shrinking. All distances are
    multiplied by 2 * target, which makes them integers.
    """
    centre = (2 * np.arange(target, dtype=np.int64)[:, None] + 1) * source
    pixel = (2 * np.arange(source, dtype=np.int64)[None, :] + 1) * target
    weights = np.maximum(2 * max(source, target) - np.abs(pixel - centre), 0)
    weights.flags.writeable = False
    return weights


def _exact_type(largest: int) -> type:
    """The fastest type in which sums of integers up to `largest` are exact; matrix products of integers are slow."""
    return np.float32 if largest < 1 << 24 else np.float64 if largest < 1 << 53 else np.int64


def _weighted_rows(weights: np.ndarray, rows: np.ndarray, dtype: type) -> np.ndarray:
    """weights @ rows, for weights whose rows are each zero except for one run."""
    result = np.empty((len(weights), *rows.shape[1:]), dtype)
    for i, line in enumerate(weights.astype(dtype)):
        used = np.flatnonzero(line)
        run = slice(used[0], used[-1] + 1)
        result[i] = np.tensordot(line[run], rows[run].astype(dtype), 1)
    return result


@lru_cache(maxsize=2)  # as above
def cubic_weights(source: int, target: int) -> np.ndarray:
    """Weights of a cubic filter (Keys, a = -1/2) along one axis, int64 (target, source); each row adds up to about 2**22.

    The filter is widened by source / target when shrinking. These are Pillow's weights for BICUBIC, rounded as it rounds them, and
    every step is an arithmetic operation of IEEE 754, so that they are the same everywhere.
    """
    widening = max(source / target, 1.0)
    centre = (np.arange(target)[:, None] + 0.5) * (source / target)
    x = np.abs((np.arange(source)[None, :] - centre + 0.5) * (1.0 / widening))
    near, far = ((1.5 * x) - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    weights = weights / weights.cumsum(axis=1)[:, -1:]  # summed one after the other, as Pillow does
    rounded = np.trunc(weights * _CUBIC_ONE + np.copysign(0.5, weights)).astype(np.int64)
    rounded.flags.writeable = False
    return rounded


def resize(
    image: np.ndarray,
    height: int,
    width: int,
    interpolation: str = "linear",
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> np.ndarray:
    """Resize an image, uint8 (H, W, channels) with sides up to LARGEST_SIDE, to uint8 (height, width, channels).

    The whole image is kept: it is stretched if the proportions differ. An image that already has the size is returned unchanged.
    interpolation: with "linear", each pixel is the mean weighted by triangle_weights along both axes, exact until it is rounded once,
    halves upwards. "cubic" is Pillow's BICUBIC: cubic_weights along rows, rounded to 8 bits, then along columns; Pillow 13 takes
    columns first for some changes of proportions, and otherwise gives the same bits.
    rows, columns: the part of the result to compute, all of it by default.
    """
    if image.shape[:2] == (height, width):
        return image[rows, columns]
    if interpolation == "cubic":
        return _cubic(image, height, width, rows, columns)
    vertical, horizontal = triangle_weights(image.shape[0], height), triangle_weights(image.shape[1], width)
    vertical, horizontal = vertical[rows], horizontal[columns]
    down, across = vertical.sum(axis=1), horizontal.sum(axis=1)
    largest = 255 * int(down.max())
    lines = _weighted_rows(vertical, image, _exact_type(largest)).swapaxes(0, 1)
    total = _weighted_rows(horizontal, lines, _exact_type(largest * int(across.max()))).swapaxes(0, 1)
    divisor = (down[:, None] * across[None, :])[..., None]
    return ((total.astype(np.int64) + divisor // 2) // divisor).astype(np.uint8)


def _cubic(image: np.ndarray, height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    def pass_along_first_axis(values: np.ndarray, size: int, part: slice) -> np.ndarray:
        if values.shape[0] == size:
            return values[part]
        total = _weighted_rows(cubic_weights(values.shape[0], size)[part], values, np.float64)
        return np.clip(np.floor(total / _CUBIC_ONE + 0.5), 0, 255).astype(np.uint8)

    across = pass_along_first_axis(image.swapaxes(0, 1), width, columns).swapaxes(0, 1)
    return pass_along_first_axis(across, height, rows)


def fit(image: np.ndarray, description: InputDescription, height: int, width: int) -> tuple[np.ndarray, Placement]:
    """What a network of height x width pixels sees of an image, uint8 (H, W, 3): uint8 (height, width, 3), and where it lies.

    Runtime, commands, evaluation and reports all use this one function. See `moesaic.spec.input_description`.
    """
    placement = place(description, image.shape[:2], (height, width))
    return placed(image, placement, description), placement


def placed(image: np.ndarray, placement: Placement, description: InputDescription) -> np.ndarray:
    """What a network sees of an image, uint8 (H, W, 3), on a given placement: uint8 (height, width, 3)."""
    top, left, height, width = placement.source
    part = np.ascontiguousarray(image[top : top + height, left : left + width])
    y, x, rows, columns = placement.filled
    first_row, first_column = (max(0, start) for start in placement.window)
    shown = resize(
        part,
        *placement.resized,
        description.interpolation,
        slice(first_row, first_row + rows),
        slice(first_column, first_column + columns),
    )
    if shown.shape[:2] == placement.size:
        return shown
    whole = np.empty((*placement.size, 3), np.uint8)
    whole[:] = np.array(description.padding, np.uint8)
    whole[y : y + rows, x : x + columns] = shown
    return whole
