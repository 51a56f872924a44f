"""Places buffers in an on-chip memory: first fit over a list of free spans, in program order."""

from __future__ import annotations

from typing import NamedTuple

from moesaic.hls.compiler.does_not_fit import DoesNotFit


class Span(NamedTuple):
    """Bytes [start, end) of the on-chip memory or resource `space`."""

    space: str
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes of the span."""
        return self.end - self.start

    def overlaps(self, other: Span) -> bool:
        """Whether the two spans share a byte."""
        return self.space == other.space and self.start < other.end and other.start < self.end


class Arena:
    """Allocator of bytes [first, end) of one memory. space: the memory's name in spans and messages; alignment: bytes."""

    def __init__(self, space: str, first: int, end: int, alignment: int) -> None:
        self.space, self.first, self.end = space, first, end
        self.alignment = alignment
        self._used: list[Span] = []
        self.peak = 0
        """The most bytes ever in use at once, wherever they lie."""

    @property
    def size(self) -> int:
        """Bytes that the allocator manages, in use or not."""
        return self.end - self.first

    def _gaps(self) -> list[tuple[int, int]]:
        gaps, position = [], self.first
        for span in self._used:
            if span.start > position:
                gaps.append((position, span.start))
            position = span.end
        if position < self.end:
            gaps.append((position, self.end))
        return gaps

    def largest_gap(self) -> int:
        """Bytes of the largest buffer that could be placed now."""
        return max((end - start for start, end in self._gaps()), default=0)

    def allocate(self, what: str, size: int, top: bool = False) -> Span:
        """A span of `size` bytes, rounded up to the alignment, as low as possible or, with `top`, as high as possible.

        what: the buffer, for messages.

        Raises DoesNotFit, with the bytes needed and available, if there is no room.
        """
        size = round_up(size, self.alignment)
        gaps = self._gaps()
        for start, end in reversed(gaps) if top else gaps:
            if end - start >= size:
                span = Span(self.space, end - size, end) if top else Span(self.space, start, start + size)
                self._used = sorted([*self._used, span], key=lambda s: s.start)
                self.peak = max(self.peak, sum(used.size for used in self._used))
                return span
        raise DoesNotFit(what, size, self.space, f"{self.largest_gap()} of {self.size} are available")

    def free(self, span: Span) -> None:
        """Give back a span from `allocate`."""
        self._used.remove(span)


class Ring:
    """A circular prefetch buffer inside a span: blocks are placed one after another, and no block wraps around.

    A block that lives long, such as a router's for several groups of tokens, may lie in the way of the next round.
    """

    def __init__(self, span: Span) -> None:
        self.span = span
        self._head = span.start
        self._live: list[Span] = []

    def try_allocate(self, size: int, anywhere: bool = False) -> Span | None:
        """A span of `size` bytes for the next block, or None while live blocks are in its way.

        anywhere: also behind each of the live blocks, for a block that cannot wait.
        """
        behind = sorted(block.end for block in self._live) if anywhere else []
        for start in (self._head, self.span.start, *behind):
            block = Span(self.span.space, start, start + size)
            if block.end <= self.span.end and not any(block.overlaps(other) for other in self._live):
                self._live.append(block)
                self._head = block.end
                return block
        return None

    def free(self, block: Span) -> None:
        """Give back a block from `try_allocate`."""
        self._live.remove(block)


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple
