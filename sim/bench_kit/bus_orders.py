"""The orders that AXI leaves open to the other side of a bus, drawn by seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_PHASE_CYCLES = 48
_FAR = 16
_TAKING = ("ar", "aw", "w")
"""Channels on which a memory takes what a master offers."""


def always(value: bool) -> Iterator[bool]:
    """Yield the value forever."""
    while True:
        yield value


def phases(rng: np.random.Generator) -> Iterator[bool]:
    """Yield one bool per cycle forever, in phases of 1 to 48 cycles."""
    while True:
        value = bool(rng.integers(2))
        for _ in range(int(rng.integers(1, _PHASE_CYCLES, endpoint=True))):
            yield value


@dataclass
class BusOrders:
    """What a memory behind AXI does as it likes; each draws from the seed, one value a cycle or a burst.

    The ports of the accelerator use one ID each, so answers to a port stay in order; those of several ports interleave anyhow.

    Attributes:
        ready_waits: of each address and data channel, whether ready rises only after valid has been seen; otherwise ready may come first.
        data_first: whether a write address is taken only after data that belong to it; otherwise data only after their address.
        lateness: cycles by which an answer comes later than it could, 0 in half of the cases.
    """

    ready_waits: dict[str, Iterator[bool]]
    data_first: Iterator[bool]
    lateness: Iterator[int]

    @staticmethod
    def fixed() -> BusOrders:
        """Ready before valid, addresses before data, answers as early as they can be."""
        return BusOrders({channel: always(False) for channel in _TAKING}, always(False), iter(int, 1))

    @staticmethod
    def patient() -> BusOrders:
        """The other extreme: ready always after valid, data always before their address. Who waits for the other side stands still."""
        return BusOrders({channel: always(True) for channel in _TAKING}, always(True), iter(int, 1))

    @staticmethod
    def drawn(rng: np.random.Generator) -> BusOrders:
        """Every order in turn, by the generator's seed."""
        *waits, data_first, late = rng.spawn(len(_TAKING) + 2)
        return BusOrders(
            {channel: phases(stream) for channel, stream in zip(_TAKING, waits)}, phases(data_first), _lateness(late)
        )


def _lateness(rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield int(rng.choice((0, 0, int(rng.integers(1, _FAR)), int(rng.integers(_FAR, _FAR * _FAR)))))
