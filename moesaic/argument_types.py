"""Types of command-line arguments for argparse, which reports their errors in one line.

Each takes the argument's text and raises ArgumentTypeError if it is not as described.
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError

SEED_END = 1 << 32


def positive(text: str) -> int:
    """An integer, at least 1."""
    return _integer(text, 1)


def natural(text: str) -> int:
    """An integer, at least 0."""
    return _integer(text, 0)


def seed(text: str) -> int:
    """An integer from 0 to 2**32 - 1."""
    value = _integer(text, 0)
    if value >= SEED_END:
        raise ArgumentTypeError(f"{value} is above {SEED_END - 1}")
    return value


def image_size(text: str) -> tuple[int, int]:
    """(height, width) in pixels, each at least 1, from HEIGHTxWIDTH, such as 128x256."""
    parts = text.split("x")
    if len(parts) != 2:
        raise ArgumentTypeError(f"{text!r} is no HEIGHTxWIDTH, such as 128x256")
    return positive(parts[0]), positive(parts[1])


def share(text: str) -> float:
    """A number above 0 and at most 1."""
    value = _number(text)
    if not 0 < value <= 1:
        raise ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def names(text: str) -> list[str]:
    """Names separated by commas, such as depth,normals, in their order and each once."""
    parts = text.split(",")
    if "" in parts:
        raise ArgumentTypeError(f"{text!r} is no list of names, such as depth,normals")
    return list(dict.fromkeys(parts))


def three_numbers(text: str) -> tuple[float, ...]:
    """Three numbers, for R, G and B, separated by commas, such as 0.5,0.5,0.5."""
    parts = text.split(",")
    if len(parts) != 3:
        raise ArgumentTypeError(f"{text!r} is no three numbers, such as 0.5,0.5,0.5")
    return tuple(map(_number, parts))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArgumentTypeError(f"{text!r} is no number")
    return value


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no integer") from None
    if value < least:
        raise ArgumentTypeError(f"{value} is below {least}")
    return value
