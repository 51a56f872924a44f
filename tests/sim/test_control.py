"""The register file and the life of a run: every register, every way to end, and nothing half started."""

from collections import Counter

import cocotb
import pytest
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.packing import pack
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.isa import FAULT_UNIT_NAMES, Fault, Unit
from moesaic.spec.registers import (
    BY_NAME,
    CONTROL_START,
    CONTROL_STOP,
    COUNTERS,
    REGISTERS,
    STATUS_BUSY,
    STATUS_DONE,
    STATUS_FAULT,
    STATUS_STOPPED,
)
from tests.sim.run_registers import RUN_REGISTERS
from tests.verify.mutation.workload import configuration

FINGERPRINT = int(configuration().fingerprint, 16)
"""That of the design which mutants are made of, so that a mutant of its netlist can be tried here."""
UNITS = len(FAULT_UNIT_NAMES)
# What of a writable register is kept; all of it where nothing is said.
KEPT = {
    "CONTROL": 0,
    "INTERRUPT_ENABLE": 1,
    "CONSTANT_BASE_LOW": 0xFFFF_F000,
    "CONSTANT_BASE_HIGH": 0xFF,
    "FRAME_BASE_LOW": 0xFFFF_F000,
    "FRAME_BASE_HIGH": 0xFF,
    "PROGRAM_OFFSET": 0xFFFF_FFC0,
}
EVENTS = [name for name, _ in COUNTERS if name not in ("cycles", "instructions")]
INDEX = {name: index for index, (name, _) in enumerate(COUNTERS)}


async def watch_orders(dut, seen):
    """Counts in `seen` in which order the channels of writes come, and whether the master is ready before the answers."""
    taken = {"aw": 0, "w": 0}
    answered = {"b": False, "r": False}
    while True:
        await RisingEdge(dut.clk_i)
        offered = {name: getattr(dut, f"s_axi_{name}valid").value == 1 for name in ("aw", "w", "b", "r")}
        ready = {name: getattr(dut, f"s_axi_{name}ready").value == 1 for name in offered}
        started = {name: offered[name] and not answered[name] for name in answered}
        for name, first in started.items():
            if first:
                seen[f"{name} {'ready' if ready[name] else 'valid'} first"] += 1
            answered[name] = offered[name] and not ready[name]
        for name, other in (("aw", "w"), ("w", "aw")):
            if offered[name] and not offered[other] and taken[name] == taken[other]:
                seen[f"{name} first"] += 1
        if offered["aw"] and offered["w"]:
            seen["both"] += 1
        for name in taken:
            taken[name] += offered[name] and ready[name]


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.seen = Counter()
        cocotb.start_soon(watch_orders(dut, self.seen))
        self.rng = random_generator()
        self.board = Scoreboard("registers")
        bus = AxiLiteBus.from_prefix(dut, "s_axi")
        self.master = AxiLiteMaster(bus, dut.clk_i, dut.rst_ni, reset_active_level=False)
        channels = (
            self.master.write_if.aw_channel, self.master.write_if.w_channel, self.master.write_if.b_channel,
            self.master.read_if.ar_channel, self.master.read_if.r_channel,
        )  # fmt: skip
        for stream, channel in enumerate(channels, 1):
            channel.set_pause_generator(phased_pauses(random_generator(stream)))
        self.rest()

    def rest(self):
        for name in ("end_i", "units_empty_i", "fault_i", "fault_cause_i", "fault_tag_i", "completed_i", "event_i"):
            getattr(self.dut, name).value = 0
        self.dut.read_beats_i.value = 0
        self.dut.bus_idle_i.value = 1

    async def read(self, name):
        return await self.master.read_dword(BY_NAME[name].offset)

    async def check(self, name, value):
        """Read a register that must hold the value."""
        self.board.expect([(name, value)])
        self.board.observe((name, await self.read(name)))

    async def write(self, name, value):
        await self.master.write_dword(BY_NAME[name].offset, value)

    async def start(self):
        """Start, and return in the first cycle of the run."""
        written = cocotb.start_soon(self.write("CONTROL", CONTROL_START))
        await clocking.wait_until(self.dut, lambda: self.dut.start_o.value == 1, 400)
        assert self.dut.core_rst_no.value == 1 and self.dut.halt_o.value == 0
        return written

    async def ended(self, wait_idle=0):
        """Wait for the halt, keep the bus busy for a while, and check what follows."""
        self.dut.bus_idle_i.value = int(wait_idle == 0)
        await clocking.wait_until(self.dut, lambda: self.dut.halt_o.value == 1, 2_000)
        for _ in range(wait_idle):
            assert self.dut.halt_o.value == 1 and self.dut.core_rst_no.value == 1, "units reset under a busy bus"
            await RisingEdge(self.dut.clk_i)
        self.rest()
        await ClockCycles(self.dut.clk_i, 3)
        assert self.dut.core_rst_no.value == 0, "units are not held"

    def fault(self, causes, tags):
        """causes, tags: by unit."""
        self.dut.fault_i.value = sum(1 << unit for unit in causes)
        self.dut.fault_cause_i.value = pack([causes.get(unit, 0) for unit in range(UNITS)], 4)
        self.dut.fault_tag_i.value = pack(tags, 32)


@cocotb.test()
async def registers_keep_what_they_should(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    await bench.check("FINGERPRINT_LOW", FINGERPRINT & 0xFFFF_FFFF)
    await bench.check("FINGERPRINT_HIGH", FINGERPRINT >> 32)
    writable = [r.name for r in REGISTERS if r.access == "rw"]
    expected = {r.name: await bench.read(r.name) for r in REGISTERS}
    for name, value in expected.items():
        assert value == 0 or name.startswith("FINGERPRINT"), f"{name} is {value:#x} after reset"
    for _ in range(60):
        register = BY_NAME[str(bench.rng.choice(list(BY_NAME)))]
        if register.name == "CONTROL":
            continue
        value, lanes = int(bench.rng.integers(1 << 32)), sorted(bench.rng.choice(4, 2))
        first, last = int(lanes[0]), int(lanes[1])
        await bench.master.write(register.offset + first, value.to_bytes(4, "little")[first : last + 1])
        if register.name in writable:
            mask = sum(0xFF << (8 * lane) for lane in range(first, last + 1))
            merged = expected[register.name] & ~mask | value & mask
            expected[register.name] = merged & KEPT.get(register.name, 0xFFFF_FFFF)
        found = {r.name: await bench.read(r.name) for r in REGISTERS}
        assert found == expected, f"after writing {value:#x} to bytes {first}..{last} of {register.name}"
    # Nothing lies outside the table: writes are ignored, reads give 0.
    outside = sorted(set(range(0, 1 << 12, 4)) - {register.offset for register in REGISTERS})
    for address in outside:
        await bench.master.write_dword(address, 0xFFFF_FFFF)
    assert {r.name: await bench.read(r.name) for r in REGISTERS} == expected
    assert not [address for address in outside if await bench.master.read_dword(address)]
    # Only bit 0 of CONTROL starts, only a started machine runs.
    await bench.write("CONTROL", 0xFFFF_FFFE)
    await ClockCycles(dut.clk_i, 5)
    assert dut.core_rst_no.value == 0 and await bench.read("STATUS") == 0
    for order in ("aw first", "w first", "both", "b ready first", "b valid first", "r ready first", "r valid first"):
        assert bench.seen[order], f"never seen: {order}"
    bench.board.close()


@cocotb.test()
async def a_run_uses_the_registers_of_its_start(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for names, value in RUN_REGISTERS.values():
        for part, name in enumerate(names):
            await bench.write(name, value >> (32 * part) & 0xFFFF_FFFF)
    await bench.start()
    for names, _ in RUN_REGISTERS.values():
        for name in names:
            await bench.write(name, 0x5555_5555)
    await bench.write("CONTROL", CONTROL_START)  # ignored: busy
    await bench.check("STATUS", STATUS_BUSY)
    for port, (_, value) in RUN_REGISTERS.items():
        assert int(getattr(dut, port).value) == value, port
    await bench.check("FRAME_SIZE", 0x5555_5555)
    dut.end_i.value = 1
    await ClockCycles(dut.clk_i, 20)
    await bench.check("STATUS", STATUS_BUSY)  # ended while units work
    dut.units_empty_i.value = 1
    await bench.ended()
    await bench.check("STATUS", STATUS_DONE)
    await bench.check("FAULT", 0)
    assert dut.irq_o.value == 0
    bench.board.close()


@cocotb.test()
async def counters_count_the_run(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for length in (1, 40, 200):
        expected = dict.fromkeys(INDEX, 0)
        await bench.start()
        for cycle in range(length):
            events = {name for name in EVENTS if bench.rng.random() < 0.5}
            completed = int(bench.rng.integers(1 << len(Unit)))
            beats = int(bench.rng.integers(1 << len(dut.read_beats_i)))
            dut.event_i.value = sum(1 << INDEX[name] for name in events)
            dut.completed_i.value = completed
            dut.read_beats_i.value = beats
            dut.end_i.value = dut.units_empty_i.value = int(cycle == length - 1)
            await RisingEdge(dut.clk_i)
            for name in events - {"read_beats"}:
                expected[name] += 1
            expected["read_beats"] += beats.bit_count()
            expected["instructions"] += completed.bit_count()
        expected["cycles"] = length
        expected["instructions"] += 1  # end itself
        await bench.ended(wait_idle=30)
        for name in INDEX:
            await bench.check(f"COUNTER_{name.upper()}", expected[name])
    bench.board.close()


@cocotb.test()
async def the_first_fault_wins(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    # each bit of each unit's cause as 0 and 1, then several units at once
    tried = [{unit: cause} for unit in range(UNITS) for cause in (0b0101, 0b1010)]
    for _ in range(30):
        some = bench.rng.choice(UNITS, int(bench.rng.integers(1, 4)), replace=False)
        tried.append({int(unit): int(bench.rng.integers(1, len(Fault))) for unit in some})
    for causes in tried:
        units = sorted(causes)
        tags = [int(bench.rng.integers(1 << 32)) for _ in range(UNITS)]
        await bench.start()
        await ClockCycles(dut.clk_i, int(bench.rng.integers(1, 20)))
        bench.fault(causes, tags)
        # A fault in the very cycle in which the run would be done is a fault.
        dut.end_i.value = dut.units_empty_i.value = int(bench.rng.integers(2))
        await RisingEdge(dut.clk_i)
        later = {int(bench.rng.integers(UNITS)): int(Fault.AXI_WRITE)}
        bench.fault(later, [0] * UNITS)
        await bench.ended(wait_idle=int(bench.rng.integers(20)))
        await bench.check("STATUS", STATUS_DONE | STATUS_FAULT)
        await bench.check("FAULT", causes[units[0]])
        await bench.check("FAULT_UNIT", units[0])
        await bench.check("FAULT_TAG", tags[units[0]])
    await bench.start()
    dut.end_i.value = dut.units_empty_i.value = 1
    await bench.ended()
    await bench.check("STATUS", STATUS_DONE)  # a start clears the fault
    assert [await bench.read(name) for name in ("FAULT", "FAULT_UNIT", "FAULT_TAG")] == [0, 0, 0]
    bench.board.close()


@cocotb.test()
async def a_run_that_takes_too_long_is_stopped(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for limit in (1, 10, 300):
        await bench.write("MAX_CYCLES", limit)
        await bench.start()
        await bench.ended(wait_idle=10)
        await bench.check("STATUS", STATUS_DONE | STATUS_FAULT)
        await bench.check("FAULT", Fault.TIMEOUT)
        await bench.check("FAULT_UNIT", UNITS - 1)
        await bench.check("FAULT_TAG", 0)
        await bench.check("COUNTER_CYCLES", limit + 1)
        # A run of exactly that many cycles is in time.
        await bench.start()
        for _ in range(limit - 1):
            await RisingEdge(dut.clk_i)
        dut.end_i.value = dut.units_empty_i.value = 1
        await bench.ended()
        await bench.check("STATUS", STATUS_DONE)
        await bench.check("COUNTER_CYCLES", limit)
    await bench.write("MAX_CYCLES", 0)
    await bench.start()
    await ClockCycles(dut.clk_i, 1000)
    await bench.check("STATUS", STATUS_BUSY)
    bench.board.close()


@cocotb.test()
async def a_run_can_be_stopped(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    await bench.write("CONTROL", CONTROL_STOP)  # ignored: idle
    await bench.check("STATUS", 0)
    for delay in range(40):
        await bench.start()
        await ClockCycles(dut.clk_i, delay)
        assert dut.halt_o.value == 0
        dut.bus_idle_i.value = 0
        cocotb.start_soon(bench.write("CONTROL", CONTROL_STOP))
        await bench.ended(wait_idle=int(bench.rng.integers(1, 60)))
        await bench.check("STATUS", STATUS_DONE | STATUS_STOPPED)
        assert [await bench.read(name) for name in ("FAULT", "FAULT_UNIT", "FAULT_TAG")] == [0, 0, 0]
        await bench.check("INTERRUPT_STATUS", 1)
        await bench.write("INTERRUPT_STATUS", 1)
        # It stops one run only, even if asked for again while that run or no run ends.
        if bench.rng.integers(2):
            await bench.write("CONTROL", CONTROL_STOP)
        await bench.start()
        await ClockCycles(dut.clk_i, 50)
        await bench.check("STATUS", STATUS_BUSY)
        dut.end_i.value = dut.units_empty_i.value = 1
        dut.bus_idle_i.value = 0
        await clocking.wait_until(dut, lambda: dut.halt_o.value == 1, 10)
        await bench.write("CONTROL", CONTROL_STOP)  # too late: the run has ended by itself
        await bench.ended()
        await bench.check("STATUS", STATUS_DONE)
    # A fault in the cycle of the stop is a fault.
    await bench.start()
    bench.dut.bus_idle_i.value = 0
    await bench.write("CONTROL", CONTROL_STOP)
    bench.fault({2: int(Fault.ADDRESS)}, [5] * UNITS)
    await bench.ended(wait_idle=5)
    assert await bench.read("STATUS") & (STATUS_STOPPED | STATUS_FAULT) in (STATUS_STOPPED, STATUS_FAULT)
    bench.board.close()


@cocotb.test()
async def the_reset_holds_the_units_at_once(dut):
    """In the cycle in which it comes, not in the next: before the first clock edge, registers are noise."""
    bench = Bench(dut)
    await clocking.start(dut)
    await bench.start()
    await ClockCycles(dut.clk_i, 5)
    await FallingEdge(dut.clk_i)
    assert dut.core_rst_no.value == 1
    dut.rst_ni.value = 0
    await ReadOnly()
    assert dut.core_rst_no.value == 0, "the units run on under the reset"
    await ClockCycles(dut.clk_i, 3)
    dut.rst_ni.value = 1
    await bench.check("STATUS", 0)
    bench.board.close()


@cocotb.test()
async def interrupts(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for enable in (0, 1):
        await bench.write("INTERRUPT_ENABLE", enable)
        await bench.start()
        assert dut.irq_o.value == 0
        dut.end_i.value = dut.units_empty_i.value = 1
        await bench.ended()
        await FallingEdge(dut.clk_i)
        assert dut.irq_o.value == enable
        await bench.write("INTERRUPT_STATUS", 0xFFFF_FFFE)
        await bench.check("INTERRUPT_STATUS", 1)
        await bench.write("INTERRUPT_STATUS", 1)
        await bench.check("INTERRUPT_STATUS", 0)
        assert dut.irq_o.value == 0
    bench.board.close()


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_control(seed):
    parameters = {"Fingerprint": f"64'h{FINGERPRINT:016x}"}
    assert run_module_test("control_pins", __name__, parameters=parameters, seed=seed) == 8
