"""What a bench compares results with: values in order, exact, and a count that has to come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Scoreboard:
    """Expected values in the order in which they must come out of the design.

    `checked` grows with every value observed; a bench ends with `close()`, which fails on a dead design, because then
    nothing was checked.
    """

    def __init__(self, name: str = "scoreboard") -> None:
        self.name = name
        self.expected = 0
        self.checked = 0
        self._pending: deque[object] = deque()

    def expect(self, values: Iterable[object]) -> None:
        """Append the values, each compared with `==`."""
        for value in values:
            self._pending.append(value)
            self.expected += 1

    def observe(self, value: object) -> None:
        """Compare one value from the design with the next expected one. Raises AssertionError."""
        assert self._pending, f"{self.name}: value {value} after the last of {self.expected} expected ones"
        expected = self._pending.popleft()
        assert value == expected, f"{self.name}: value {self.checked} is {value}, expected {expected}"
        self.checked += 1

    @property
    def complete(self) -> bool:
        """All expected values were observed."""
        return self.checked == self.expected

    def close(self) -> None:
        """Assert checked == expected > 0."""
        assert self.checked == self.expected > 0, f"{self.name}: {self.checked} checked, {self.expected} expected"
