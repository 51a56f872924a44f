"""Sums of floats that do not depend on the order in which they are taken, for metrics that several processes measure together."""

import numpy as np

_UNIT_BITS = 1074  # every finite float64 is a whole multiple of 2 ** -1074


class ExactSum:
    """The exact sum of arrays of one shape, () by default: whole numbers of the smallest positive float64, of any length.

    Two sums add up to the sum of all that either has taken in.
    """

    def __init__(self, *shape: int) -> None:
        self._units = np.zeros(shape, object)  # Python's integers
        self._others = np.zeros(shape)  # what is infinite or NaN

    def add(self, values: np.ndarray | float) -> None:
        """Take in an array of this shape, as float64."""
        floats = np.asarray(values, np.float64)
        finite = np.isfinite(floats)
        self._units = np.asarray(self._units + _IN_UNITS(np.where(finite, floats, 0)), object)
        self._others = self._others + np.where(finite, 0, floats)

    def __add__(self, other: "ExactSum") -> "ExactSum":
        total = ExactSum(*self._units.shape)
        total._units = np.asarray(self._units + other._units, object)
        total._others = self._others + other._others
        return total

    @property
    def value(self) -> np.ndarray:
        """The sum rounded once to float64; infinite or NaN where the plain sum is."""
        return np.asarray(_TO_FLOAT(self._units), np.float64) + self._others


def _in_units(value: float) -> int:
    numerator, denominator = float(value).as_integer_ratio()
    return numerator << (_UNIT_BITS + 1 - denominator.bit_length())


def _to_float(units: int) -> float:
    return units / (1 << _UNIT_BITS)


_IN_UNITS, _TO_FLOAT = np.frompyfunc(_in_units, 1, 1), np.frompyfunc(_to_float, 1, 1)
