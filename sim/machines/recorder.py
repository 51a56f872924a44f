"""The events that recorder.sv reports, and control of the file that receives them, from inside the simulator process.

The numbers and the record layout below match recorder.sv and recorder.cpp; the latter's C functions are linked into the simulator.
"""

from __future__ import annotations

import ctypes
import enum
import os
from pathlib import Path

import numpy as np

SOURCES = (Path(__file__).parent / "recorder.cpp",)


class Kind(enum.IntEnum):
    """What happened in a cycle.

    ACCEPT: fetch handed an instruction to the unit's queue. TAKE, DONE: the unit started, completed its oldest instruction.
    STATE: the unit is in a new state from this cycle on. SAMPLE: nothing happened; the record carries the running totals.
    END: the run ended. ARRAY: the array starts or stops multiplying in this cycle.
    """

    ACCEPT = 0
    TAKE = 1
    DONE = 2
    STATE = 3
    SAMPLE = 4
    END = 5
    ARRAY = 6


class State(enum.IntEnum):
    """What a unit is doing: nothing (EMPTY, as at the start of a run), working, or waiting for what the name says."""

    EMPTY = 0
    WORKING = 1
    SEMAPHORES = 2
    DRAM = 3
    OPERANDS = 4
    DRAIN = 5
    QUEUE_FULL = 6


SAMPLE_CYCLES = 1000
"""Cycles between two SAMPLE events; they fall on multiples of this."""

EVENT = np.dtype(
    [
        ("cycle", "<u4"),
        ("array_cycles", "<u4"),  # in which the array multiplied, before this one
        ("bytes_read", "<u4"),  # by all DRAM ports since the run began
        ("bytes_written", "<u4"),
        ("kind", "u1"),
        ("unit", "u1"),  # moesaic.spec.isa.Unit, or moesaic.spec.isa.FETCH
        ("state", "u1"),
        ("unused", "u1"),
    ]
)


class Recorder:
    """The recorder of the running simulation. It writes events to files of EVENT records.

    moesaic.sim.measurements.timeline.timeline interprets them.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._open = library.recorder_open
        self._open.argtypes = [ctypes.c_char_p]
        self._close = library.recorder_close

    def open(self, path: Path) -> None:
        """Write all events from now on to `path`. Raises OSError if it cannot be opened."""
        self._check(self._open(os.fsencode(path)), path)

    def close(self, path: Path) -> None:
        """Finish the file opened as `path`. Raises OSError if it could not be written."""
        self._check(self._close(), path)

    @staticmethod
    def _check(status: int, path: Path) -> None:
        if status != 0:
            raise OSError(status, os.strerror(status), str(path))
