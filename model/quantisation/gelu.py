"""GELU, and the table that the hardware has in its place."""

import numpy as np
import torch
import torch.nn.functional as F


def gelu(values: np.ndarray) -> np.ndarray:
    """x * Phi(x), the exact GELU, in float64."""
    return F.gelu(torch.from_numpy(np.asarray(values, np.float64))).numpy()


def gelu_table(index_scale: float, output_scale: float, entries: int) -> np.ndarray:
    """int8 [entries]: entry i is GELU((i - entries / 2) * index_scale) in units of output_scale, to half a unit."""
    inputs = (np.arange(entries) - entries // 2) * index_scale
    return np.clip(np.round(gelu(inputs) / output_scale), -127, 127).astype(np.int8)
