"""Into what the last product of a layer is cut, for little to be left to store behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from moesaic.spec.dram_timing import BYTES_PER_CYCLE
from moesaic.spec.isa import INSTRUCTION_BYTES

_MOST_PIECES = 16
_PIECE_CYCLES = 2 * INSTRUCTION_BYTES / BYTES_PER_CYCLE
"""Of the memory, for a piece's instructions to be fetched: a product and a store."""

StoreCycles = Callable[[int, int], float]
"""Cycles of a store of so many blocks of rows and groups of columns."""


class Cut(NamedTuple):
    """Groups left..right of columns; pieces: in how many blocks of rows each they are multiplied and stored, one behind the other."""

    left: int
    right: int
    pieces: list[int]


def last_cuts(
    blocks: int, left: int, right: int, stored: int, steps: int, free: float, store_cycles: StoreCycles
) -> list[Cut]:
    """Into what to cut the product of so many blocks with groups left..right, for its stores to end soonest.

    Products take their steps one behind the other, while the store of the one before runs. Each piece has its price, so that there are
    as few of them as are worth it.

    stored: where the groups of columns that are not stored yet begin, at most `left`: the first stores take those below `left` along.
    steps: of a block times a group. free: when the store before has ended. Times are in cycles from the first step.
    """
    ways = []
    for cut in range(left, right):
        before, cuts, first, ended = steps * blocks * (cut - left), [], stored, free
        if cut > left:
            cuts, first = [Cut(left, cut, [blocks])], cut
            ended = max(free, before) + store_cycles(blocks, cut - stored)
        for end, pieces in _pieces(blocks, steps * (right - cut), ended - before, right - first, store_cycles):
            ways.append((before + end + (len(cuts) + len(pieces)) * _PIECE_CYCLES, [*cuts, Cut(cut, right, pieces)]))
    return min(ways)[1]


def _pieces(
    blocks: int, block_steps: int, free: float, stored_groups: int, store_cycles: StoreCycles
) -> Iterator[tuple[float, list[int]]]:
    """For each number of pieces into which so many blocks may be cut, the soonest end of their stores, and the pieces."""
    ends = np.arange(blocks + 1)
    # Of a piece that starts at the block of a row and ends at that of a column.
    store = np.array([math.inf, *(store_cycles(count, stored_groups) for count in range(1, blocks + 1))])
    store = store[np.maximum(ends - ends[:, None], 0)]
    ended = np.where(ends == 0, free, math.inf)
    starts: list[np.ndarray] = []
    for _ in range(min(blocks, _MOST_PIECES)):
        table = np.maximum(ended[:, None], ends * block_steps) + store
        starts.append(table.argmin(axis=0))
        ended = table.min(axis=0)
        end, pieces = blocks, []
        for start in reversed(starts):
            pieces.insert(0, int(end - start[end]))
            end = int(start[end])
        yield float(ended[blocks]), pieces
