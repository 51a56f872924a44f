"""The constants by which the machine takes a mean of tokens (moesaic.spec.arithmetic.mean_of_rows); they hold no weights of a network.

Its products have operands of 8 bits, and the residual stream has 16. So a row of the stream is read as twice as many bytes: `HIGH` and
`LOW` are linear layers that pick the high and the low bytes of one column tile, `TABLE` drops the lowest bits of the low bytes, which
`SAME` then moves into the weight memory, and the row `TOKENS` adds up both, with 2**6 for the high bytes and 1 for what is left of
the low ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moesaic.hls.compiler.arena import round_up
from moesaic.hls.compiler.weight_layout import Linear, pack_linear
from moesaic.spec.arithmetic import MEAN_SHIFT, TABLE_ENTRIES, fixed_point_multiplier
from moesaic.spec.bundle import Architecture
from moesaic.spec.configuration import HardwareConfiguration

HIGH, LOW, SAME, TABLE, TOKENS = (f"pool.{name}" for name in ("high", "low", "same", "table", "tokens"))
_BYTE = 256


def padded_tokens(architecture: Architecture, configuration: HardwareConfiguration) -> int:
    """Rows of the weight memory that a byte of every token takes."""
    return round_up(architecture.tokens, configuration.tile_depth)


def _picked(configuration: HardwareConfiguration, bytes_of_channel: int, which: int) -> np.ndarray:
    """A linear layer of one column tile whose output c is byte number `which` of channel c, packed."""
    columns = configuration.tile_columns
    weight = np.zeros((columns, bytes_of_channel * columns), np.int8)
    weight[np.arange(columns), bytes_of_channel * np.arange(columns) + which] = 1
    multiplier, shift = (np.full(columns, part) for part in fixed_point_multiplier(1.0))
    return pack_linear(configuration, Linear(weight, np.zeros(columns, np.int32), multiplier, shift))


def _table() -> np.ndarray:
    """By a signed byte + TABLE_ENTRIES / 2, the byte without its sign and its lowest MEAN_SHIFT bits."""
    signed = np.arange(TABLE_ENTRIES) - TABLE_ENTRIES // 2
    return (signed % _BYTE >> MEAN_SHIFT).astype(np.uint8)


def _tokens(configuration: HardwareConfiguration, architecture: Architecture) -> np.ndarray:
    """The weights of every token's high byte, then of its low one; 0 for prefix tokens."""
    row = np.zeros((2, padded_tokens(architecture, configuration)), np.uint8)
    patches = slice(architecture.prefix_tokens, architecture.tokens)
    row[0, patches], row[1, patches] = _BYTE >> MEAN_SHIFT, 1
    return row.reshape(-1)


POOL_CONSTANTS: dict[str, Callable[[HardwareConfiguration, Architecture], np.ndarray]] = {
    HIGH: lambda configuration, architecture: _picked(configuration, 2, 1),
    LOW: lambda configuration, architecture: _picked(configuration, 2, 0),
    SAME: lambda configuration, architecture: _picked(configuration, 1, 0),
    TABLE: lambda configuration, architecture: _table(),
    TOKENS: _tokens,
}
"""The bytes of each constant, uint8, by its name in the constant window."""
