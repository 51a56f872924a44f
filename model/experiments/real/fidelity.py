"""How close a quantised network comes to the float network it was made of."""

import numpy as np

from moesaic.model.evaluation.evaluate import predict
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.integer import IntegerNetwork

FEATURES_TASK = "features"
"""The one task of a backbone: the tokens after the final norm."""


def decibels(exact: np.ndarray, approximate: np.ndarray) -> float:
    """The signal-to-noise ratio 10 log10(sum exact^2 / sum (approximate - exact)^2) of two arrays of one shape; infinite if equal."""
    noise = np.square(approximate - exact, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(exact, dtype=np.float64).sum() / noise)) if noise else float("inf")


def intersection_over_union(first: np.ndarray, second: np.ndarray) -> float:
    """Of two boolean masks of one shape, 0 to 1; 1 if both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def float_features(model: M3ViT, images: np.ndarray) -> np.ndarray:
    """The tokens of the task FEATURES_TASK, prefix tokens included, float32 [N, T, D], for images uint8 [N, h, w, 3]."""
    return predict(model, images, FEATURES_TASK)


def integer_features(network: IntegerNetwork, images: np.ndarray) -> np.ndarray:
    """The integer network's tokens as `float_features` has them."""
    return network.predict(images, FEATURES_TASK, batch=1).astype(np.float32)
