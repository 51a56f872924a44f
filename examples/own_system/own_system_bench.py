"""What runs inside the simulator: a memory and a master of registers, both of cocotbext-axi, and one run of the accelerator.

simulate.py starts it and says in plus-arguments where the windows' contents lie and which program is to be run.
"""

from __future__ import annotations

from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

CONSTANT_BASE, FRAME_BASE, MEMORY_BYTES = 0x10_0000, 0x80_0000, 0x100_0000
MAX_CYCLES = 200_000
# Offsets and bits as in docs/registers.md, moesaic_registers.rdl and moesaic_registers.xml.
CONTROL, STATUS, INTERRUPT_ENABLE, INTERRUPT_STATUS = 0x000, 0x004, 0x014, 0x018
CONSTANT_BASE_LOW, CONSTANT_SIZE, FRAME_BASE_LOW, FRAME_SIZE = 0x030, 0x038, 0x040, 0x048
PROGRAM_OFFSET, PROGRAM_SIZE = 0x050, 0x054
DONE = 1 << 1


@cocotb.test()
async def one_run(dut) -> None:
    """Write the windows into memory and the registers, start, wait for the interrupt, and leave the frame window in a file."""
    constants, frame = (Path(cocotb.plusargs[name]).read_bytes() for name in ("constants", "frame"))
    memory = AxiRam(
        AxiBus.from_prefix(dut, "m_axi"), dut.clk_i, dut.rst_ni, reset_active_level=False, size=MEMORY_BYTES
    )
    registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk_i, dut.rst_ni, reset_active_level=False)
    memory.write(CONSTANT_BASE, constants)
    memory.write(FRAME_BASE, frame)

    dut.rst_ni.value = 0
    Clock(dut.clk_i, 2, unit="step").start()
    await ClockCycles(dut.clk_i, 8)
    dut.rst_ni.value = 1
    for offset, value in (
        (CONSTANT_BASE_LOW, CONSTANT_BASE),
        (CONSTANT_SIZE, len(constants)),
        (FRAME_BASE_LOW, FRAME_BASE),
        (FRAME_SIZE, len(frame)),
        (PROGRAM_OFFSET, int(cocotb.plusargs["program_offset"])),
        (PROGRAM_SIZE, int(cocotb.plusargs["program_size"])),
        (INTERRUPT_ENABLE, 1),
        (CONTROL, 1),
    ):
        await registers.write_dword(offset, value)
    await First(RisingEdge(dut.irq_o), ClockCycles(dut.clk_i, MAX_CYCLES))
    assert await registers.read_dword(STATUS) == DONE, "the run has not ended, or not without a fault"
    await registers.write_dword(INTERRUPT_STATUS, 1)
    await ClockCycles(dut.clk_i, 2)
    assert dut.irq_o.value == 0
    Path(cocotb.plusargs["result"]).write_bytes(memory.read(FRAME_BASE, len(frame)))
