"""What a task's raw integers mean: the one decoding that training, simulation and the runtime share."""

from __future__ import annotations

import numpy as np

from moesaic.errors import UserError
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription

TOWARDS_VIEWER = (0.0, 0.0, -1.0)
"""The surface normal that faces the camera: x to the right, y down, z into the picture."""


def probability(output: np.ndarray) -> np.ndarray:
    """Probability, float32 in 0..1, from an edges or saliency output of any shape: its sigmoid, computed in float64."""
    return np.exp(-np.logaddexp(0, -np.asarray(output, np.float64))).astype(np.float32)


def decode(kind: str, raw: np.ndarray, scale: float, output: OutputDescription = USUAL_OUTPUT) -> np.ndarray:
    """A task's prediction in its own terms.

    raw: (height, width, channels), any number type. scale: value of one unit of raw. kind, output: see moesaic.spec.bundle.Task.
    "segmentation", "parts": the class with the largest output (the lowest on a tie), uint8 (height, width).
    "saliency", "edges": probability of being salient or an edge, float32 (height, width) in 0..1.
    "depth": metres, float32 (height, width). "normals": unit vectors, float32 (height, width, 3), x right, y down, z into the
    picture; towards the viewer where the output is zero. UserError for any other kind.
    """
    if kind in ("segmentation", "parts"):
        return raw.argmax(axis=-1).astype(np.uint8)
    values = raw.astype(np.float64) * scale
    if kind in ("saliency", "edges"):
        return probability(values[..., 0])
    if kind == "depth":
        return output.metres(values[..., 0]).astype(np.float32)
    if kind == "normals":
        values = values @ output.axis_matrix.T
        length = np.linalg.norm(values, axis=-1, keepdims=True)
        unit = np.where(length > 0, values / np.where(length > 0, length, 1), np.array(TOWARDS_VIEWER))
        return unit.astype(np.float32)
    raise UserError(
        f"a task of kind {kind!r} has no decoding; known kinds: depth, edges, normals, parts, saliency, segmentation"
    )
