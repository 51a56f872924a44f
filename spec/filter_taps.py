"""The weights with which source pixels make up target pixels when a line of pixels is resized, in integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np

CUBIC_ONE = 1 << 22
"""What the weights of the cubic filter add up to, but for rounding."""


@dataclass(frozen=True, eq=False)
class Taps:
    """A filter along one axis: target pixel i is made of the count[i] source pixels from first[i] on.

    first, count: int32 (target,). weights: int32 (target, longest count), zeros beyond the count.
    """

    first: np.ndarray
    count: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, part: slice) -> Taps:
        """The taps of a run of target pixels."""
        return Taps(self.first[part], self.count[part], self.weights[part])

    @property
    def totals(self) -> np.ndarray:
        """The sum of each target pixel's weights, int64 (target,)."""
        return self.weights.sum(axis=1, dtype=np.int64)

    @property
    def source(self) -> slice:
        """The source pixels that count for any target pixel; empty if there is none."""
        return slice(int(self.first.min(initial=1 << 30)), int((self.first + self.count).max(initial=0)))

    def matrix(self) -> np.ndarray:
        """The weights, int64 (target, pixels of `source`)."""
        source = self.source
        dense = np.zeros((len(self), source.stop - source.start), np.int64)
        row, place = np.nonzero(np.arange(self.weights.shape[1]) < self.count[:, None])
        dense[row, self.first[row] - source.start + place] = self.weights[row, place]
        return dense


@lru_cache(maxsize=16)  # the frames of a stream have one size
def triangle_taps(source: int, target: int) -> Taps:
    """The taps of a linear (triangle) filter, in the smallest integers that have their proportions.

    source, target: pixels. Target pixel i is centred on (i + 1/2) * source / target. The triangle reaches max(1, source / target)
    source pixels to each side: linear interpolation when enlarging, an average without aliasing when shrinking. All distances are
    multiplied by 2 * target / gcd(source, target), which makes them integers.
    """
    step = gcd(source, target)
    wide, narrow = source // step, target // step
    reach = 2 * max(wide, narrow)
    centre = (2 * np.arange(target, dtype=np.int64) + 1) * wide
    first = np.maximum((centre - reach - narrow) // (2 * narrow) + 1, 0)
    count = np.minimum(-((narrow - centre - reach) // (2 * narrow)), source) - first
    pixel = (2 * (first[:, None] + np.arange(count.max())) + 1) * narrow
    weights = np.maximum(reach - np.abs(pixel - centre[:, None]), 0)
    weights[np.arange(count.max()) >= count[:, None]] = 0
    return _frozen(first, count, weights)


@lru_cache(maxsize=16)  # as above
def cubic_taps(source: int, target: int) -> Taps:
    """The taps of a cubic filter (Keys, a = -1/2); a target pixel's weights add up to about CUBIC_ONE.

    The filter is widened by source / target when shrinking. These are Pillow's weights for BICUBIC, rounded as it rounds them, and
    every step is an arithmetic operation of IEEE 754, so that they are the same everywhere.
    """
    widening = max(source / target, 1.0)
    centre = (np.arange(target) + 0.5) * (source / target)
    first = np.maximum(np.floor(centre - 2 * widening).astype(np.int64) - 1, 0)
    last = np.minimum(np.ceil(centre + 2 * widening).astype(np.int64) + 1, source)
    pixel = first[:, None] + np.arange((last - first).max())
    x = np.abs((pixel - centre[:, None] + 0.5) * (1.0 / widening))
    near, far = ((1.5 * x) - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    weights[pixel >= source] = 0.0
    weights = weights / weights.cumsum(axis=1)[:, -1:]  # summed one after the other, as Pillow does
    return _frozen(first, last - first, np.trunc(weights * CUBIC_ONE + np.copysign(0.5, weights)))


def _frozen(*arrays: np.ndarray) -> Taps:
    taps = Taps(*(np.ascontiguousarray(array, np.int32) for array in arrays))
    for array in (taps.first, taps.count, taps.weights):
        array.flags.writeable = False
    return taps
