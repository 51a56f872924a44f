"""Lanes: the residual streams of a program that computes several results.

Results that are computed from the same image are the same network up to their first router. So a program starts with one lane per
image, and a lane that serves several results splits into one for each in front of their first experts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from moesaic.hls.compiler.row_chunks import Chunk
from moesaic.hls.compiler.target import Member, Target
from moesaic.spec.heads import blocks_run


@dataclass(frozen=True)
class Lane:
    """A residual stream: rows [first, first + tokens) of the matrix that holds all lanes.

    members: the results that it has been computed for so far; they have the same image.
    """

    first: int
    tokens: int
    members: tuple[Member, ...]

    @property
    def rows(self) -> Chunk:
        """(first row, number of rows)."""
        return self.first, self.tokens

    def part(self, first: int, count: int) -> Chunk | None:
        """What rows [first, first + count) have in common with the lane, as (first row, number of rows); None if nothing."""
        start, end = max(first, self.first), min(first + count, self.first + self.tokens)
        return (start, end - start) if start < end else None


@dataclass(frozen=True)
class Passage:
    """The lanes in one transformer block.

    attention: those that go through its attention.
    copies: (lane, its copy) pairs, made between attention and experts.
    mlp: those that go through its experts or dense MLP.
    leaving: (lane, result) pairs whose last block it is.
    """

    attention: tuple[Lane, ...]
    copies: tuple[tuple[Lane, Lane], ...]
    mlp: tuple[Lane, ...]
    leaving: tuple[tuple[Lane, Member], ...]


def image_lanes(target: Target) -> tuple[Lane, ...]:
    """The lanes at the start: one per image, in their order."""
    tokens = target.architecture.tokens
    return tuple(
        Lane(n * tokens, tokens, tuple(member for member in target.members if member.image == n))
        for n in range(len(target.image_offsets))
    )


def passages(target: Target) -> Iterator[Passage]:
    """The lanes of each transformer block that is needed, in order."""
    lanes = image_lanes(target)
    depth = {member: blocks_run(target.architecture, target.task(member)) for member in target.members}
    for block in range(max(depth.values())):
        attention, copies = lanes, ()
        if block in target.architecture.moe_blocks:
            lanes, copies = _split(lanes)
        mlp = lanes
        leaving = tuple((lane, member) for lane in lanes for member in lane.members if depth[member] == block + 1)
        yield Passage(attention, copies, mlp, leaving)
        staying = (replace(lane, members=tuple(m for m in lane.members if depth[m] > block + 1)) for lane in lanes)
        lanes = tuple(lane for lane in staying if lane.members)


def rows_needed(target: Target) -> int:
    """Rows of the matrix that holds all lanes."""
    return max(lane.first + lane.tokens for passage in passages(target) for lane in passage.mlp)


def row_ranges(lanes: Iterable[Lane]) -> list[Chunk]:
    """The rows of lanes, as few ranges as possible, in ascending order."""
    ranges: list[Chunk] = []
    for first, count in sorted(lane.rows for lane in lanes):
        if ranges and sum(ranges[-1]) == first:
            ranges[-1] = ranges[-1][0], ranges[-1][1] + count
        else:
            ranges.append((first, count))
    return ranges


def _split(lanes: tuple[Lane, ...]) -> tuple[tuple[Lane, ...], tuple[tuple[Lane, Lane], ...]]:
    """One lane for each member, and which lane each new one is a copy of. A lane's first member stays in it."""
    end = max(lane.first + lane.tokens for lane in lanes)
    kept, copies = [], []
    for lane in lanes:
        kept.append(replace(lane, members=lane.members[:1]))
        for member in lane.members[1:]:
            copies.append((lane, Lane(end, lane.tokens, (member,))))
            end += lane.tokens
    return (*kept, *(copy for _, copy in copies)), tuple(copies)
