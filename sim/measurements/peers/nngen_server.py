"""What runs inside the simulator of NNgen's layer: it starts the layer once and counts cycles until its interrupt."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from moesaic.sim.machines.dram import FRAME_WINDOW, Dram
from moesaic.sim.machines.dut import Dut

_PERIOD = 2
_START, _BUSY, _INTERRUPT_ENABLE = 16, 20, 40
"""Byte offsets of NNgen's registers, as it prints them for every design; its interrupt 0 comes when the design is no longer busy."""


@cocotb.test()
async def one_run(dut: Dut) -> None:
    """Run the layer on the memory in plus-argument `memory`, and write cycles and bytes to that in `result`, as JSON."""
    logging.getLogger("cocotb.nngen_bench.s_axi_control").setLevel(logging.WARNING)
    arguments = cocotb.plusargs
    dram, memory = Dram(), Path(str(arguments["memory"]))
    dram.set_timing(int(arguments["latency"]), float(arguments["bytes_per_cycle"]))
    dram.map(FRAME_WINDOW, 0, memory.stat().st_size, memory)
    bus = AxiLiteBus.from_prefix(dut, "s_axi_control")
    registers = AxiLiteMaster(bus, dut.clk_i, dut.rst_ni, reset_active_level=False)
    dut.rst_ni.value = 0
    Clock(dut.clk_i, _PERIOD, unit="step").start()
    await ClockCycles(dut.clk_i, 16)
    dut.rst_ni.value = 1
    await ClockCycles(dut.clk_i, 16)
    await registers.write_dword(_INTERRUPT_ENABLE, 1)
    await registers.write_dword(_START, 1)
    started = get_sim_time("step")
    await First(RisingEdge(dut.irq_o), Timer(int(arguments["max_cycles"]) * _PERIOD, "step"))
    cycles = int(get_sim_time("step") - started) // _PERIOD
    assert dut.irq_o.value == 1 and not await registers.read_dword(_BUSY), "the layer has not ended"
    moved = {"read": dram.bytes_read(0), "written": dram.bytes_written(0)}
    Path(str(arguments["result"])).write_text(json.dumps({"cycles": cycles, "dram_bytes": moved}))
