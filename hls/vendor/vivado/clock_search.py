"""Which clock to try next, from the slacks of the runs so far: a run takes hours, so each has to tell something."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

_NOMINAL_MHZ = 100.0
"""What the clocking wizard is fed with, before the board's reference makes it a little less."""
_OSCILLATOR_MHZ = (800.0, 1600.0)
"""Range of an MMCM's oscillator (AMD DS925, MMCM switching characteristics)."""
_EIGHTHS = 8
"""Multiplier and first divider of an MMCM go in steps of an eighth (AMD UG572)."""
_RANGE_MHZ = (50.0, 500.0)

LEAST_GAIN = 0.01
"""A clock that is faster by less than this share is not worth another run."""
MOST_RUNS = 5
"""Runs after which the highest clock that was met is kept; expected are one to three."""


@dataclass(frozen=True)
class Attempt:
    """A run. clock_mhz: what was asked for. slack_ns: its worst setup slack; the clock is met if that is not negative."""

    clock_mhz: float
    slack_ns: float

    @property
    def met(self) -> bool:
        """Whether the clock was met."""
        return self.slack_ns >= 0

    @property
    def reach_mhz(self) -> float:
        """The clock at which this very placement would just be met."""
        return 1000 / (1000 / self.clock_mhz - self.slack_ns)

    def to_dict(self) -> dict:
        """For a manifest."""
        return {"clock_mhz": self.clock_mhz, "setup_worst": self.slack_ns, "met": self.met}


@cache
def wizard_clocks() -> tuple[float, ...]:
    """The clocks from 50 to 500 MHz that an MMCM makes of 100 MHz without dividing it first, ascending, rounded down to 1 kHz."""
    lowest, highest = (round(mhz * _EIGHTHS / _NOMINAL_MHZ) for mhz in _OSCILLATOR_MHZ)
    made = set()
    for multiplier in range(lowest, highest + 1):
        for divider in range(_EIGHTHS, 128 * _EIGHTHS + 1):
            mhz = _NOMINAL_MHZ * multiplier / divider
            if _RANGE_MHZ[0] <= mhz <= _RANGE_MHZ[1]:
                made.add(math.floor(1000 * mhz) / 1000)
    return tuple(sorted(made))


def next_clock(attempts: Sequence[Attempt]) -> float | None:
    """The clock for the next run, or None if the highest clock that was met is good enough, or nothing more can be tried.

    Until a clock is met: the highest one that the last placements would have allowed. Afterwards: one between the highest that was met
    and the lowest that was missed, if the slack left promises at least LEAST_GAIN.
    """
    if len(attempts) >= MOST_RUNS:
        return None
    met = max((attempt for attempt in attempts if attempt.met), key=lambda attempt: attempt.clock_mhz, default=None)
    missed = min((attempt.clock_mhz for attempt in attempts if not attempt.met), default=_RANGE_MHZ[1] + 1)
    if met is None:
        reach, least = min((attempt.reach_mhz for attempt in attempts), default=missed), _RANGE_MHZ[0]
    else:
        reach, least = met.reach_mhz, met.clock_mhz * (1 + LEAST_GAIN)
    return max((mhz for mhz in wizard_clocks() if least <= mhz <= reach and mhz < missed), default=None)
