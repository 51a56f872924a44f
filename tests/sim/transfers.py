"""Random load and store instructions, and what a bench of either unit needs to run them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.isa import Fault, decode, pack

CONSTANT_BASE = 0x12_3456_7000
FRAME_BASE = 0x00_8000_0000


def unit_parameters(configuration: HardwareConfiguration, *fields: str) -> dict[str, int]:
    """Parameters of a module, UpperCamelCase, from fields of the configuration."""
    return {field.title().replace("_", ""): getattr(configuration, field) for field in fields}


def bench_configuration() -> HardwareConfiguration:
    """The configuration that the test names, with memories that share nothing: a unit knows each by its size alone."""
    return replace(load_configuration(cocotb.plusargs["configuration"]), shared_bytes=0)


def random_transfer(
    rng: np.random.Generator, window_bytes: int, local_bytes: int, most_beats: int = 400, local_overlaps: bool = True
) -> dict[str, int]:
    """Fields of a legal transfer: runs from one beat to several bursts, overlapping, spaced out or repeated."""
    while True:
        size = BEAT_BYTES * int(rng.choice([1, 2, 3, 4, 4, 7, 16, 17, 64, 65, 130, 300]))
        counts = [int(rng.choice([1, 1, 2, 3, 5, 9])) for _ in range(3)]
        if size > window_bytes or size * int(np.prod(counts)) > min(BEAT_BYTES * most_beats, local_bytes):
            continue
        fields = {"bytes": size, **{f"count_{i + 1}": count for i, count in enumerate(counts)}}
        for side, start, limit in (("dram", "dram_offset", window_bytes), ("local", "local_address", local_bytes)):
            reach = size
            for level in (1, 2, 3):
                steps = fields[f"count_{level}"] - 1
                outer = int(np.prod(counts[level:]))
                # Apart, each level leaves room for the ones outside it.
                apart = side == "local" and not local_overlaps and steps
                least = reach // BEAT_BYTES if apart else 0
                most = (limit // outer if apart else limit - reach) // (
                    BEAT_BYTES * (steps + 1 if apart else max(steps, 1))
                )
                choices = [least, size // BEAT_BYTES, most, int(rng.integers(least, most + 1))]
                stride = BEAT_BYTES * min(max(int(rng.choice(choices)), least), most)
                fields[f"{side}_stride_{level}"] = stride
                reach += steps * stride
            fields[start] = BEAT_BYTES * int(
                rng.choice([0, (limit - reach) // BEAT_BYTES, rng.integers(0, (limit - reach) // BEAT_BYTES + 1)])
            )
        return fields


@dataclass
class Outcome:
    cause: Fault
    cycles: int


class Unit:
    """Hands instructions to the unit under test as `issue` does: the payload is there for the accepting cycle only."""

    def __init__(self, dut: object, rng: np.random.Generator) -> None:
        self.dut = dut
        self.rng = rng
        self.fields: dict[str, int] = {}
        dut.instr_valid_i.value = 0
        dut.halt_i.value = 0

    async def execute(self, name: str, limit: int = 20_000, **fields: int) -> Outcome:
        """Run one instruction and return how it ended; Fault.NONE is done."""
        dut = self.dut
        code = pack(name, **fields)
        self.fields = decode(code)[1]
        dut.instr_i.value = int.from_bytes(code, "little")
        dut.instr_valid_i.value = 1
        await RisingEdge(dut.clk_i)
        while dut.instr_ready_o.value != 1:
            await RisingEdge(dut.clk_i)
        dut.instr_valid_i.value = 0
        dut.instr_i.value = int.from_bytes(self.rng.bytes(64), "little")
        for cycles in range(limit):
            await RisingEdge(dut.clk_i)
            if dut.fault_o.value == 1:
                return Outcome(Fault(int(dut.fault_cause_o.value)), cycles)
            if dut.done_o.value == 1:
                return Outcome(Fault.NONE, cycles)
        raise AssertionError(f"{name} neither done nor faulted after {limit} cycles: {self.fields}")

    async def recover(self) -> None:
        """What control does after a fault: halt, wait for a quiet bus, reset."""
        self.dut.halt_i.value = 1
        await ClockCycles(self.dut.clk_i, 1)
        await clocking.wait_until(self.dut, lambda: self.dut.idle_o.value == 1, 5_000)
        self.dut.rst_ni.value = 0
        self.dut.halt_i.value = 0
        await ClockCycles(self.dut.clk_i, 2)
        self.dut.rst_ni.value = 1

    async def reset_for_a_cycle(self) -> None:
        """One cycle of reset, which has to be enough. Only while the bus is quiet."""
        self.dut.rst_ni.value = 0
        await ClockCycles(self.dut.clk_i, 1)
        self.dut.rst_ni.value = 1
        await self.stays_silent(4)

    async def stays_silent(self, cycles: int) -> None:
        """Neither done nor fault for so many cycles."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk_i)
            assert self.dut.done_o.value == 0, "done without an instruction"
            assert self.dut.fault_o.value == 0, "a fault without an instruction"


def unpacking(transfer: dict[str, int]) -> dict[str, int]:
    """The transfer as a load that unpacks: everything on chip is twice as far apart. It takes twice the room there."""
    return {name: value << name.startswith("local") for name, value in transfer.items()} | {"unpack": 1}


def inside(bursts: list[tuple[int, int]], base: int, size: int) -> bool:
    """All (address, beats) bursts lie in the window."""
    return all(base <= address and address + BEAT_BYTES * beats <= base + size for address, beats in bursts)
