"""How close a quantised network comes to the float network it was made of."""

import numpy as np

from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.scales import Scales

_BATCH = 8


def decibels(exact: np.ndarray, approximate: np.ndarray) -> float:
    """The signal-to-noise ratio 10 log10(sum exact^2 / sum (approximate - exact)^2) of two arrays of one shape; infinite if equal."""
    noise = np.square(approximate - exact, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(exact, dtype=np.float64).sum() / noise)) if noise else float("inf")


def intersection_over_union(first: np.ndarray, second: np.ndarray) -> float:
    """Of two boolean masks of one shape, 0 to 1; 1 if both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def float_features(model: M3ViT, images: np.ndarray) -> np.ndarray:
    """The final norm's tokens on the first task's path, prefix tokens included, float32 [N, T, D], for images uint8 [N, h, w, 3]."""
    import torch

    task, parts = model.configuration.task_names[:1], []
    with torch.inference_mode():
        for first in range(0, len(images), _BATCH):
            x = model.embed(normalise(images[first : first + _BATCH]))
            for block in model.blocks:
                x = block(x, task)[0]
            parts.append(model.norm(x).numpy())
    return np.concatenate(parts)


def integer_features(network: IntegerNetwork, scales: Scales, images: np.ndarray) -> np.ndarray:
    """The final norm's tokens as `float_features` has them, from the integer network's int8 and the scales it was made with."""
    task, parts = next(iter(network.tasks)), []
    for image in images:
        record: dict[str, np.ndarray] = {}
        network.run(image[None], task, record)
        parts.append(record["norm"] * scales.norm.scale + scales.norm.offset)
    return np.concatenate(parts).astype(np.float32)
