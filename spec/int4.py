"""Two 4-bit integers in a byte: how a bundle stores the expert weights of a network that has them in 4 bits."""

from __future__ import annotations

import numpy as np

from moesaic.errors import UserError

INT4_MAX = 7
"""Values are -INT4_MAX to INT4_MAX."""


def pack_int4(values: np.ndarray) -> np.ndarray:
    """Pack int8 (rows, columns) in -7..7 into uint8 (rows, ceil(columns / 2)), even columns low and odd columns high in a byte.

    If the number of columns is odd, the last high half is 0. UserError if a value is outside -7..7.
    """
    if np.abs(values.astype(np.int16)).max(initial=0) > INT4_MAX:
        low, high = int(values.min()), int(values.max())
        raise UserError(f"values {low} to {high} do not fit 4 bits, whose range is -7 to 7: quantise again")
    nibbles = np.pad(values, ((0, 0), (0, values.shape[1] % 2))).view(np.uint8) & 0xF
    return nibbles[:, 0::2] | nibbles[:, 1::2] << 4


def unpack_int4(packed: np.ndarray, columns: int) -> np.ndarray:
    """Undo `pack_int4`: int8 (rows, columns). ValueError if `packed` is not uint8 (rows, ceil(columns / 2))."""
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != -(-columns // 2):
        raise ValueError(f"{columns} columns of 4 bits are not {packed.dtype} {packed.shape}")
    nibbles = np.stack([packed & 0xF, packed >> 4], -1).reshape(len(packed), -1)[:, :columns]
    return ((nibbles ^ 8).view(np.int8) - np.int8(8)).astype(np.int8)
