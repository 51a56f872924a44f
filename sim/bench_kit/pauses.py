"""Random pauses for sources (gaps in valid) and sinks (back-pressure on ready)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_PHASE_PROBABILITIES = (0.0, 0.0, 0.25, 0.5, 0.9)
_PHASE_CYCLES = 48


def never_pause() -> Iterator[bool]:
    """Yield False for ever: full speed."""
    while True:
        yield False


def phased_pauses(rng: np.random.Generator) -> Iterator[bool]:
    """Yield one bool per cycle for ever, in phases of up to 48 cycles from full speed to nearly stopped.

    Faults that need a full queue, and faults that need an empty one, both show up within one run.
    """
    while True:
        probability = rng.choice(_PHASE_PROBABILITIES)
        yield from (rng.random(int(rng.integers(1, _PHASE_CYCLES, endpoint=True))) < probability).tolist()
