"""Converts between the arrays of an ONNX network and those of the accelerator: images to pixels, raw outputs to task units."""

from __future__ import annotations

import numpy as np

from moesaic.errors import UserError
from moesaic.spec.build import TaskProgram
from moesaic.spec.predictions import real_output

_HALF_RANGE = 127.5
"""The ONNX network takes pixel / 127.5 - 1."""

_TOLERANCE = 1e-6
"""How far a value may lie beyond -1 or 1, to allow for rounding in a float32 normalisation."""


def to_pixels(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Images in the form that the accelerator takes, uint8 (N, height, width, 3).

    x: (N, 3, height, width), as the ONNX network takes it, or a single image without N. Floats are in -1..1 and are rounded to the
        nearest pixel value; uint8 values are the pixels themselves, and may also have the channels last.

    Raises UserError for another shape or dtype, or for values beyond -1..1.
    """
    if not isinstance(x, np.ndarray):
        raise UserError(f"the images are a {type(x).__name__}; give a numpy array")
    planes, pixels = (3, height, width), (height, width, 3)
    shape = x.shape[-3:]
    if x.ndim not in (3, 4) or not (shape == planes or (shape == pixels and x.dtype == np.uint8)):
        raise UserError(
            f"the images are {x.dtype} {x.shape}, the network takes float or uint8 (N, {', '.join(map(str, planes))}); "
            "resize or transpose them"
        )
    images = x.reshape(-1, *shape)
    if x.dtype != np.uint8:
        images = _quantised(images)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1) if shape == planes else images)


def _quantised(x: np.ndarray) -> np.ndarray:
    if not np.issubdtype(x.dtype, np.floating):
        raise UserError(f"the images are {x.dtype}; give uint8 pixels, or float pixel / 127.5 - 1")
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
    if not (low >= -1 - _TOLERANCE and high <= 1 + _TOLERANCE):
        raise UserError(
            f"the images have values from {low:g} to {high:g}, the network takes -1 to 1; give pixel / 127.5 - 1, or uint8"
        )
    return np.clip(np.rint((x.astype(np.float64) + 1) * _HALF_RANGE), 0, 255).astype(np.uint8)


def to_output(task: TaskProgram, raw: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A task's outputs in the form that the ONNX network gives, rounded once to dtype: see moesaic.spec.predictions.real_output.

    raw: int16 (N, height, width, channels).
    dtype: float32 or float64.
    """
    return np.ascontiguousarray(real_output(task.kind, raw, task.output_scale, task.pooling).astype(dtype))
