"""GELU, and the table that replaces it in hardware."""

import numpy as np
import torch
import torch.nn.functional as F


def gelu(values: np.ndarray) -> np.ndarray:
    """The exact GELU, x * Phi(x), of values of any shape, in float64."""
    return F.gelu(torch.from_numpy(np.asarray(values, np.float64))).numpy()


def gelu_table(index_scale: float, output_scale: float, entries: int) -> np.ndarray:
    """The table, int8 [entries]: entry i is GELU((i - entries / 2) * index_scale) / output_scale, rounded and clipped to -127..127."""
    inputs = (np.arange(entries) - entries // 2) * index_scale
    return np.clip(np.round(gelu(inputs) / output_scale), -127, 127).astype(np.int8)
