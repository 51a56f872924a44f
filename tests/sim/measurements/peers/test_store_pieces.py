"""How the last product is cut, against every way to cut it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from moesaic.sim.measurements.peers.store_pieces import Cut, last_cuts


def compositions(total: int) -> list[list[int]]:
    """All lists of positive integers with this sum."""
    cuts = [list(each) for n in range(total) for each in itertools.combinations(range(1, total), n)]
    return [[b - a for a, b in itertools.pairwise([0, *each, total])] for each in cuts]


@pytest.mark.parametrize("seed", range(20))
def test_no_way_of_cutting_ends_sooner(seed):
    rng = np.random.default_rng(seed)
    blocks, groups, left = (int(each) for each in rng.integers(1, [7, 4, 4]))
    stored, steps, free = left - int(rng.integers(0, left + 1)), int(rng.integers(20, 200)), float(rng.integers(0, 500))
    fixed, each = (int(n) for n in rng.integers(10, 200, 2))

    def store_cycles(count: int, columns: int) -> float:
        return fixed + each * count * columns

    def end(cuts: list[Cut]) -> tuple[float, int]:
        """When the last store ends, and how many pieces there are."""
        ended, multiplied, first = free, 0, stored
        for cut in cuts:
            for count in cut.pieces:
                multiplied += steps * count * (cut.right - cut.left)
                ended = max(ended, multiplied) + store_cycles(count, cut.right - first)
            first = cut.right
        return ended, sum(len(cut.pieces) for cut in cuts)

    right = left + groups
    found = last_cuts(blocks, left, right, stored, steps, free, store_cycles)
    assert [each for cut in found for each in (cut.left, cut.right)] in (
        [left, right],
        [left, found[0].right, found[0].right, right],
    )
    assert all(sum(cut.pieces) == blocks for cut in found)
    ways = [[Cut(left, right, pieces)] for pieces in compositions(blocks)]
    for middle in range(left + 1, right):
        ways += [[Cut(left, middle, [blocks]), Cut(middle, right, pieces)] for pieces in compositions(blocks)]
    price = 3.0  # of a piece: 128 bytes of instructions at 42.67 bytes a cycle
    least = min(ended + price * pieces for ended, pieces in map(end, ways))
    ended, pieces = end(found)
    assert ended + price * pieces == pytest.approx(least)
