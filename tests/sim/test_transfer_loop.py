"""The loop nest of load and store alone: its runs in order, one fault at the first run out of bounds, nothing after that or a reset."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.isa import decode, pack
from tests.sim.transfers import BEAT_BYTES, CONSTANT_BASE, random_transfer, unpacking

WINDOW_BYTES, LOCAL_BYTES = 1 << 14, 1 << 13
AFTER = 30
"""Cycles for which nothing may come any more."""


def runs(fields):
    """(address, local, beats) of each run before the first out of bounds, and whether there is one."""
    found = []
    size = fields["bytes"]
    for index in np.ndindex(fields["count_3"], fields["count_2"], fields["count_1"]):
        steps = dict(zip((3, 2, 1), map(int, index)))
        dram = fields["dram_offset"] + sum(fields[f"dram_stride_{n}"] * step for n, step in steps.items())
        local = fields["local_address"] + sum(fields[f"local_stride_{n}"] * step for n, step in steps.items())
        if dram + size > WINDOW_BYTES or local + (size << fields["unpack"]) > LOCAL_BYTES:
            return found, True
        found.append((CONSTANT_BASE + dram, local, size // BEAT_BYTES))
    return found, False


def random_fields(rng):
    """A transfer within bounds, up to their ends as often as not, or one of which something is moved by a beat or two beyond."""
    unpack = rng.random() < 0.5
    fields = random_transfer(rng, WINDOW_BYTES, LOCAL_BYTES >> unpack)
    fields = unpacking(fields) if unpack else {**fields, "unpack": 0}
    if rng.random() < 0.6:
        name = str(
            rng.choice(
                ["dram_offset", "local_address", "dram_stride_1", "dram_stride_2", "local_stride_1", "local_stride_3"]
            )
        )
        side = WINDOW_BYTES if name.startswith("dram") else LOCAL_BYTES
        fields[name] = (
            side - BEAT_BYTES * int(rng.integers(1, 40)) if rng.random() < 0.5 else fields[name] + 2 * BEAT_BYTES
        )
    return fields


class Bench:
    def __init__(self, dut):
        self.dut, self.rng = dut, random_generator()
        self.pauses = phased_pauses(random_generator(1))
        dut.start_i.value = dut.run_ready_i.value = 0
        dut.window_base_i.value, dut.window_size_i.value, dut.local_size_i.value = (
            CONSTANT_BASE,
            WINDOW_BYTES,
            LOCAL_BYTES,
        )

    async def start(self, fields):
        self.dut.instr_i.value = int.from_bytes(pack("load", **fields), "little")
        self.dut.unpack_i.value, self.dut.start_i.value = fields["unpack"], 1
        await RisingEdge(self.dut.clk_i)
        self.dut.start_i.value = 0

    async def cycle(self):
        """What the coming edge gives: a run that is taken, and whether a fault shows."""
        dut = self.dut
        ready = not next(self.pauses)
        dut.run_ready_i.value = int(ready)
        await RisingEdge(dut.clk_i)
        run = None
        if ready and dut.run_valid_o.value == 1:
            run = (int(dut.run_address_o.value), int(dut.run_local_o.value), int(dut.run_beats_o.value))
        return run, dut.fault_o.value == 1


@cocotb.test()
async def walks_until_the_first_fault(dut):
    bench = Bench(dut)
    board = Scoreboard("runs")
    await clocking.start(dut)
    faults = 0
    for _ in range(150):
        fields = decode(pack("load", **random_fields(bench.rng)))[1]
        expected, faulty = runs(fields)
        faults += faulty
        board.expect([*expected, "end"])
        await bench.start(fields)
        seen, after = 0, AFTER
        for _ in range(20_000):
            run, fault = await bench.cycle()
            seen += fault
            if run:
                board.observe(run)
            after = AFTER if dut.busy_o.value == 1 and not seen else after - 1
            if not after:
                break
        assert seen == faulty, f"{seen} cycles of a fault in {fields}"
        assert dut.busy_o.value == 0, f"still busy after the fault of {fields}"
        board.observe("end")
    assert faults > 30, f"{faults} of 150 transfers fault"
    board.close()


@cocotb.test()
async def one_cycle_of_reset_ends_all(dut):
    bench = Bench(dut)
    await clocking.start(dut, reset_cycles=1)
    fields = {
        "bytes": 32,
        "count_1": 3,
        "count_2": 1,
        "count_3": 1,
        "dram_stride_1": 32,
        "local_stride_1": 32,
        "unpack": 0,
    }
    checked = 0
    for beyond in (0, WINDOW_BYTES - 32):  # the second run of it faults
        for wait in range(8):
            await bench.start({**fields, "dram_offset": beyond})
            for _ in range(wait):
                await bench.cycle()
            dut.rst_ni.value = 0
            await bench.cycle()
            dut.rst_ni.value = 1
            for _ in range(AFTER):
                run, fault = await bench.cycle()
                assert run is None and not fault and dut.busy_o.value == 0, (
                    f"offset {beyond}, reset after {wait} cycles"
                )
            checked += 1
    await ClockCycles(dut.clk_i, 1)
    assert checked == 16


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_transfer_loop(seed):
    assert run_module_test("moesaic_transfer_loop", __name__, seed=seed) == 2
