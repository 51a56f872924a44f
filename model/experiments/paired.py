"""Estimates from one value per seed: the mean, its 95 % interval by Student's t, and p-values corrected for their number."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
ROUNDING = 1e-12
"""Values that differ by less, relative to the largest, count as equal: their deviation would be that of rounding."""


@dataclass(frozen=True)
class Estimate:
    """The mean of one value per seed. Of differences between two networks with the same seeds, this is the paired t-test.

    low, high: the interval that contains the expected value in 95 % of such experiments, if values are normal. p: two-sided, that the
    expected value is 0. All three are None for a single value.
    """

    count: int
    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def half_width(self) -> float | None:
        """Half of the interval."""
        return None if self.high is None else self.high - self.mean

    @property
    def sign(self) -> int:
        """1 or -1 if the interval is above or below 0, otherwise 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def estimate(values: Sequence[float]) -> Estimate:
    """The estimate from at least one value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(1, mean)
    if max(values) - min(values) <= ROUNDING * max(map(abs, values)):
        return Estimate(len(values), mean, mean, mean, float(mean == 0))
    from scipy.special import stdtr, stdtrit  # Student's distribution function, and its inverse

    freedom, error = len(values) - 1, statistics.stdev(values) / math.sqrt(len(values))
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Estimate(len(values), mean, mean - half, mean + half, 2 * float(stdtr(freedom, -abs(mean) / error)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values adjusted for their number, in the same order (Holm, Scandinavian Journal of Statistics 6, 1979). None stays None."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted
