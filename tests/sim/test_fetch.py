"""Instruction fetch: every program arrives whole and in order at the right queues, and stops where it must."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.axi_memory import AxiMemory, serve_reads
from moesaic.sim.bench_kit.bus_orders import BusOrders
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.configuration import load_configuration
from moesaic.spec.field_rules import MultipleOf
from moesaic.spec.isa import (
    BY_NAME,
    BY_OPCODE,
    END,
    HEADER,
    INSTRUCTION_BYTES,
    SEMAPHORES,
    UNIT_INSTRUCTIONS,
    Fault,
    Unit,
    pack,
    signals_of,
    waits_of,
)
from moesaic.spec.legality import holds, size_of
from tests.sim.transfers import CONSTANT_BASE, inside
from tests.spec.legal_fields import random_fields, sides

WINDOW_BYTES = 2 * 4096 + 64
UNITS = {instruction.opcode: instruction.unit for instruction in UNIT_INSTRUCTIONS}
TINY = load_configuration("tiny")


def dispatches(program):
    """What comes out of fetch for these instructions."""
    return [(UNITS[int(words[0]) & 0xFF], int.from_bytes(words.tobytes(), "little")) for words in program]


class Bench:
    def __init__(self, dut, orders=None):
        self.dut = dut
        self.rng = random_generator()
        self.axi = AxiMemory(np.zeros(WINDOW_BYTES, np.uint8), CONSTANT_BASE)
        serve_reads(
            dut, self.axi, latency=12,
            address_pauses=phased_pauses(random_generator(1)), data_pauses=phased_pauses(random_generator(2)),
            orders=orders or BusOrders.drawn(random_generator(3)),
        )  # fmt: skip
        self.board = Scoreboard("dispatched")
        self.ready = None  # of the queues; None for random ones
        for name in ("start_i", "halt_i", "dispatch_ready_i", "constant_base_i", "constant_size_i"):
            getattr(dut, name).value = 0
        cocotb.start_soon(self.take())

    async def take(self):
        """One ready per queue; the dispatched instruction must go to exactly one and stay until taken."""
        ready, waiting = 0, None
        while True:
            await RisingEdge(self.dut.clk_i)
            if self.dut.rst_ni.value != 1:
                waiting = None
            elif valid := int(self.dut.dispatch_valid_o.value):
                assert valid & (valid - 1) == 0, f"dispatched to several queues: {valid:05b}"
                offered = (valid, int(self.dut.dispatch_instr_o.value))
                assert waiting in (None, offered), "an instruction changed before it was taken"
                waiting = None if valid & ready else offered
                if valid & ready:
                    self.board.observe((Unit(valid.bit_length() - 1), offered[1]))
            random = int(self.rng.integers(32)) if self.rng.random() < 0.7 else 0
            ready = random if self.ready is None else self.ready
            self.dut.dispatch_ready_i.value = ready

    def instruction(self, name=None):
        """A random legal instruction of a unit; bits that belong to no field are random too."""
        name = str(self.rng.choice(list(BY_NAME))) if name is None else name
        return self.with_noise(name, random_fields(name, TINY, self.rng))

    def with_noise(self, name, fields):
        fields = {field: value for field, value in fields.items() if field != "opcode"}
        used = {field.name: (1 << field.width) - 1 for field in HEADER + BY_NAME[name].fields if field.name != "opcode"}
        mask = np.frombuffer(pack(name, **used), "<u4").copy()
        mask[0] |= 0xFF
        return np.frombuffer(pack(name, **fields), "<u4") | (self.noise() & ~mask)

    def noise(self):
        return self.rng.integers(0, 1 << 32, 16, np.uint64).astype("<u4")

    def without_unit(self, opcode):
        words = self.noise()
        words[0] = words[0] & 0xFFFFFF00 | opcode
        return words

    async def begin(self, program, offset, size, window, reset_cycles=2):
        """From a reset on."""
        dut = self.dut
        self.axi.content[:] = self.rng.integers(0, 256, WINDOW_BYTES)
        for index, words in enumerate(program):
            start = offset + INSTRUCTION_BYTES * index
            self.axi.content[start : start + INSTRUCTION_BYTES] = words.view(np.uint8)
        self.axi.read_bursts.clear()
        dut.rst_ni.value = 0
        dut.halt_i.value = 0
        await ClockCycles(dut.clk_i, reset_cycles)
        dut.rst_ni.value = 1
        dut.constant_base_i.value, dut.constant_size_i.value = CONSTANT_BASE, window
        dut.program_offset_i.value, dut.program_size_i.value = offset, size
        dut.start_i.value = 1
        await ClockCycles(dut.clk_i, 1)
        dut.start_i.value = 0

    async def run(self, program, offset, size=None, cause=Fault.NONE, stop=None, window=WINDOW_BYTES):
        """stop: instructions that are dispatched before the end or the fault; all but the last by default."""
        size = INSTRUCTION_BYTES * len(program) if size is None else size
        stop = len(program) - 1 if stop is None else stop
        self.board.expect(dispatches(program[:stop]))
        await self.begin(program, offset, size, window)
        await self.finish(offset, size, window, cause)

    async def finish(self, offset, size, window, cause):
        """To the end or the fault, and to a quiet bus."""
        dut = self.dut
        for _ in range(5_000):
            await RisingEdge(dut.clk_i)
            if dut.end_o.value == 1 or dut.fault_o.value == 1:
                break
        else:
            raise AssertionError("neither end nor fault")
        found = Fault(int(dut.fault_cause_o.value)) if dut.fault_o.value == 1 else Fault.NONE
        assert found == cause, f"{found.name}, expected {cause.name}"
        assert self.board.complete, f"{self.board.checked} of {self.board.expected} dispatched"
        dut.halt_i.value = 1
        await ClockCycles(dut.clk_i, 1)
        await clocking.wait_until(dut, lambda: dut.idle_o.value == 1, 2_000)
        end = min(offset + size, window)
        assert inside(self.axi.read_bursts, CONSTANT_BASE + offset, max(end - offset, 0)), "read outside the program"


@cocotb.test()
async def dispatches_whole_programs(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for length in (0, 1, 2, 3, 4, 5, 15, 16, 17, 40, 100):
        program = [bench.instruction() for _ in range(length)] + [bench.without_unit(END.opcode)]
        last = WINDOW_BYTES // INSTRUCTION_BYTES - len(program)
        for offset in {int(bench.rng.integers(last + 1)), last, min(61, last)}:
            await bench.run(program, INSTRUCTION_BYTES * offset)
            # Program size larger than the program: what follows `end` is read, perhaps, and never dispatched.
            await bench.run(program, INSTRUCTION_BYTES * offset, size=1 << 31)
    assert set(bench.axi.seen) == {"ar ready first", "ar valid first"}
    bench.board.close()


@cocotb.test()
async def waits_for_nothing(dut):
    """A memory that takes no address before it is offered."""
    bench = Bench(dut, BusOrders.patient())
    await clocking.start(dut)
    for length in (3, 40):
        program = [bench.instruction() for _ in range(length)] + [bench.without_unit(END.opcode)]
        await bench.run(program, 0)
    assert set(bench.axi.seen) == {"ar valid first"}
    bench.board.close()


@cocotb.test()
async def refuses_what_is_no_program(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for length in (1, 4, 18):
        program = [bench.instruction() for _ in range(length)]
        # No end: before the program's end and before the window's end.
        await bench.run(program, 128, cause=Fault.ADDRESS, stop=length)
        last = WINDOW_BYTES - INSTRUCTION_BYTES * length
        await bench.run(program, last, size=1 << 31, cause=Fault.ADDRESS, stop=length)
        await bench.run(program, 0, window=INSTRUCTION_BYTES * length - 16, cause=Fault.ADDRESS, stop=length - 1)
        for opcode in (7, 128, 255):
            bad = [*program, bench.without_unit(opcode), *program, bench.without_unit(END.opcode)]
            await bench.run(bad, 64 * 60, cause=Fault.BAD_INSTRUCTION, stop=length)
        for opcode, unit in UNITS.items():
            for word, mask in ((1, waits_of(unit)), (2, signals_of(unit))):
                foreign = bench.instruction(BY_OPCODE[opcode].name)
                foreign[word] |= 1 << int(bench.rng.choice([i for i in range(SEMAPHORES) if not mask >> i & 1]))
                bad = [*program, foreign, bench.without_unit(END.opcode)]
                await bench.run(bad, 0, cause=Fault.BAD_INSTRUCTION, stop=length)
    await bench.run([], 4096, size=0, cause=Fault.ADDRESS, stop=0)
    await bench.run([], WINDOW_BYTES + 640, size=640, cause=Fault.ADDRESS, stop=0)
    await bench.run([], 0xFFFF_FFC0, size=0xFFFF_FFC0, cause=Fault.ADDRESS, stop=0)
    bench.board.close()


@cocotb.test()
async def judges_fields_as_the_rules_do(dut):
    """Both sides of every limit: dispatched or refused, wherever in the program they stand."""
    bench = Bench(dut)
    await clocking.start(dut)
    found = [side for name in BY_NAME for side in sides(name, TINY)]
    legal = [bench.with_noise(side.name, side.fields) for side in found if side.legal]
    await bench.run([*legal[: WINDOW_BYTES // INSTRUCTION_BYTES - 1], bench.without_unit(END.opcode)], 0)
    for side in found:
        before = [bench.instruction() for _ in range(int(bench.rng.integers(3)))]
        program = [*before, bench.with_noise(side.name, side.fields), bench.without_unit(END.opcode)]
        if side.legal:
            await bench.run(program, 0)
        else:
            await bench.run(program, 0, cause=Fault.BAD_INSTRUCTION, stop=len(before))
    bench.board.close()


@cocotb.test()
async def judges_every_bit_of_a_multiple(dut):
    """Each power of two below what a field has to be a multiple of, alone."""
    bench = Bench(dut)
    await clocking.start(dut)
    for name in BY_NAME:
        for rule in (rule for rule in BY_NAME[name].rules if isinstance(rule.check, MultipleOf)):
            for bit in range(size_of(rule.check.size, TINY).bit_length() - 1):
                fields = random_fields(name, TINY, bench.rng)
                fields[rule.check.field] |= 1 << bit
                if holds(rule, fields, TINY):  # a choice that it depends on is not made
                    for choice in rule.when:
                        fields[choice.field] = choice.values[0]
                program = [bench.instruction(), bench.with_noise(name, fields), bench.without_unit(END.opcode)]
                await bench.run(program, 0, cause=Fault.BAD_INSTRUCTION, stop=1)
    bench.board.close()


@cocotb.test()
async def bus_errors_count_when_reached(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    program = [bench.instruction() for _ in range(9)] + [bench.without_unit(END.opcode)]
    for bad in range(10):
        for beat in range(4):
            bench.axi.error_address = CONSTANT_BASE + 64 * bad + 16 * beat
            await bench.run(program, 0, cause=Fault.AXI_READ, stop=bad)
        # what an instruction with an error holds may be no instruction: it is the error that counts
        bench.axi.error_address = CONSTANT_BASE + 64 * bad
        nonsense = [*program[:bad], bench.without_unit(255), *program[bad + 1 :]]
        await bench.run(nonsense, 0, cause=Fault.AXI_READ, stop=bad)
    bench.axi.error_address = CONSTANT_BASE + 64 * 10
    await bench.run(program, 0, size=64 * 20)
    bench.board.close()


@cocotb.test()
async def a_cycle_of_reset_ends_all(dut):
    """Halted, with a quiet bus, in every cycle in which instructions come out of the buffer: then a program is as after power-up."""
    bench = Bench(dut, BusOrders.fixed())
    await clocking.start(dut)
    program = [bench.instruction() for _ in range(20)] + [bench.without_unit(END.opcode)]
    size = INSTRUCTION_BYTES * len(program)
    for wait in range(12):
        bench.ready = 0
        await bench.begin(program, 0, size, WINDOW_BYTES)
        await ClockCycles(dut.clk_i, 200)
        dut.halt_i.value = 1
        await ClockCycles(dut.clk_i, 1)
        await clocking.wait_until(dut, lambda: dut.idle_o.value == 1, 200)
        bench.board.expect(dispatches(program[:-1]))
        bench.ready = (1 << len(Unit)) - 1
        await ClockCycles(dut.clk_i, wait + 1)
        await bench.begin(program, 0, size, WINDOW_BYTES, reset_cycles=1)
        bench.board, bench.ready = Scoreboard("dispatched"), None
        bench.board.expect(dispatches(program[:-1]))
        await bench.finish(0, size, WINDOW_BYTES, Fault.NONE)
        bench.board.close()


@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_fetch(seed):
    assert run_module_test("fetch_pins", __name__, seed=seed) == 7
