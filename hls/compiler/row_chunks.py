"""Cuts rows into chunks, so that one unit works on a chunk while the array works on its neighbours."""

from __future__ import annotations

from moesaic.hls.compiler.arena import round_up

BEFORE = (1, 2, 3, 3)
"""Relative sizes of chunks of which nothing hides the first."""
AFTER = (3, 3, 2, 1)
"""Relative sizes of chunks of which nothing hides the last."""

Chunk = tuple[int, int]
"""First row and number of rows."""


def row_chunks(first: int, count: int, quantum: int, shares: tuple[int, ...]) -> list[Chunk]:
    """Rows first to first + count in pieces of about the given relative sizes, all but the last multiples of `quantum`."""
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
    """Rows 0 to `rows` in blocks of `most`, of which the last may be smaller."""
    return [(first, min(most, rows - first)) for first in range(0, rows, most)]
