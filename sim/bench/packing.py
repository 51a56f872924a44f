"""Between lists of integers and packed vectors, `logic [N-1:0][W-1:0]`: element 0 in the low bits."""

from __future__ import annotations

from collections.abc import Iterable


def pack(values: Iterable[int], width: int) -> int:
    """Return the packed vector of `values`, signed or not, `width` bits each.

    Raises:
        ValueError: a value needs more than `width` bits.
    """
    mask = (1 << width) - 1
    word = 0
    for index, value in enumerate(map(int, values)):
        if not -(1 << (width - 1)) <= value <= mask:
            raise ValueError(f"value {value} of element {index} needs more than {width} bits")
        word |= (value & mask) << (index * width)
    return word


def unpack(word: int, width: int, count: int, *, signed: bool) -> list[int]:
    """Return the `count` elements of `width` bits that are packed in `word`."""
    mask = (1 << width) - 1
    values = [(word >> (index * width)) & mask for index in range(count)]
    if signed:
        return [value - (1 << width) if value >> (width - 1) else value for value in values]
    return values
