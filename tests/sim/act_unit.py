"""Bench of one unit on an activation memory of its own (sim/bench_kit/rtl/act_memory_bench.sv): fill, run instructions, dump."""

from __future__ import annotations

from dataclasses import dataclass

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.machines.dut import Dut
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import MachineFault, Memory, Program
from moesaic.spec.isa import Fault, pack
from moesaic.spec.machine import ReferenceMachine

RIVALS = (0, 0, 64, 160, 230)
"""Strengths of the rivals for the memory's banks, out of 256."""


def bench_configuration(act_bytes: int, tile_depth: int = 4) -> HardwareConfiguration:
    """The configuration that the plusargs of the running test describe."""
    args = cocotb.plusargs
    return HardwareConfiguration(
        name="bench", part="none", tile_rows=4, tile_columns=int(args["TileColumns"]), tile_depth=tile_depth,
        norm_lanes=int(args.get("NormLanes", 1)), act_ports=int(args.get("ActPorts", 2)), load_ports=1, act_bytes=act_bytes,
        act_banks=4, act_ultra_bytes=act_bytes // 4, shared_bytes=0, weight_bytes=65536,
        row_entries=int(args.get("RowEntries", 128)), queue_tokens=int(args.get("QueueTokens", 64)),
        experts=int(args.get("Experts", 16)), instruction_queue=8,
    )  # fmt: skip


@dataclass
class Outcome:
    cause: Fault
    cycles: int


class ActUnit:
    """Drives the ports that every bench of an act_memory_bench has.

    requests: signals of the bench with which the unit asks something of a memory.
    """

    requests = ("rd_valid", "wr_valid")

    def __init__(self, dut: Dut, configuration: HardwareConfiguration, rng: np.random.Generator) -> None:
        self.dut = dut
        self.word_bytes = configuration.act_word_bytes
        self.rng = rng
        for port in ("instr_valid_i", "instr_i", "rivals_i", "fill_valid_i", "fill_address_i", "fill_data_i",
                     "dump_valid_i", "dump_address_i"):  # fmt: skip
            getattr(dut, port).value = 0

    async def start(self) -> None:
        await clocking.start(self.dut)

    async def reset(self) -> None:
        """The core reset: registers, not memories."""
        self.dut.rst_ni.value = 0
        await ClockCycles(self.dut.clk_i, 3)
        self.dut.rst_ni.value = 1
        await RisingEdge(self.dut.clk_i)

    async def interrupt(self, instruction: bytes, cycles: int) -> None:
        """So many cycles of an instruction, then a single one of reset, after which nothing may be left of it."""
        dut = self.dut
        dut.instr_i.value = int.from_bytes(instruction, "little")
        dut.instr_valid_i.value = 1
        await ClockCycles(dut.clk_i, 1)
        dut.instr_valid_i.value = 0
        dut.instr_i.value = int.from_bytes(self.rng.bytes(64), "little")
        await ClockCycles(dut.clk_i, cycles)
        dut.rst_ni.value = 0
        await ClockCycles(dut.clk_i, 1)
        dut.rst_ni.value = 1
        await self.stays_silent(8)
        assert dut.instr_ready_o.value == 1, "a unit is ready after the reset"

    async def stays_silent(self, cycles: int) -> None:
        """For so many cycles, neither done nor fault, and nothing is asked of a memory."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk_i)
            assert self.dut.done_o.value == 0 and self.dut.fault_o.value == 0, "done or fault of no instruction"
            for port in self.requests:
                assert int(getattr(self.dut, port).value) == 0, f"{port} of no instruction"

    async def fill(self, memory: np.ndarray) -> None:
        self.dut.fill_valid_i.value = 1
        for address, word in enumerate(memory.reshape(-1, self.word_bytes)):
            self.dut.fill_address_i.value = address
            self.dut.fill_data_i.value = int.from_bytes(word.tobytes(), "little")
            await RisingEdge(self.dut.clk_i)
        self.dut.fill_valid_i.value = 0
        await RisingEdge(self.dut.clk_i)

    async def dump(self, size: int) -> np.ndarray:
        words = size // self.word_bytes
        content = bytearray()
        for cycle in range(words + 8):
            self.dut.dump_valid_i.value = int(cycle < words)
            self.dut.dump_address_i.value = min(cycle, words - 1)
            await RisingEdge(self.dut.clk_i)
            if self.dut.dump_data_valid_o.value == 1:
                content += int(self.dut.dump_data_o.value).to_bytes(self.word_bytes, "little")
        return np.frombuffer(bytes(content), np.uint8)

    async def run(self, instruction: bytes, rivals: int = 0, limit: int = 60_000) -> Outcome:
        """Run one instruction; its payload is there for the accepting cycle only. Exactly one of done and fault must come."""
        dut = self.dut
        dut.rivals_i.value = rivals
        dut.instr_i.value = int.from_bytes(instruction, "little")
        dut.instr_valid_i.value = 1
        await RisingEdge(dut.clk_i)
        while dut.instr_ready_o.value != 1:
            await RisingEdge(dut.clk_i)
        dut.instr_valid_i.value = 0
        dut.instr_i.value = int.from_bytes(self.rng.bytes(64), "little")
        done = fault = cycles = 0
        while not (done or fault):
            await RisingEdge(dut.clk_i)
            cycles += 1
            done, fault = int(dut.done_o.value), int(dut.fault_o.value)
            assert cycles < limit, f"neither done nor fault within {limit} cycles"
            assert done or fault or dut.instr_ready_o.value == 0, "ready for another instruction while busy"
        assert not (done and fault), "done and fault together"
        cause = Fault(int(dut.fault_cause_o.value)) if fault else Fault.NONE
        dut.rivals_i.value = 0
        for _ in range(4):
            await RisingEdge(dut.clk_i)
            assert dut.done_o.value == 0 and dut.fault_o.value == 0, "done or fault lasts longer than a cycle"
        assert dut.instr_ready_o.value == int(not fault), (
            "a unit is ready after done, and waits for reset after a fault"
        )
        return Outcome(cause, cycles)


def reference_outcome(machine: ReferenceMachine, instruction: bytes) -> Fault:
    """Run one instruction on the reference machine; the fault it stops with, or NONE."""
    code = np.frombuffer(instruction + pack("end"), np.uint8)
    try:
        machine.run(Program(0, len(code)), Memory(code, np.zeros(0, np.uint8)), 0)
    except MachineFault as fault:
        return fault.cause
    return Fault.NONE
