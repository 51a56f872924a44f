"""Resizing in integers, so that a board, a laptop and a test all see the same pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from moesaic.spec.compiled_resize import compiled_resize
from moesaic.spec.filter_taps import CUBIC_ONE, Taps, cubic_taps, triangle_taps
from moesaic.spec.input_description import InputDescription
from moesaic.spec.placement import Placement, place

LARGEST_SIDE = 16_384
"""Largest side of an image, in pixels: up to it the sums in `resize` stay below 2**63 for targets of at least 8 pixels a side."""
_MIDDLE = 128
"""Of the range of a pixel."""
_BAND = 8
"""Target pixels in one matrix product: few, so that little of the matrix is zeros, and enough for the product to be worth its call."""


def _exact_type(largest: int) -> type:
    """The fastest type in which sums of integers up to `largest` are exact; matrix products of integers are slow."""
    return np.float32 if largest < 1 << 24 else np.float64 if largest < 1 << 53 else np.int64


@lru_cache(maxsize=16)  # by identity: of a size, triangle_taps and cubic_taps return the same object
def _bands(taps: Taps, start: int, stop: int, dtype: type, channels: int) -> list[tuple[slice, slice, np.ndarray]]:
    """Runs of target pixels from `start` to `stop`, the source pixels that make them up, and the matrix between them.

    A matrix is (target, source), with each pixel as `channels` values.
    """
    bands = []
    for begin in range(start, stop, _BAND):
        part = taps[begin : min(begin + _BAND, stop)]
        matrix = np.kron(part.matrix(), np.eye(channels, dtype=np.int64)).astype(dtype)
        target = slice((begin - start) * channels, (begin - start + len(part)) * channels)
        bands.append((target, slice(part.source.start * channels, part.source.stop * channels), matrix))
    return bands


def _along_columns(image: np.ndarray, taps: Taps, part: slice, dtype: type) -> np.ndarray:
    """The weighted sums of an image's rows, (targets, width, channels) of `dtype`."""
    start, stop, _ = part.indices(len(taps))
    result = np.empty((stop - start, image[0].size), dtype)
    for target, source, matrix in _bands(taps, start, stop, dtype, 1):
        result[target] = matrix @ image[source].reshape(matrix.shape[1], -1).astype(dtype)
    return result.reshape(-1, *image.shape[1:])


def _along_rows(image: np.ndarray, taps: Taps, part: slice, dtype: type) -> np.ndarray:
    """The weighted sums of the pixels in an image's rows, (height, targets, channels) of `dtype`."""
    start, stop, _ = part.indices(len(taps))
    height, _, channels = image.shape
    lines = image.reshape(height, -1)
    result = np.empty((height, (stop - start) * channels), dtype)
    for target, source, matrix in _bands(taps, start, stop, dtype, channels):
        result[:, target] = lines[:, source].astype(dtype) @ matrix.T
    return result.reshape(height, -1, channels)


def _pixels_together(image: np.ndarray) -> np.ndarray:
    """The image, copied if the bytes of a row are not contiguous."""
    return image if image.strides[1:] == (image.shape[2], 1) and image.strides[0] > 0 else np.ascontiguousarray(image)


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
    interpolation: with "linear", each pixel is the mean weighted by triangle_taps along both axes, exact until it is rounded once,
    halves upwards. "cubic" is Pillow's BICUBIC: cubic_taps along rows, rounded to 8 bits, then along columns; Pillow 13 takes
    columns first for some changes of proportions, and otherwise gives the same bits.
    rows, columns: the part of the result to compute, all of it by default.

    Compiled C++ does it where there is a compiler (moesaic.spec.compiled_resize), otherwise numpy; both give the same integers.
    """
    if image.shape[:2] == (height, width):
        return image[rows, columns]
    if image.strides[2] < 0:  # BGR turned to RGB: turned back, a row's bytes are contiguous
        return resize(image[..., ::-1], height, width, interpolation, rows, columns)[..., ::-1]
    image = _pixels_together(image)
    filtered = _cubic if interpolation == "cubic" else _linear
    return filtered(image, height, width, rows, columns)


def _linear(image: np.ndarray, height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    vertical, horizontal = triangle_taps(image.shape[0], height), triangle_taps(image.shape[1], width)
    down, across = vertical.totals[rows], horizontal.totals[columns]
    of_line, of_all = (_exact_type(255 * int(down.max()) * int(n)) for n in (1, across.max()))
    compiled = compiled_resize() if image.shape[2] == 3 and of_all is not np.int64 else None
    if compiled is not None:
        return compiled.linear(image, vertical[rows], horizontal[columns], of_line is not np.float32)
    lines = _along_columns(image, vertical, rows, of_line)
    divisor = (down[:, None] * across[None, :])[..., None]
    if of_all is np.int64:
        return ((_along_rows(lines, horizontal, columns, of_all) + divisor // 2) // divisor).astype(np.uint8)
    # From the middle of the range, sums along both axes are half as large and more often fit the faster type.
    lines -= _MIDDLE * down.astype(of_line)[:, None, None]
    total = _along_rows(lines, horizontal, columns, _exact_type(_MIDDLE * int(down.max()) * int(across.max())))
    quotient = np.add(total, _MIDDLE * divisor + divisor // 2, dtype=np.float64)
    np.divide(quotient, divisor, out=quotient)
    return quotient.astype(np.uint8)  # exact: a quotient that is no integer is further from one than float64 rounds


def _cubic(image: np.ndarray, height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    compiled = compiled_resize() if image.shape[2] == 3 else None
    vertical, horizontal = cubic_taps(image.shape[0], height), cubic_taps(image.shape[1], width)
    if image.shape[1] == width:
        image = _pixels_together(image[:, columns])
    elif compiled is not None:
        image = compiled.cubic_rows(image, horizontal[columns])
    else:
        image = _rounded(_along_rows(image, horizontal, columns, np.float64))
    if image.shape[0] == height:
        return image[rows]
    if compiled is not None:
        return compiled.cubic_columns(image, vertical[rows])
    return _rounded(_along_columns(image, vertical, rows, np.float64))


def _rounded(total: np.ndarray) -> np.ndarray:
    """Weighted sums, in units of 1 / CUBIC_ONE, as 8 bits."""
    return np.clip(np.floor(total / CUBIC_ONE + 0.5), 0, 255).astype(np.uint8)


def fit(image: np.ndarray, description: InputDescription, height: int, width: int) -> tuple[np.ndarray, Placement]:
    """What a network of height x width pixels sees of an image, uint8 (H, W, 3): uint8 (height, width, 3), and where it lies.

    Runtime, commands, evaluation and reports all use this one function. See `moesaic.spec.input_description`.
    """
    placement = place(description, image.shape[:2], (height, width))
    return placed(image, placement, description), placement


def placed(image: np.ndarray, placement: Placement, description: InputDescription) -> np.ndarray:
    """What a network sees of an image, uint8 (H, W, 3), on a given placement: uint8 (height, width, 3)."""
    top, left, height, width = placement.source
    part = image[top : top + height, left : left + width]
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
