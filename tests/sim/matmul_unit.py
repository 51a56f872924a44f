"""Bench of the matmul unit (sim/bench_kit/rtl/matmul_bench.sv): fill its memories, run instructions, compare with the reference machine."""

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

SHAPES = {
    "tiny": {"TileRows": 4, "TileColumns": 8, "TileDepth": 4, "ActPorts": 2},
    "single": {"TileRows": 4, "TileColumns": 8, "TileDepth": 4, "ActPorts": 1},
    "odd": {"TileRows": 3, "TileColumns": 16, "TileDepth": 8, "ActPorts": 1},
    "row": {"TileRows": 1, "TileColumns": 8, "TileDepth": 8, "ActPorts": 1},
    "pair": {"TileRows": 2, "TileColumns": 16, "TileDepth": 8, "ActPorts": 2},
    "zcu104": {"TileRows": 10, "TileColumns": 32, "TileDepth": 8, "ActPorts": 2},
}
EXPERTS = 4
RESET_CYCLES = 2
"""That the control holds the units for at least; the copies of what moves the drain's queues need as many."""
_INPUTS = (
    "instr_valid_i", "instr_i", "stalls_i", "counters_clear_i", "fill_address_i", "act_fill_valid_i", "act_fill_data_i",
    "weight_fill_valid_i", "weight_fill_data_i", "table_fill_valid_i", "table_fill_data_i", "scale_fill_valid_i",
    "scale_fill_multiplier_i", "scale_fill_shift_i", "queue_clear_i", "queue_fill_valid_i", "queue_fill_expert_i",
    "queue_fill_token_i", "queue_fill_score_i", "dump_address_i", "act_dump_valid_i", "weight_dump_valid_i",
)  # fmt: skip


def configuration_of(parameters: dict[str, int]) -> HardwareConfiguration:
    """The configuration of a matmul_bench with these parameters."""
    return HardwareConfiguration(
        name="bench", part="none", tile_rows=parameters["TileRows"], tile_columns=parameters["TileColumns"],
        tile_depth=parameters["TileDepth"], norm_lanes=1, act_ports=parameters["ActPorts"], load_ports=1,
        act_bytes=parameters["ActBytes"], act_banks=parameters["ActBanks"], act_ultra_bytes=parameters["ActUltraBytes"], shared_bytes=0,
        weight_bytes=parameters["WeightBytes"], row_entries=parameters["RowEntries"], queue_tokens=parameters["QueueTokens"],
        experts=EXPERTS, instruction_queue=8,
    )  # fmt: skip


def bench_parameters(shape: str, act_bytes: int = 32768, weight_bytes: int = 32768) -> dict[str, int]:
    """Parameters of matmul_bench for one of SHAPES."""
    return {
        **SHAPES[shape], "ActBytes": act_bytes, "ActBanks": 4, "ActUltraBytes": act_bytes // 4, "WeightBytes": weight_bytes,
        "RowEntries": 256, "QueueTokens": 64, "Experts": EXPERTS,
    }  # fmt: skip


@dataclass
class Outcome:
    """What a run gave: the cause, NONE when all were done; per completed instruction the cycles from the acceptance of the
    first to its done; counts of cycles in which the array multiplied, a step waited for operands, a last step for the drain."""

    cause: Fault
    done: list[int]
    array: int
    operand_stall: int
    drain_stall: int


class MatmulUnit:
    """Drives a matmul_bench. Bytes are moved as little-endian words."""

    def __init__(self, dut: Dut, configuration: HardwareConfiguration) -> None:
        self.dut = dut
        self.configuration = configuration
        for port in _INPUTS:
            getattr(dut, port).value = 0

    async def start(self) -> None:
        """Clock, reset, empty queues."""
        await clocking.start(self.dut)
        await self.clear_queues()

    async def clear_queues(self) -> None:
        """Empty all expert queues."""
        self.dut.queue_clear_i.value = 1
        await RisingEdge(self.dut.clk_i)
        self.dut.queue_clear_i.value = 0

    async def push(self, expert: int, token: int, score: int) -> None:
        """Append one entry to an expert queue."""
        self.dut.queue_fill_valid_i.value = 1
        self.dut.queue_fill_expert_i.value = expert
        self.dut.queue_fill_token_i.value = token
        self.dut.queue_fill_score_i.value = score
        await RisingEdge(self.dut.clk_i)
        self.dut.queue_fill_valid_i.value = 0

    async def reset(self) -> None:
        """The core reset: registers, not memories."""
        self.dut.rst_ni.value = 0
        await ClockCycles(self.dut.clk_i, 3)
        self.dut.rst_ni.value = 1
        await RisingEdge(self.dut.clk_i)

    async def interrupt(self, instruction: bytes, cycles: int) -> None:
        """So many cycles of an instruction, then RESET_CYCLES, after which nothing may be left of it."""
        dut = self.dut
        dut.instr_i.value = int.from_bytes(instruction, "little")
        dut.instr_valid_i.value = 1
        await ClockCycles(dut.clk_i, 1)
        dut.instr_valid_i.value = 0
        await ClockCycles(dut.clk_i, cycles)
        dut.rst_ni.value = 0
        await ClockCycles(dut.clk_i, RESET_CYCLES)
        dut.rst_ni.value = 1
        await self.stays_silent(8)

    async def stays_silent(self, cycles: int) -> None:
        """For so many cycles, neither done nor fault."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk_i)
            assert self.dut.done_o.value == 0 and self.dut.fault_o.value == 0, "done or fault of no instruction"

    async def fill(self, machine: ReferenceMachine) -> None:
        """Bring every memory of the bench to the machine's contents; queues must be empty."""
        dut, c = self.dut, self.configuration
        for name, memory, word_bytes in (
            ("act", machine.act, c.act_word_bytes),
            ("weight", machine.weight, c.weight_word_bytes),
        ):
            getattr(dut, f"{name}_fill_valid_i").value = 1
            for address, word in enumerate(memory.reshape(-1, word_bytes)):
                dut.fill_address_i.value = address
                getattr(dut, f"{name}_fill_data_i").value = int.from_bytes(word.tobytes(), "little")
                await RisingEdge(dut.clk_i)
            getattr(dut, f"{name}_fill_valid_i").value = 0
        await self.fill_table(machine.table)
        dut.scale_fill_valid_i.value = 1
        for row in range(c.row_entries):
            dut.fill_address_i.value = row
            dut.scale_fill_multiplier_i.value = int(machine.row_multiplier[row])
            dut.scale_fill_shift_i.value = int(machine.row_shift[row])
            await RisingEdge(dut.clk_i)
        dut.scale_fill_valid_i.value = 0
        for expert in range(c.experts):
            for entry in range(int(machine.queue_count[expert])):
                await self.push(
                    expert, int(machine.queue_token[expert, entry]), int(machine.queue_score[expert, entry])
                )
        await RisingEdge(dut.clk_i)

    async def fill_table(self, table: np.ndarray) -> None:
        """Write both tables, 2,048 bytes."""
        dut = self.dut
        dut.table_fill_valid_i.value = 1
        for address in range(0, len(table), 16):
            dut.fill_address_i.value = address
            dut.table_fill_data_i.value = int.from_bytes(table[address : address + 16].tobytes(), "little")
            await RisingEdge(dut.clk_i)
            while dut.table_fill_ready_o.value != 1:
                await RisingEdge(dut.clk_i)
        dut.table_fill_valid_i.value = 0

    async def dump(self, name: str) -> np.ndarray:
        """The contents of "act" or "weight", uint8."""
        dut, c = self.dut, self.configuration
        size, word_bytes = {"act": (c.act_bytes, c.act_word_bytes), "weight": (c.weight_bytes, c.weight_word_bytes)}[
            name
        ]
        words = size // word_bytes
        valid, data_valid, data = (
            getattr(dut, f"{name}_dump_{port}") for port in ("valid_i", "data_valid_o", "data_o")
        )
        content = bytearray()
        for cycle in range(words + 8):
            valid.value = int(cycle < words)
            dut.dump_address_i.value = min(cycle, words - 1)
            await RisingEdge(dut.clk_i)
            if data_valid.value == 1:
                content += int(data.value).to_bytes(word_bytes, "little")
        return np.frombuffer(bytes(content), np.uint8)

    async def dump_maxima(self, rows: range) -> np.ndarray:
        """Row maxima, int64."""
        maxima = []
        for row in rows:
            self.dut.dump_address_i.value = row
            await ClockCycles(self.dut.clk_i, 4)
            maxima.append(self.dut.row_maximum_o.value.to_signed())
        return np.array(maxima, np.int64)

    async def run(self, instructions: list[bytes], stalls: int = 0, limit: int = 400_000) -> Outcome:
        """Run instructions, each payload there for the accepting cycle only. A done for each must come, or, once, a fault."""
        dut = self.dut
        dut.stalls_i.value = stalls
        dut.counters_clear_i.value = 1
        waiting = list(instructions)
        start, cycle, accepted = None, 0, 0
        done: list[int] = []
        fault = False
        while len(done) < len(instructions) and not fault:
            assert cycle < limit, f"neither done nor fault within {limit} cycles"
            dut.instr_valid_i.value = int(bool(waiting))
            dut.instr_i.value = int.from_bytes(waiting[0], "little") if waiting else (1 << 512) - 1
            await RisingEdge(dut.clk_i)
            cycle += 1
            if dut.done_o.value == 1:
                assert len(done) < accepted, "done of an instruction that was not accepted"
                done.append(cycle - start)
            if dut.fault_o.value == 1:
                assert dut.done_o.value == 0, "done and fault together"
                fault = True
            if waiting and dut.instr_ready_o.value == 1:
                start = cycle if start is None else start
                del waiting[0]
                accepted += 1
                dut.counters_clear_i.value = 0
        cause = Fault(int(dut.fault_cause_o.value)) if fault else Fault.NONE
        assert not fault or accepted - len(done) < 2 or dut.fault_older_o.value == 1, (
            "a fault of the younger is held back"
        )
        dut.instr_valid_i.value = 0
        dut.stalls_i.value = 0
        for _ in range(4):
            await RisingEdge(dut.clk_i)
            assert dut.done_o.value == 0 and dut.fault_o.value == 0, "done or fault lasts longer than a cycle"
        assert fault or dut.instr_ready_o.value == 1, "a unit is ready after done"
        counts = (int(getattr(dut, f"{name}_count_o").value) for name in ("array", "operand_stall", "drain_stall"))
        return Outcome(cause, done, *counts)


def reference_outcome(machine: ReferenceMachine, instructions: list[bytes]) -> tuple[Fault, int, int]:
    """Run instructions on the reference machine: the fault that stops them, or NONE, how many completed, their array cycles."""
    steps = 0
    for index, instruction in enumerate(instructions):
        code = np.frombuffer(instruction + pack("end"), np.uint8)
        try:
            steps += machine.run(Program(0, len(code)), Memory(code, np.zeros(0, np.uint8)), 0)["matmul_array"]
        except MachineFault as fault:
            return fault.cause, index, steps
    return Fault.NONE, len(instructions), steps


def running_parameters() -> dict[str, int]:
    """The parameters of the running test, from its plusargs."""
    return {name: int(value) for name, value in cocotb.plusargs.items() if str(value).isdigit()}
