"""An FST waveform of some cycles of a run, written from inside the simulator process."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly, RisingEdge

from moesaic.sim.machines.dut import Dut

SOURCES = (Path(__file__).parent / "waveform.cpp",)
CYCLE = 1000
"""Units of the file's time in a cycle: picoseconds, so that a viewer shows cycle 1,234 at 1,234 ns."""


async def record_window(dut: Dut, path: Path, first: int, last: int) -> None:
    """Wait for the next run to start and write its cycles `first` to `last`, both included, to `path`.

    Cycle 0 is the first that the counter of cycles counts. The clock rises at the start of a cycle and falls in its
    middle. A run that ends before `first` leaves no file; one that ends before `last`, or a cancelled task, a shorter one.
    Only simulators built with `trace` can do this. Raises OSError.
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
