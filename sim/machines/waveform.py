"""Write an FST waveform of some cycles of a run from inside the simulator process."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly, RisingEdge

from moesaic.sim.machines.dut import Dut

SOURCES = (Path(__file__).parent / "waveform.cpp",)
CYCLE = 1000
"""Length of a cycle in the file's time unit, the picosecond, so that a viewer shows cycle 1,234 at 1,234 ns."""


async def record_window(dut: Dut, path: Path, first: int, last: int) -> None:
    """Wait for the next run to start, then write its cycles `first` to `last`, inclusive, to `path`.

    Cycle 0 is the first one counted by the cycle counter. The clock rises at the start of each cycle and falls halfway
    through it. A run that ends before `first` leaves no file; one that ends before `last`, or a cancelled task, leaves a
    shorter one. Needs a simulator built with `trace`. Raises OSError if the file cannot be written.
    """
    library = ctypes.CDLL(None)
    library.waveform_open.argtypes = [ctypes.c_char_p]
    library.waveform_dump.argtypes = [ctypes.c_uint64]
    await RisingEdge(dut.run_start_o)
    await ClockCycles(dut.clk_i, 1 + first)
    status = library.waveform_open(os.fsencode(path))
    if status != 0:
        raise OSError(status, os.strerror(status), str(path))
    try:
        for cycle in range(first, last + 1):
            await ReadOnly()
            library.waveform_dump(cycle * CYCLE)
            await FallingEdge(dut.clk_i)
            await ReadOnly()
            library.waveform_dump(cycle * CYCLE + CYCLE // 2)
            await RisingEdge(dut.clk_i)
    finally:
        library.waveform_close()
