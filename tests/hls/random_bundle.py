"""Bundles with random weights and realistic magnitudes, for tests that need sizes rather than accuracy."""

from __future__ import annotations

import numpy as np

from moesaic.spec.arithmetic import MEAN_SHIFT, SCORE_SHIFT_MAX, TABLE_ENTRIES, fixed_point_multiplier
from moesaic.spec.bundle import Architecture, Bundle, Task, expected_tensors, is_packed
from moesaic.spec.int4 import INT4_MAX


def random_bundle(architecture: Architecture, tasks: dict[str, Task], seed: int) -> Bundle:
    """A bundle whose activations spread over their ranges: multipliers bring every product to about a third of full scale."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray] = {}
    for name, (shape, dtype) in expected_tensors(architecture, tasks).items():
        part = name.split(".")[-1]
        if part == "weight":
            values = rng.integers(-127, 128, shape).astype(dtype)
            tensors[name] = np.clip(values, -INT4_MAX, INT4_MAX) if is_packed(architecture, name) else values
        elif part == "bias":
            tensors[name] = rng.integers(-3000, 3001, shape).astype(dtype)
        elif part == "multiplier":
            tensors[name] = rng.integers(1 << 15, 1 << 16, shape).astype(dtype)
        elif part == "gamma":
            tensors[name] = rng.integers(3000, 12000, shape).astype(dtype)
        elif part == "beta":
            tensors[name] = rng.integers(-2000, 2000, shape).astype(dtype)
        elif part == "position":
            tensors[name] = rng.integers(-6000, 6001, shape).astype(dtype)
        elif part == "attention_shift":
            tensors[name] = np.array(1, dtype)
        elif part == "score_shift":
            tensors[name] = np.array(rng.integers(0, SCORE_SHIFT_MAX + 1), dtype)
        elif part == "table":
            x = (np.arange(TABLE_ENTRIES) - TABLE_ENTRIES // 2) / 64
            tensors[name] = np.clip(np.round(127 / 6 * np.where(x > 0, x, 0.1 * np.sin(x))), -128, 127).astype(dtype)
        elif part == "shift":
            tensors[name] = np.array(18, dtype) if "norm" in name else np.zeros(shape, dtype)
    _scale(architecture, tensors)
    return Bundle("random", architecture, tasks, tensors, {})


def _scale(architecture: Architecture, tensors: dict[str, np.ndarray]) -> None:
    """Choose each linear layer's shift so that typical accumulators land in the range of its destination."""
    target = {"query": 40, "key": 40, "value": 60, "up": 150, "down": 3000, "projection": 3000, "patch_embed": 5000}
    for name in [name for name in tensors if name.endswith(".weight")]:
        layer = name.removesuffix(".weight")
        inputs = tensors[name].shape[1]
        wanted = target.get(layer.split(".")[-1], 800)
        _, shift = fixed_point_multiplier(wanted / (73 * 40 * np.sqrt(inputs)))
        tensors[f"{layer}.shift"] = np.full(len(tensors[name]), int(shift), np.uint8)
    head_dim = architecture.width // architecture.heads
    for name in [name for name in tensors if name.endswith("pool.multiplier")]:
        multiplier, shift = fixed_point_multiplier(2.0**MEAN_SHIFT / architecture.patches)
        tensors[name] = np.array(multiplier, np.uint16)
        tensors[name.replace("multiplier", "shift")] = np.array(shift, np.uint8)
    for name in [name for name in tensors if name.endswith("scores.multiplier")]:
        multiplier, shift = fixed_point_multiplier(500 / (40 * 40 * np.sqrt(head_dim)))
        tensors[name] = np.array(multiplier, np.uint16)
        tensors[name.replace("multiplier", "shift")] = np.array(shift, np.uint8)
