"""Axes of charts: where a value lies on an axis, and which values are marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from moesaic.pages.number_formats import general

_LOG_MARGIN = 1.25
_SI = ((1e9, " G"), (1e6, " M"), (1e3, " k"))


class Axis(Protocol):
    """A direction of a chart."""

    @property
    def ticks(self) -> Sequence[float]:
        """The values that are marked, all of them on the axis."""
        ...

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the start of the axis, 1 at its end."""
        ...

    def label(self, tick: float) -> str:
        """The text at a tick."""
        ...


@dataclass(frozen=True)
class LinearAxis:
    """An axis of the values low..high, low < high. ticks: the values that are marked."""

    low: float
    high: float
    ticks: Sequence[float]

    @classmethod
    def around(cls, values: Sequence[float], from_zero: bool = False) -> LinearAxis:
        """An axis, from one round value to another, on which all values (at least one) lie, with a little room above and below.

        from_zero: it starts at 0; the values are 0 or more.
        """
        low, high = min(values), max(values)
        margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        ticks = round_values(0.0 if from_zero else low - margin, high + margin)
        return cls(ticks[0], ticks[-1], ticks)

    @classmethod
    def of_values(cls, values: Sequence[float]) -> LinearAxis:
        """An axis that marks exactly these values (at least one), with room on both sides."""
        low, high = min(values), max(values)
        margin = (high - low) * 0.035 or 1.0
        return cls(low - margin, high + margin, tuple(values))

    def place(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def label(self, tick: float) -> str:
        return general(tick)


@dataclass(frozen=True)
class LogarithmicAxis:
    """An axis of the values low..high, 0 < low < high."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float]) -> LogarithmicAxis:
        """An axis on which all values (above 0, at least one) lie, with room on both sides."""
        return cls(min(values) / _LOG_MARGIN, max(values) * _LOG_MARGIN)

    @property
    def ticks(self) -> Sequence[float]:
        """1, 2 and 5 times each power of ten in the range, or the powers alone if that makes more than ten ticks."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        inside = [(digit, digit * 10.0**decade) for decade in decades for digit in (1, 2, 5)]
        inside = [(digit, tick) for digit, tick in inside if self.low <= tick <= self.high]
        return [tick for digit, tick in inside if digit == 1 or len(inside) <= 10]

    def place(self, value: float) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)

    def label(self, tick: float) -> str:
        for size, prefix in _SI:
            if tick >= size:
                return f"{tick / size:g}{prefix}"
        return f"{tick:g}"


def round_values(low: float, high: float) -> list[float]:
    """Three to seven round values that enclose low..high (low < high), in steps of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    for factor in (1, 2, 5, 10):
        first, last = math.floor(low / (step * factor)), math.ceil(high / (step * factor))
        if last - first < 7:
            return [n * step * factor for n in range(first, last + 1)]
    raise ValueError(f"{low} to {high} is no range")
