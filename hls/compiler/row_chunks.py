"""Splits rows into chunks, so that one unit works on a chunk while the array works on its neighbours."""

from __future__ import annotations

from moesaic.hls.compiler.arena import round_up

BEFORE = (1, 1, 2, 3, 3)
"""Relative sizes of chunks when nothing hides the first one."""
AFTER = (1, 2, 2, 2, 1)
"""Relative sizes of chunks when nothing hides the last one; behind a small first one, a slower unit than the array begins early."""

Chunk = tuple[int, int]
"""(first row, number of rows)."""


def row_chunks(first: int, count: int, quantum: int, shares: tuple[int, ...]) -> list[Chunk]:
    """Split rows [first, first + count) into chunks of about these relative sizes, all but the last a multiple of `quantum`."""
    chunks, start, done = [], first, 0
    for share in shares:
        done += share
        target = first + count * done / sum(shares)
        end = min(first + round_up(max(round(target) - first, 1), quantum), first + count)
        if end > start:
            chunks.append((start, end - start))
            start = end
    return chunks


def equal_blocks(rows: int, most: int) -> list[Chunk]:
    """Split rows [0, rows) into blocks of `most` rows; the last may be smaller."""
    return [(first, min(most, rows - first)) for first in range(0, rows, most)]
