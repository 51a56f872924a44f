"""Two 4-bit integers in a byte, as a bundle stores the expert weights of a network that has them in 4 bits."""

from __future__ import annotations

import numpy as np

from moesaic.errors import UserError

INT4_MAX = 7


def pack_int4(values: np.ndarray) -> np.ndarray:
    """int8 (rows, columns) in -7..7 to uint8 (rows, ceil(columns / 2)): the even column in the low half, the odd one in the high.

    An odd number of columns leaves the last high half 0. UserError if a value is outside of -7..7.
    """
    if np.abs(values.astype(np.int16)).max(initial=0) > INT4_MAX:
        low, high = int(values.min()), int(values.max())
        raise UserError(f"values {low} to {high} do not fit 4 bits, whose range is -7 to 7: quantise again")
    nibbles = np.pad(values, ((0, 0), (0, values.shape[1] % 2))).view(np.uint8) & 0xF
    return nibbles[:, 0::2] | nibbles[:, 1::2] << 4


def unpack_int4(packed: np.ndarray, columns: int) -> np.ndarray:
    """What `pack_int4` packed, int8 (rows, columns). ValueError if `packed` is not uint8 (rows, ceil(columns / 2))."""
    if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != -(-columns // 2):
        raise ValueError(f"{columns} columns of 4 bits are not {packed.dtype} {packed.shape}")
    nibbles = np.stack([packed & 0xF, packed >> 4], -1).reshape(len(packed), -1)[:, :columns]
    return ((nibbles ^ 8).view(np.int8) - np.int8(8)).astype(np.int8)
