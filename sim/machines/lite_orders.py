"""The orders that AXI4-Lite leaves open to a master of registers: which channel comes first, and whether it is ready before the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cocotb
from cocotb.triggers import ClockCycles

if TYPE_CHECKING:
    import numpy as np
    from cocotb.handle import LogicObject
    from cocotbext.axi import AxiLiteMaster

_MOST_CYCLES = 9


def hold_channels(master: AxiLiteMaster, clock: LogicObject, rng: np.random.Generator) -> None:
    """Hold every channel of `master` for its own number of cycles, 0 to 8, from now on: call it right before an access.

    Data of a write then come before, with or after their address, and the master takes an answer before it is there or lets it wait.
    """
    write, read = master.write_if, master.read_if
    assert write is not None and read is not None, "a master without reads or without writes"
    channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
    for channel, cycles in zip(channels, rng.integers(0, _MOST_CYCLES, len(channels)).tolist()):
        if cycles:
            channel.pause = True
            cocotb.start_soon(_release(channel, clock, cycles))


async def _release(channel: Any, clock: LogicObject, cycles: int) -> None:
    await ClockCycles(clock, cycles)
    channel.pause = False
