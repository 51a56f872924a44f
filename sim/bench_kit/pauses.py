"""Random pauses for sources (gaps in valid) and sinks (back-pressure on ready)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_PHASE_PROBABILITIES = (0.0, 0.0, 0.25, 0.5, 0.9)
_PHASE_CYCLES = 48


def never_pause() -> Iterator[bool]:
    """Yield False forever: full speed."""
    while True:
        yield False


def phased_pauses(rng: np.random.Generator) -> Iterator[bool]:
    """Yield one bool per cycle forever, True to pause, in random phases of 1 to 48 cycles from full speed to nearly stopped.

    One run thus exposes both faults that need a full queue and faults that need an empty one.
    """
    while True:
        probability = rng.choice(_PHASE_PROBABILITIES)
        yield from (rng.random(int(rng.integers(1, _PHASE_CYCLES, endpoint=True))) < probability).tolist()
