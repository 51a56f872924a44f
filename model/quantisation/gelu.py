"""GELU, and the table that replaces it in hardware."""

import numpy as np
import torch
import torch.nn.functional as F

from moesaic.model.quantisation.scales import ActivationScale
from moesaic.spec.arithmetic import TABLE_ENTRIES

_INT8_MAX = 127


def gelu(values: np.ndarray) -> np.ndarray:
    """The exact GELU, x * Phi(x), of values of any shape, in float64."""
    return F.gelu(torch.from_numpy(np.asarray(values, np.float64))).numpy()


def gelu_table(index: ActivationScale, hidden: ActivationScale) -> np.ndarray:
    """The table, int8 [1024]: entry i is GELU of the input that index i - 512 stands for, in the units of `hidden`, in -127..127.

    index, hidden: scale and offset, one number each, of the table's index and of its entries.
    """
    inputs = (np.arange(TABLE_ENTRIES) - TABLE_ENTRIES // 2) * index.scale + index.offset
    entries = np.round((gelu(inputs) - hidden.offset) / hidden.scale)
    return np.clip(entries, -_INT8_MAX, _INT8_MAX).astype(np.int8)
