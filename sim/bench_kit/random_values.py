"""Seeded random values that are certain to include corner values."""

from __future__ import annotations

from collections.abc import Sequence

import cocotb
import numpy as np


def random_generator(stream: int = 0) -> np.random.Generator:
    """Return a generator seeded with the simulation's seed; every `stream` number gives an independent generator."""
    return np.random.default_rng([cocotb.RANDOM_SEED, stream])


def with_corners(
    rng: np.random.Generator, low: int, high: int, count: int, corners: Sequence[int] = (), share: float = 0.25
) -> np.ndarray:
    """Return int64 [count], uniform in low..high inclusive, with a fraction of about `share` replaced by corner values.

    The corner values are low, high, -1, 0, 1 and `corners`, as far as they lie in low..high. Each occurs at least once.

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
