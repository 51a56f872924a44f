"""Decisions read from bytes: whoever makes the bytes, such as hypothesis, decides what a generator makes, and can shrink it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """A sequence of decisions. data: where they come from; when it has ended, every decision is the first alternative."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def below(self, count: int) -> int:
        """An integer from 0 to count - 1, count up to 2**32; made of 1, 2 or 4 bytes."""
        size = 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4
        value = int.from_bytes(self._data[self._position : self._position + size], "little")
        self._position += size
        return value % count

    def between(self, least: int, greatest: int) -> int:
        """An integer from least to greatest, both included."""
        return least + self.below(greatest - least + 1)

    def one_of(self, alternatives: Sequence[T]) -> T:
        """One of the alternatives."""
        return alternatives[self.below(len(alternatives))]

    def rarely(self, every: int) -> bool:
        """True in one of so many cases; False for bytes of 0."""
        return self.below(every) == every - 1
