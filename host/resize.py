"""Resizing in integers, so that a board, a laptop and a test all see the same pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

LARGEST_SIDE = 16_384
"""Largest side of an image, in pixels: up to it the sums in `resize` stay below 2**63 for targets of at least 8 pixels a side."""


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


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image, uint8 (H, W, channels) with sides up to LARGEST_SIDE, to uint8 (height, width, channels).

    The whole image is kept: it is stretched if the proportions differ. Each pixel is the mean weighted by triangle_weights along
    both axes, exact until it is rounded once, halves upwards. An image that already has the size is returned unchanged.
    """
    if image.shape[:2] == (height, width):
        return image
    vertical, horizontal = triangle_weights(image.shape[0], height), triangle_weights(image.shape[1], width)
    down, across = vertical.sum(axis=1), horizontal.sum(axis=1)
    largest = 255 * int(down.max())
    columns = _weighted_rows(vertical, image, _exact_type(largest)).swapaxes(0, 1)
    total = _weighted_rows(horizontal, columns, _exact_type(largest * int(across.max()))).swapaxes(0, 1)
    divisor = (down[:, None] * across[None, :])[..., None]
    return ((total.astype(np.int64) + divisor // 2) // divisor).astype(np.uint8)


def fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture that a network of height x width pixels sees of an image, uint8 (H, W, 3): uint8 (height, width, 3).

    It is the largest centred part of the image that has the network's proportions, resized: nothing is stretched; what is too wide
    or too high is cut off. Runtime, commands and reports all use this one function.
    """
    rows = min(image.shape[0], max(1, image.shape[1] * height // width))
    columns = min(image.shape[1], max(1, image.shape[0] * width // height))
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    return resize(np.ascontiguousarray(image[top : top + rows, left : left + columns]), height, width)
