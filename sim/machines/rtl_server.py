"""The part of the RTL executor that runs inside the simulator: it takes jobs from a socket and drives the control port.

A job is a run or a single access by a driver. Job and answer are one line of JSON each. The simulation stands still between jobs,
so the state of the machine and of the DRAM model carries over from run to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer, Trigger
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from moesaic.sim.machines.ddr4 import DDR4, FLAT
from moesaic.sim.machines.dram import CONSTANT_WINDOW, FRAME_WINDOW, Dram
from moesaic.sim.machines.dut import Dut
from moesaic.sim.machines.lite_orders import hold_channels
from moesaic.sim.machines.recorder import Recorder
from moesaic.sim.machines.waveform import record_window
from moesaic.spec.registers import (
    BY_NAME,
    CONTROL_START,
    COUNTERS,
    INTERRUPT_DONE,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_FAULT,
)

CLOCK_PERIOD_STEPS = 2
# After a timeout inside the machine, its interrupt waits at most for the bursts outstanding at that moment.
DRAIN_CYCLES = 200_000

Job = dict[str, Any]


class ControlPort:
    """The accelerator's 32-bit control registers, by name or byte offset.

    seed: of the order in which the channels of each access come; None for all at once.
    """

    def __init__(self, dut: Dut, seed: int | None = None) -> None:
        bus = AxiLiteBus.from_prefix(dut, "s_axi_control")
        self._clock = dut.clk_i
        self._master = AxiLiteMaster(bus, dut.clk_i, dut.rst_ni, reset_active_level=False)
        self._rng = None if seed is None else np.random.default_rng(seed)

    async def read(self, name: str) -> int:
        """Return the value of a register by name (moesaic.spec.registers)."""
        return await self.read_at(BY_NAME[name].offset)

    async def write(self, name: str, value: int) -> None:
        """Write an unsigned 32-bit value to a register by name."""
        await self.write_at(BY_NAME[name].offset, value)

    async def read_at(self, offset: int) -> int:
        """Return the value of the register at a byte offset."""
        self._draw_order()
        return await self._master.read_dword(offset)

    async def write_at(self, offset: int, value: int) -> None:
        """Write an unsigned 32-bit value to the register at a byte offset."""
        self._draw_order()
        await self._master.write_dword(offset, value)

    def _draw_order(self) -> None:
        if self._rng is not None:
            hold_channels(self._master, self._clock, self._rng)

    async def write_address(self, name: str, address: int) -> None:
        """Write a 64-bit address to the registers `<name>_LOW` and `<name>_HIGH`."""
        await self.write(f"{name}_LOW", address & 0xFFFF_FFFF)
        await self.write(f"{name}_HIGH", address >> 32)


def dram_bytes(dram: Dram, load_ports: int) -> dict[str, int]:
    """Return the bytes moved so far, by unit and direction; the main port is numbered after the load unit's ports."""
    return {
        "load_read": sum(dram.bytes_read(port) for port in range(load_ports)),
        "main_read": dram.bytes_read(load_ports),
        "main_written": dram.bytes_written(load_ports),
    }


@contextlib.asynccontextmanager
async def observed(dut: Dut, job: Job) -> AsyncIterator[None]:
    """Record the events and the waveform of a run started inside this context, if the job asks for them."""
    recorder = Recorder()
    events = job["events_file"]
    if events is not None:
        recorder.open(Path(events))
    window = job["waveform"]
    waveform = None if window is None else cocotb.start_soon(record_window(dut, **window))
    try:
        yield
    finally:
        if events is not None:
            recorder.close(Path(events))
        if waveform is not None:
            waveform.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waveform


async def run_job(dut: Dut, control: ControlPort, dram: Dram, load_ports: int, job: Job) -> Job:
    """Run one program. The answer holds status, fault registers, counters and DRAM bytes, or "hung" with the cycles waited."""
    dram.map(CONSTANT_WINDOW, job["constant_base"], job["constant_size"], Path(job["constant_file"]))
    dram.map(FRAME_WINDOW, job["frame_base"], job["frame_size"], Path(job["frame_file"]))
    dram.set_error(job["error_address"])
    await control.write_address("CONSTANT_BASE", job["constant_base"])
    await control.write("CONSTANT_SIZE", job["constant_size"])
    await control.write_address("FRAME_BASE", job["frame_base"])
    await control.write("FRAME_SIZE", job["frame_size"])
    await control.write("PROGRAM_OFFSET", job["program_offset"])
    await control.write("PROGRAM_SIZE", job["program_size"])
    await control.write("MAX_CYCLES", job["max_cycles"])
    await control.write("INTERRUPT_STATUS", INTERRUPT_DONE)
    await control.write("INTERRUPT_ENABLE", INTERRUPT_DONE)
    before = dram_bytes(dram, load_ports)
    async with observed(dut, job):
        await control.write("CONTROL", CONTROL_START)
        if dut.irq_o.value == 0:
            ended: list[Trigger] = [RisingEdge(dut.irq_o)]
            if job["max_cycles"]:
                ended.append(Timer((job["max_cycles"] + DRAIN_CYCLES) * CLOCK_PERIOD_STEPS, "step"))
            await First(*ended)
    if dut.irq_o.value == 0:
        return {"hung": job["max_cycles"] + DRAIN_CYCLES}
    status = await control.read("STATUS")
    assert status & STATUS_DONE and not status & STATUS_BUSY, f"interrupt with STATUS {status:#x}"
    moved = dram_bytes(dram, load_ports)
    return {
        "faulted": bool(status & STATUS_FAULT),
        "fault": await control.read("FAULT"),
        "fault_unit": await control.read("FAULT_UNIT"),
        "fault_tag": await control.read("FAULT_TAG"),
        "counters": {name: await control.read(f"COUNTER_{name.upper()}") for name, _ in COUNTERS},
        "dram_bytes": {name: moved[name] - before[name] for name in moved},
    }


async def access(dut: Dut, control: ControlPort, dram: Dram, job: Job) -> Job:
    """Perform one access for a driver that uses the accelerator as on a board, through registers and physical addresses."""
    match job["access"], job["values"]:
        case "read", [offset]:
            return {"value": await control.read_at(offset)}
        case "write", [offset, value]:
            await control.write_at(offset, value)
        case "map", [window, base, size, path]:
            dram.map(window, base, size, Path(path))
        case "error", [address]:
            dram.set_error(address)
        case "silent", [port, channel]:
            dram.set_silent(port, channel)
        case "reset", [cycles]:
            dut.rst_ni.value = 0
            await ClockCycles(dut.clk_i, cycles)
            dut.rst_ni.value = 1
            await ClockCycles(dut.clk_i, 1)
        case "advance", [cycles]:
            if dut.irq_o.value == 0:
                await First(RisingEdge(dut.irq_o), Timer(cycles * CLOCK_PERIOD_STEPS, "step"))
            return {"value": int(dut.irq_o.value)}
    return {"value": None}


async def count_interrupts(dut: Dut, count: list[int]) -> None:
    """Count the rising edges of irq in count[0]."""
    while True:
        await RisingEdge(dut.irq_o)
        count[0] += 1


@cocotb.test()
async def serve(dut: Dut) -> None:
    """Serve the jobs of the socket that the command line names."""
    await serve_jobs(dut, socket.socket(fileno=int(cocotb.plusargs["job_socket"])))


async def serve_jobs(dut: Dut, connection: socket.socket) -> None:
    """Reset the machine, send its fingerprint, and answer jobs until the socket closes."""
    logging.getLogger("cocotb.testbench.s_axi_control").setLevel(logging.WARNING)
    stream = connection.makefile("rw", encoding="utf-8", newline="\n")

    def answer(message: Job) -> None:
        stream.write(json.dumps(message) + "\n")
        stream.flush()

    dram, interrupts = Dram(), [0]
    options = json.loads(stream.readline())
    dram.set_timing(options["latency"], options["bytes_per_cycle"])
    dram.set_random(options["random_seed"])
    if options["dram"] != FLAT:
        dram.set_ddr4(DDR4[options["dram"]], options["channels"], options["random_seed"] or 0)

    control = ControlPort(dut, options["random_seed"])
    dut.rst_ni.value = 0
    Clock(dut.clk_i, CLOCK_PERIOD_STEPS, unit="step").start()
    await ClockCycles(dut.clk_i, 8)
    dut.rst_ni.value = 1
    await ClockCycles(dut.clk_i, 8)
    cocotb.start_soon(count_interrupts(dut, interrupts))
    fingerprint = await control.read("FINGERPRINT_HIGH") << 32 | await control.read("FINGERPRINT_LOW")
    answer({"fingerprint": f"{fingerprint:016x}"})
    for line in stream:
        job = json.loads(line)
        if job.get("access") == "interrupts":
            answer({"value": interrupts[0]})
        elif "access" in job:
            answer(await access(dut, control, dram, job))
        else:
            answer(await run_job(dut, control, dram, options["load_ports"], job))
