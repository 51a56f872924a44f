"""The events that recorder.sv reports, and control of their file from inside the simulator process.

The numbers and the layout below are those of recorder.sv and recorder.cpp, where the C functions are linked in.
"""

from __future__ import annotations

import ctypes
import enum
import os
from pathlib import Path

import numpy as np

SOURCES = (Path(__file__).parent / "recorder.cpp",)


class Kind(enum.IntEnum):
    """What happened: an instruction of the unit, the oldest of them, was handed out by fetch, was started, was completed;
    the unit's state is another from this cycle on; nothing, the totals are of interest; the run ended; the array begins or
    ceases to multiply in this cycle."""

    ACCEPT = 0
    TAKE = 1
    DONE = 2
    STATE = 3
    SAMPLE = 4
    END = 5
    ARRAY = 6


class State(enum.IntEnum):
    """What a unit does: nothing, work, or wait, and for what. Units are EMPTY at the start of a run."""

    EMPTY = 0
    WORKING = 1
    SEMAPHORES = 2
    DRAM = 3
    OPERANDS = 4
    DRAIN = 5
    QUEUE_FULL = 6


SAMPLE_CYCLES = 1000
"""A SAMPLE comes at every multiple of so many cycles."""

EVENT = np.dtype(
    [
        ("cycle", "<u4"),
        ("array_cycles", "<u4"),  # before this one in which the array multiplied
        ("bytes_read", "<u4"),  # by all DRAM ports since the run began
        ("bytes_written", "<u4"),
        ("kind", "u1"),
        ("unit", "u1"),  # moesaic.spec.isa.Unit, or their number for fetch
        ("state", "u1"),
        ("unused", "u1"),
    ]
)


class Recorder:
    """The recorder of the running simulation: writes the events of runs to files, which
    moesaic.sim.measurements.timeline.timeline reads."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._open = library.recorder_open
        self._open.argtypes = [ctypes.c_char_p]
        self._close = library.recorder_close

    def open(self, path: Path) -> None:
        """Write the events from now on to `path`. Raises OSError."""
        self._check(self._open(os.fsencode(path)), path)

    def close(self, path: Path) -> None:
        """End the file that was opened as `path`. Raises OSError if it could not be written."""
        self._check(self._close(), path)

    @staticmethod
    def _check(status: int, path: Path) -> None:
        if status != 0:
            raise OSError(status, os.strerror(status), str(path))
