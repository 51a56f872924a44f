"""Converts between the arrays of an ONNX network and those of the accelerator: images to pixels, raw outputs to task units."""

from __future__ import annotations

import numpy as np

from moesaic.errors import UserError
from moesaic.spec.build import TaskProgram
from moesaic.spec.input_description import MINUS_ONE_TO_ONE, InputDescription
from moesaic.spec.predictions import real_output

_TOLERANCE = 2e-4
"""How far a value may lie beyond 0 or 255 when turned into a pixel, to allow for rounding in a float32 normalisation."""


def to_pixels(x: np.ndarray, height: int, width: int, description: InputDescription = MINUS_ONE_TO_ONE) -> np.ndarray:
    """Images in the form that the accelerator takes, uint8 (N, height, width, 3).

    x: (N, 3, height, width), as the ONNX network takes it, or a single image without N. Floats are normalised as the description
        says and are rounded to the nearest pixel value; uint8 values are the pixels themselves, and may also have the channels last.

    Raises UserError for another shape or dtype, or for values that are no pixel's.
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
        images = _quantised(images, description)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1) if shape == planes else images)


def _quantised(x: np.ndarray, description: InputDescription) -> np.ndarray:
    """Pixels uint8 (N, 3, height, width) from normalised ones."""
    form = description.formula
    if not np.issubdtype(x.dtype, np.floating):
        raise UserError(f"the images are {x.dtype}; give uint8 pixels, or float {form}")
    scale, offset = (part[:, None, None] for part in description.affine())
    pixels = (x.astype(np.float64) - offset) / scale
    low, high = (float(pixels.min()), float(pixels.max())) if x.size else (0.0, 0.0)
    if not (low >= -_TOLERANCE and high <= 255 + _TOLERANCE):
        found = f"from {x.min():g} to {x.max():g}"
        taken = f"{offset.min():g} to {(255 * scale + offset).max():g}"
        raise UserError(f"the images have values {found}, the network takes {taken}; give {form}, or uint8")
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def to_output(task: TaskProgram, raw: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A task's outputs in the form that the ONNX network gives, rounded once to dtype: see moesaic.spec.predictions.real_output.

    raw: int16 (N, height, width, channels).
    dtype: float32 or float64.
    """
    return np.ascontiguousarray(real_output(task.kind, raw, task.output_scale, task.pooling).astype(dtype))
