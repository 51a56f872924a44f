"""Seeded random values with the corners mixed in, and the proof that the corners were hit."""

from __future__ import annotations

from collections.abc import Sequence

import cocotb
import numpy as np


def random_generator(stream: int = 0) -> np.random.Generator:
    """Return a generator seeded by the simulation's seed; each `stream` number gives an independent one."""
    return np.random.default_rng([cocotb.RANDOM_SEED, stream])


def with_corners(
    rng: np.random.Generator, low: int, high: int, count: int, corners: Sequence[int] = (), share: float = 0.25
) -> np.ndarray:
    """Return values in low..high, int64 [count], uniform, with about `share` of them replaced by corner values.

    low, high, -1, 0 and 1 (where in range) and `corners` are the corner values. Each occurs at least once.

    Raises:
        ValueError: `count` is smaller than the number of corner values.
    """
    wanted = sorted({value for value in (low, high, -1, 0, 1, *corners) if low <= value <= high})
    if count < len(wanted):
        raise ValueError(f"{count} values cannot hold {len(wanted)} corners")
    values = rng.integers(low, high, size=count, endpoint=True, dtype=np.int64)
    chosen = rng.random(count) < share
    values[chosen] = rng.choice(wanted, size=int(chosen.sum()))
    values[rng.choice(count, size=len(wanted), replace=False)] = wanted
    return values
