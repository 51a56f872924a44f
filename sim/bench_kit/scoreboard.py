"""Exact comparison of a design's results with expected values, in order, with a count that must come out right."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Scoreboard:
    """Expected values in the order in which the design must produce them.

    `checked` counts the values observed so far. A bench ends with `close()`, which also fails on a dead design, for which
    nothing was checked. `name` appears in failure messages.
    """

    def __init__(self, name: str = "scoreboard") -> None:
        self.name = name
        self.expected = 0
        self.checked = 0
        self._pending: deque[object] = deque()

    def expect(self, values: Iterable[object]) -> None:
        """Append expected values; each is compared with `==`."""
        for value in values:
            self._pending.append(value)
            self.expected += 1

    def observe(self, value: object) -> None:
        """Compare one value from the design with the next expected one. Raises AssertionError if it differs or none is left."""
        assert self._pending, f"{self.name}: value {value} after the last of {self.expected} expected ones"
        expected = self._pending.popleft()
        assert value == expected, f"{self.name}: value {self.checked} is {value}, expected {expected}"
        self.checked += 1

    @property
    def complete(self) -> bool:
        """Whether all expected values have been observed."""
        return self.checked == self.expected

    def close(self) -> None:
        """Assert checked == expected > 0; AssertionError otherwise."""
        assert self.checked == self.expected > 0, f"{self.name}: {self.checked} checked, {self.expected} expected"
