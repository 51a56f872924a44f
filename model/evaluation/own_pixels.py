"""Dense predictions brought back to each image's own pixels, where a described input is measured, as in the multi-task papers' code."""

import numpy as np

from moesaic.model.tasks.registry import truth_of
from moesaic.spec.output_description import USUAL_OUTPUT, OutputDescription, decoding_of
from moesaic.spec.placement import Placement

_LEAST = 1e-12  # of a probability or a length


def to_own_pixels(
    kind: str, prediction: np.ndarray, placement: Placement, output: OutputDescription = USUAL_OUTPUT
) -> np.ma.MaskedArray:
    """A prediction [C, h, w] of a whole network input at the image's own pixels, [H, W, C], masked where the network saw nothing.

    kind, output: of the task. For the interpolation see `at_own_pixels`.
    """
    values = np.moveaxis(np.asarray(prediction, np.float32), 0, -1)
    decoding = decoding_of(kind, output)
    if decoding == "probabilities":
        shown = placement.to_image(1 / (1 + np.exp(-values.astype(np.float64))))
        probability = np.clip(shown.data.astype(np.float64), _LEAST, 1 - _LEAST)
        return np.ma.MaskedArray(np.log(probability / (1 - probability)), np.ma.getmaskarray(shown))
    if decoding == "directions":
        return placement.to_image(values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), _LEAST))
    return placement.to_image(values, smooth=decoding != "classes")


def at_own_pixels(
    kind: str, prediction: np.ndarray, truth: np.ndarray, placement: Placement, output: OutputDescription = USUAL_OUTPUT
) -> tuple[np.ndarray, np.ndarray]:
    """A prediction [C, h, w] of a whole network input, and the image's ground truth, both at the image's own pixels.

    Returns [1, C, H, W] and [1, H, W] or [1, H, W, 3], as meters take them. Pixels that the network did not see are invalid. Values
    are interpolated as upstream M3ViT does it before it measures (`evaluation/evaluate_utils.py`, line 312, with `utils/config.py`, lines
    42-90, and `utils/utils.py`, lines 60-78): classes by the nearest pixel; probabilities, unit normals and depth outputs linearly.
    Unlike there, nothing is rounded to 8 bits on the way. truth: [H, W] or [H, W, 3], see `moesaic.model.tasks.targets`. output: says how
    a kind of another package is decoded; values are interpolated linearly.
    """
    shown = to_own_pixels(kind, prediction, placement, output)
    valid = truth.copy()
    valid[np.ma.getmaskarray(shown)[..., 0]] = truth_of(kind).invalid
    return np.moveaxis(shown.data, -1, 0)[None], valid[None]
