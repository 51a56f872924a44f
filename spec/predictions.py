"""What a task's raw integers mean: the one decoding that training, simulation and the runtime share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from moesaic.errors import UserError
from moesaic.spec.heads import CLASSIFICATION, FEATURES, KINDS, logits
from moesaic.spec.output_description import DECODINGS, USUAL_OUTPUT, OutputDescription, decoding_of

TOWARDS_VIEWER = (0.0, 0.0, -1.0)
"""The surface normal that faces the camera: x to the right, y down, z into the picture."""


def probability(output: np.ndarray) -> np.ndarray:
    """Probability, float32 in 0..1, from an edges or saliency output of any shape: its sigmoid, computed in float64."""
    return np.exp(-np.logaddexp(0, -np.asarray(output, np.float64))).astype(np.float32)


def real_output(kind: str, raw: np.ndarray, scale: float, pooling: str = "") -> np.ndarray:
    """Outputs of a task as its float network gives them, float64: [N, channels, height, width] of a dense task.

    A classification has logits [N, classes], features [N, tokens, channels]. raw: integers [N, height, width, channels]. scale: value
    of one unit of raw. kind, pooling: see moesaic.spec.bundle.Task.
    """
    if kind == CLASSIFICATION:
        return logits(raw[:, 0], pooling) * scale
    return (raw[:, 0] if kind == FEATURES else np.moveaxis(raw, -1, 1)) * scale


def class_probabilities(values: np.ndarray) -> np.ndarray:
    """The softmax of logits [..., classes] over the classes, float32, computed in float64."""
    powers = np.exp(np.asarray(values, np.float64) - values.max(-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


class ClassScore(NamedTuple):
    """A class of an image. index: of the class. label: its name. probability: 0 to 1."""

    index: int
    label: str
    probability: float


def top_classes(probabilities: np.ndarray, names: tuple[str, ...], count: int = 5) -> list[ClassScore]:
    """The `count` most probable classes, all if there are fewer; of equal ones the lowest first.

    probabilities: (classes,). names: of the classes, in order; a class beyond their end is called "class N".
    """
    order = np.argsort(-probabilities, kind="stable")[:count].tolist()
    return [ClassScore(i, names[i] if i < len(names) else f"class {i}", float(probabilities[i])) for i in order]


def decode(
    kind: str, raw: np.ndarray, scale: float, pooling: str = "", output: OutputDescription = USUAL_OUTPUT
) -> np.ndarray:
    """A task's prediction in its own terms.

    raw: (height, width, channels), any number type. scale: value of one unit of raw. kind, pooling, output: see
    moesaic.spec.bundle.Task.
    "segmentation", "parts": the class with the largest output (the lowest on a tie), uint8 (height, width).
    "saliency", "edges": probability of being salient or an edge, float32 (height, width) in 0..1.
    "depth": metres, float32 (height, width). "normals": unit vectors, float32 (height, width, 3), x right, y down, z into the
    picture; towards the viewer where the output is zero. "classification": the probability of each class, float32 (classes,).
    "features": the tokens, float32 (tokens, channels), prefix tokens first.
    Any other kind: as `output.decoding` says. "classes", "metres" and "directions" are what segmentation, depth and normals give.
    "probabilities": the sigmoid of each channel, "values": each channel itself, float32 (height, width), or (height, width,
    channels) if there are several. UserError where it says nothing.
    """
    decoding = decoding_of(kind, output)
    if decoding == "classes":
        return raw.argmax(axis=-1).astype(np.uint8)
    if decoding == CLASSIFICATION:
        return class_probabilities(logits(raw[0], pooling) * scale)
    values = raw.astype(np.float64) * scale
    if decoding == FEATURES:
        return values[0].astype(np.float32)
    if decoding in ("probabilities", "values"):
        values = values[..., 0] if values.shape[-1] == 1 else values
        return probability(values) if decoding == "probabilities" else values.astype(np.float32)
    if decoding == "metres":
        return output.metres(values[..., 0]).astype(np.float32)
    if decoding == "directions":
        values = values @ output.axis_matrix.T
        length = np.linalg.norm(values, axis=-1, keepdims=True)
        unit = np.where(length > 0, values / np.where(length > 0, length, 1), np.array(TOWARDS_VIEWER))
        return unit.astype(np.float32)
    raise UserError(
        f"a task of kind {kind!r} has no decoding; known kinds: {', '.join(sorted(KINDS))}; others state {', '.join(DECODINGS)}"
    )
