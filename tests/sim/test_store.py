"""The store unit against the reference machine: the whole frame window after every instruction, and every fault."""

from collections import deque

import cocotb
import numpy as np
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.axi_memory import AxiMemory, serve_writes
from moesaic.sim.bench_kit.bus_orders import BusOrders
from moesaic.sim.bench_kit.pauses import never_pause, phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.configuration import load_configuration
from moesaic.spec.dram_timing import LATENCY
from moesaic.spec.executor import Memory
from moesaic.spec.isa import Fault, Space
from moesaic.spec.machine import ReferenceMachine
from tests.sim.transfers import (
    BEAT_BYTES,
    FRAME_BASE,
    Unit,
    bench_configuration,
    inside,
    random_transfer,
    unit_parameters,
)

FRAME_BYTES = 2 * 4096 + 96
BURSTS = 16
"""That may be unanswered."""
READ_CYCLES = 4
"""From the activation memory's grant to its answer."""


class Bench:
    """The activation memory behind random ready, the frame window behind a random bus."""

    def __init__(self, dut, quiet=False, latency=8, orders=None, outstanding=16):
        self.dut = dut
        self.configuration = bench_configuration()
        self.rng = random_generator()
        self.machine = ReferenceMachine(self.configuration, seed=1)
        self.memory = Memory(np.zeros(0, np.uint8), self.rng.integers(0, 256, FRAME_BYTES, np.uint8))
        self.axi = AxiMemory(self.memory.frame.copy(), FRAME_BASE)
        self.unit = Unit(dut, self.rng)
        self.board = Scoreboard("instructions")
        pauses = (lambda stream: never_pause()) if quiet else (lambda stream: phased_pauses(random_generator(stream)))
        serve_writes(
            dut, self.axi, latency=latency, outstanding=outstanding,
            address_pauses=pauses(1), data_pauses=pauses(2), response_pauses=pauses(3), orders=orders,
        )  # fmt: skip
        cocotb.start_soon(self.answer_reads(pauses(4)))
        dut.frame_base_i.value, dut.frame_size_i.value = FRAME_BASE, FRAME_BYTES

    async def answer_reads(self, pauses):
        """Answers exactly READ_CYCLES after the grant, garbage otherwise."""
        dut, word = self.dut, self.configuration.act_word_bytes
        ready, granted = False, None
        waiting: deque[int | None] = deque([None] * (READ_CYCLES - 2))
        dut.act_rd_ready_i.value = 0
        dut.act_rd_data_valid_i.value = 0
        while True:
            await RisingEdge(dut.clk_i)
            waiting.append(granted)
            answered = waiting.popleft()
            if dut.rst_ni.value == 0:  # the memory is reset together with the unit
                waiting = deque([None] * (READ_CYCLES - 2))
                answered = None
            dut.act_rd_data_valid_i.value = int(answered is not None)
            data = self.rng.bytes(word) if answered is None else self.machine.act[word * answered :][:word].tobytes()
            dut.act_rd_data_i.value = int.from_bytes(data, "little")
            taken = ready and dut.rst_ni.value == 1 and dut.act_rd_valid_o.value == 1
            granted = int(dut.act_rd_address_o.value) if taken else None
            ready = not next(pauses)
            dut.act_rd_ready_i.value = int(ready)

    async def check(self, **fields):
        self.board.expect([Fault.NONE])
        outcome = await self.unit.execute("store", space=Space.FRAME, **fields)
        self.board.observe(outcome.cause)
        self.machine.store(self.unit.fields, self.memory)
        assert np.array_equal(self.axi.content, self.memory.frame), f"the frame differs after {self.unit.fields}"
        return outcome

    async def check_fault(self, cause, **fields):
        self.board.expect([cause])
        outcome = await self.unit.execute("store", **{"space": Space.FRAME, **fields})
        self.board.observe(outcome.cause)
        await self.unit.recover()
        self.memory.frame[:] = self.axi.content

    def random_store(self):
        return random_transfer(self.rng, FRAME_BYTES, self.configuration.act_bytes)


ONE = {"count_1": 1, "count_2": 1, "count_3": 1}


@cocotb.test()
async def stores_what_the_reference_stores(dut):
    bench = Bench(dut, orders=BusOrders.drawn(random_generator(5)))
    await clocking.start(dut)
    for _ in range(25):
        await bench.check(**bench.random_store())
    seen = bench.axi.seen
    for order in ("aw ready first", "aw valid first", "w ready first", "w valid first", "data first", "address first"):
        assert seen[order] >= 5, f"{order}: {seen[order]} times in {len(bench.axi.write_bursts)} bursts"
    assert bench.axi.write_bursts and inside(bench.axi.write_bursts, FRAME_BASE, FRAME_BYTES)
    bench.board.close()


@cocotb.test()
async def waits_for_nothing(dut):
    """A memory that takes nothing before it is offered, and no address before its data."""
    bench = Bench(dut, quiet=True, orders=BusOrders.patient())
    await clocking.start(dut)
    for _ in range(5):
        await bench.check(**bench.random_store())
    seen = bench.axi.seen
    assert seen["aw valid first"] and seen["w valid first"] and seen["data first"]
    assert not seen["aw ready first"] and not seen["w ready first"]
    bench.board.close()


@cocotb.test()
async def refuses_and_recovers(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    act_bytes = bench.configuration.act_bytes
    for fields in (
        {"bytes": 32, "dram_offset": FRAME_BYTES - 16},
        {"bytes": 16, "dram_offset": 0xFFFF_FFF0},
        {"bytes": 32, "local_address": act_bytes - 16},
        {"bytes": 16, "dram_offset": 32, "count_1": 2, "dram_stride_1": 0xFFFF_FFF0},
        {"bytes": 16, "local_address": 32, "count_3": 2, "local_stride_3": 0xFFFF_FFF0},
    ):
        before = len(bench.axi.write_bursts)
        await bench.check_fault(Fault.ADDRESS, **{**ONE, **fields})
        assert len(bench.axi.write_bursts) - before <= 1, "a run out of bounds reached the bus"
        await bench.check(**bench.random_store())
    bench.axi.error_address = FRAME_BASE + 3000
    await bench.check_fault(Fault.AXI_WRITE, **ONE, bytes=FRAME_BYTES)
    bench.axi.error_address = None
    await bench.check(**bench.random_store())
    dut.frame_size_i.value = FRAME_BYTES + 16
    await bench.check_fault(Fault.AXI_WRITE, **ONE, bytes=FRAME_BYTES + 16)
    dut.frame_size_i.value = FRAME_BYTES
    for _ in range(3):
        await bench.check(**bench.random_store())
    assert inside(bench.axi.write_bursts, FRAME_BASE, FRAME_BYTES + 16)
    bench.board.close()


@cocotb.test()
async def halts_in_the_middle(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for wait in (1, 5, 20, 60):
        execution = cocotb.start_soon(bench.unit.execute("store", **ONE, bytes=FRAME_BYTES, space=Space.FRAME))
        await clocking.wait_until(dut, lambda: dut.m_axi_awvalid.value == 1, 500)
        for _ in range(wait):
            await RisingEdge(dut.clk_i)
        execution.cancel()
        before = len(bench.axi.write_bursts)
        await bench.unit.recover()
        assert len(bench.axi.write_bursts) - before <= 2, "an address was offered while halted"
        bench.memory.frame[:] = bench.axi.content
        await bench.check(**bench.random_store())
    bench.board.close()


@cocotb.test()
async def a_fault_is_the_last_thing(dut):
    """Until the reset nothing is done, no other fault comes, and no address goes out that was not offered before."""
    bench = Bench(dut, quiet=True)
    await clocking.start(dut)
    frame = {**ONE, "space": Space.FRAME}
    for fields, error_at in (
        ({"bytes": 640, "count_1": 2, "dram_stride_1": FRAME_BYTES}, None),  # the second run is outside
        ({"bytes": 16, "dram_offset": FRAME_BYTES}, None),
        ({"bytes": 640}, 0),
        ({"bytes": 16, "dram_offset": 96}, 96),
    ):
        bench.axi.error_address = None if error_at is None else FRAME_BASE + error_at
        bench.board.expect([Fault.ADDRESS if error_at is None else Fault.AXI_WRITE])
        bench.board.observe((await bench.unit.execute("store", **{**frame, **fields})).cause)
        before = len(bench.axi.write_bursts)
        await bench.unit.stays_silent(200)
        assert dut.instr_ready_o.value == 0
        assert len(bench.axi.write_bursts) - before <= 2, "an address was offered after a fault"
        bench.axi.error_address = None
        await bench.unit.recover()
        bench.memory.frame[:] = bench.axi.content
        await bench.check(**bench.random_store())
    bench.board.close()


@cocotb.test()
async def a_cycle_of_reset_ends_all(dut):
    """In every cycle of an instruction that faults, and in those in which one with a single beat comes to its end."""
    bench = Bench(dut, quiet=True)
    await clocking.start(dut)
    beat = {**ONE, "bytes": BEAT_BYTES}
    for fields, outside in ((beat, False), ({**beat, "dram_offset": FRAME_BYTES}, True)):
        for wait in range(10):
            execution = cocotb.start_soon(bench.unit.execute("store", space=Space.FRAME, **fields))
            if not outside:
                await RisingEdge(dut.m_axi_bvalid)
            for _ in range(wait + 1):
                await RisingEdge(dut.clk_i)
            execution.cancel()
            dut.instr_valid_i.value = 0
            await bench.unit.reset_for_a_cycle()
            assert dut.instr_ready_o.value == 1 and dut.m_axi_awvalid.value == 0
            bench.memory.frame[:] = bench.axi.content
            await bench.check(**{**beat, "dram_offset": BEAT_BYTES * wait, "local_address": BEAT_BYTES * wait})
    bench.board.close()


@cocotb.test()
async def leaves_few_bursts_unanswered(dut):
    """A memory that would take them all is offered no address before an earlier one is answered."""
    bench = Bench(dut, quiet=True, latency=400, outstanding=64)
    await clocking.start(dut)
    many = {**ONE, "bytes": BEAT_BYTES, "count_1": 40, "dram_stride_1": 2 * BEAT_BYTES}
    execution = cocotb.start_soon(bench.check(**many))
    await ClockCycles(dut.clk_i, 350)
    assert len(bench.axi.write_bursts) == BURSTS
    await execution
    bench.board.close()


@cocotb.test()
async def keeps_the_bus_busy(dut):
    bench = Bench(dut, quiet=True, latency=LATENCY)
    await clocking.start(dut)
    for run_bytes in (256, 4096):
        runs = 4096 // run_bytes
        strides = {"dram_stride_1": run_bytes, "local_stride_1": run_bytes}
        outcome = await bench.check(**{**ONE, "bytes": run_bytes, "count_1": runs, **strides})
        assert outcome.cycles <= 4096 // BEAT_BYTES + LATENCY + 50, (
            f"{outcome.cycles} cycles for {4096 // BEAT_BYTES} beats in runs of {run_bytes}"
        )
    bench.board.close()


@pytest.mark.parametrize("configuration", ["tiny", "zcu104"])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_store(configuration, seed):
    parameters = unit_parameters(load_configuration(configuration), "tile_columns", "act_bytes")
    assert (
        run_module_test(
            "store_pins", __name__, parameters=parameters, plusargs={"configuration": configuration}, seed=seed
        )
        == 8
    )
