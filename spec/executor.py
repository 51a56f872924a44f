"""The interface that every machine implements: the reference machine, the emulator, the simulated RTL and the board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from moesaic.spec.isa import Fault

WINDOW_ALIGNMENT = 4096
"""Bytes: the physical address of a DRAM window is a multiple of this."""

MAX_CYCLES = 1_000_000_000
"""Default limit of a run, in cycles: 3.3 s at 300 MHz, about a hundred times what the largest planned network needs."""


@dataclass(frozen=True)
class Program:
    """Where a program lies in the constant window.

    offset: bytes from the start of the window, a multiple of 64. size: bytes, a multiple of 64, `end` included.
    """

    offset: int
    size: int


@dataclass
class Memory:
    """The two DRAM windows, each a contiguous one-dimensional uint8 array whose length is a multiple of 16.

    constants: programs and weights; a run never changes them. frame: images in, results out; a run writes it in place.
    """

    constants: np.ndarray
    frame: np.ndarray


class MachineFault(Exception):
    """The machine stopped a run.

    cause: why. unit: the unit that stopped it, one of moesaic.spec.isa.FAULT_UNIT_NAMES. tag: tag of the instruction that the unit
    was executing, 0 if fetch stopped the run. detail: what else the machine can say, in words: which rule a bad instruction breaks,
    or which unit waits for what when a run times out; empty if it can say nothing.
    """

    def __init__(self, cause: Fault, unit: str, tag: int, detail: str = "") -> None:
        text = f"the machine stopped: {cause.name} in the {unit} unit, instruction tag {tag}"
        super().__init__(f"{text}: {detail}" if detail else text)
        self.cause = cause
        self.unit = unit
        self.tag = tag
        self.detail = detail

    def __reduce__(self) -> tuple[type[MachineFault], tuple[Fault, str, int, str]]:
        return MachineFault, (self.cause, self.unit, self.tag, self.detail)


Counters = dict[str, int]
"""Counter names (moesaic.spec.registers.COUNTERS) to values. A machine without a clock leaves out what it cannot measure."""

Progress = Callable[[int], bool]
"""Told again and again, while a run is under way, how many beats (moesaic.spec.dram_timing.BEAT_BYTES) it has written so far, until it
returns False."""


@runtime_checkable
class Executor(Protocol):
    """A machine. Until it is closed, it can make any number of runs, even after a fault.

    fingerprint: of its configuration, 16 hexadecimal digits (moesaic.spec.configuration.HardwareConfiguration.fingerprint).
    """

    fingerprint: str

    def run(self, program: Program, memory: Memory, max_cycles: int) -> Counters:
        """Run a program to its end and return the counters of the run.

        max_cycles: the run stops with TIMEOUT after this many cycles; 0 for no limit. A machine without a clock ignores it and
        raises TIMEOUT as soon as no unit can proceed.

        Raises MachineFault. memory.frame may then hold anything; nothing outside the two windows has been written.
        """
        ...

    def close(self) -> None:
        """Free what the machine holds. Closing it twice is harmless."""
        ...
