"""The protocol that every machine answers to: the reference machine, csim, the RTL simulation and the board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from moesaic.spec.isa import Fault

WINDOW_ALIGNMENT = 4096
"""Bytes: the physical address of a DRAM window is a multiple of this."""

MAX_CYCLES = 1_000_000_000
"""Default limit of a run: 3.3 s at 300 MHz, some hundred times the largest network that is planned for."""


@dataclass(frozen=True)
class Program:
    """Where a program lies in the constant window. offset, size: bytes, multiples of 64."""

    offset: int
    size: int


@dataclass
class Memory:
    """The two DRAM windows, uint8 arrays. A run changes `frame` in place and never `constants`."""

    constants: np.ndarray
    frame: np.ndarray


class MachineFault(Exception):
    """A run that the machine stopped.

    cause: why. unit: that stopped it, a name of moesaic.spec.isa.FAULT_UNIT_NAMES. tag: of its instruction, 0 where fetch stopped it.
    detail: what the machine knows beyond that, in words: the rule that a bad instruction breaks, who waits for whom at a TIMEOUT.
    """

    def __init__(self, cause: Fault, unit: str, tag: int, detail: str = "") -> None:
        text = f"the machine stopped: {cause.name} in the {unit} unit, instruction tag {tag}"
        super().__init__(f"{text}: {detail}" if detail else text)
        self.cause = cause
        self.unit = unit
        self.tag = tag
        self.detail = detail


Counters = dict[str, int]
"""Counter name (moesaic.spec.registers.COUNTERS) to value; a machine that has no clock leaves out what it cannot know."""


class Executor(Protocol):
    """A machine. It may be used for any number of runs, also after a fault; close() frees what it holds."""

    fingerprint: str

    def run(self, program: Program, memory: Memory, max_cycles: int) -> Counters:
        """Run to the end. Raises MachineFault; memory.frame is then undefined but inside its bounds."""
        ...

    def close(self) -> None: ...
