"""Matrices in the activation memory: their layout and their placement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from moesaic.hls.compiler.arena import Arena, Span
from moesaic.spec.configuration import HardwareConfiguration

_ELEMENT_BYTES = {"int8": 1, "int16": 2}


@dataclass(frozen=True)
class Matrix:
    """A matrix in the activation memory: rows of `columns` elements of `dtype`, int8 or int16, `pitch` bytes apart.

    first: number of the row at the start of the buffer, counted in tokens (or whatever the rows are), for buffers that hold a slice
        of them.
    """

    span: Span
    pitch: int
    columns: int
    dtype: str
    first: int = 0

    @property
    def element_bytes(self) -> int:
        """Bytes of one element."""
        return _ELEMENT_BYTES[self.dtype]

    def rows(self, first: int, count: int) -> Span:
        """The bytes of rows [first, first + count)."""
        start = self.address(first)
        return Span(self.span.space, start, start + count * self.pitch)

    def address(self, row: int) -> int:
        """The byte address of a row."""
        return self.span.start + (row - self.first) * self.pitch

    def holding(self, first: int) -> Matrix:
        """The same buffer with row `first` at its start."""
        return replace(self, first=first)


class Activations:
    """The part of the activation memory from byte `start` on, in which the matrices of one program are placed."""

    def __init__(self, configuration: HardwareConfiguration, start: int) -> None:
        self._configuration = configuration
        self._arena = Arena("act", start, configuration.act_bytes, configuration.act_word_bytes)

    @property
    def span(self) -> Span:
        """All bytes of this part of the memory."""
        return Span("act", self._arena.first, self._arena.end)

    @property
    def peak(self) -> int:
        """The most bytes ever in use at once."""
        return self._arena.peak

    def largest_gap(self) -> int:
        """Bytes of the largest buffer that could be placed now."""
        return self._arena.largest_gap()

    def allocate(self, what: str, size: int) -> Span:
        """Reserve bytes for something other than a matrix. Raises DoesNotFit, naming `what` it is, if there is no room."""
        return self._arena.allocate(what, size)

    def pitch(self, columns: int, dtype: str, spread: bool = False) -> int:
        """Bytes from row to row. spread: an odd number of words, so that successive rows start in all banks in turn."""
        c = self._configuration
        words = -(-_ELEMENT_BYTES[dtype] * columns // c.act_word_bytes)
        if spread and c.act_banks > 1 and words % 2 == 0:
            words += 1
        return words * c.act_word_bytes

    def place(self, what: str, rows: int, columns: int, dtype: str, spread: bool = False, top: bool = False) -> Matrix:
        """Place a new matrix.

        spread: see `pitch`.
        top: at the end of the memory, where it may be UltraRAM.

        Raises DoesNotFit, naming `what` it is, if there is no room.
        """
        pitch = self.pitch(columns, dtype, spread)
        return Matrix(self._arena.allocate(what, rows * pitch, top), pitch, columns, dtype)

    def free(self, matrices: Iterable[Matrix]) -> None:
        """Give back the bytes of matrices."""
        for matrix in matrices:
            self._arena.free(matrix.span)
