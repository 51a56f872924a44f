"""The drain of matmul on row scales: what it asks of the row statistics, which values come of it, and in which cycle the first."""

from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.packing import pack, unpack
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator, with_corners
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.arithmetic import requantise, saturate
from tests.sim.matmul_unit import RESET_CYCLES

SIZES = {"TileRows": 4, "TileColumns": 8, "TileDepth": 4, "ActPorts": 2, "RowEntries": 128}
ROWS, COLUMNS, PORTS, ENTRIES = SIZES["TileRows"], SIZES["TileColumns"], SIZES["ActPorts"], SIZES["RowEntries"]
SCALE_CYCLES = 2
"""From an entry to its scale."""
VALUE_CYCLES = 14
"""From a row that is announced right behind the record of its tile to its value: one to be taken, twelve, one in the queue of values."""
SCORE_BITS = 16


class Bench:
    """Row statistics of which each port reads the entries of its own, scores, and a taker of values behind random ready."""

    def __init__(self, dut):
        self.dut, self.rng = dut, random_generator()
        self.multipliers = with_corners(self.rng, 0, 0xFFFF, ENTRIES)
        self.shifts = self.rng.integers(0, 40, ENTRIES)
        self.scores: deque[int] = deque()
        self.board = Scoreboard("values")
        self.rows: deque[int] = deque()  # of each group of values to come: how many of its rows are used
        self.waiting = 0  # tiles
        self.always = False
        for name in ("block_wr_valid_i", "tile_valid_i", "row_valid_i", "score_valid_i", "table_wr_valid_i", "value_ready_i",
                     "tile_table_enable_i", "tile_track_max_i"):  # fmt: skip
            getattr(dut, name).value = 0
        cocotb.start_soon(self.scales())
        cocotb.start_soon(self.give_scores())
        cocotb.start_soon(self.take())

    async def scales(self):
        dut = self.dut
        waiting = deque([[0] * PORTS] * (SCALE_CYCLES - 1))
        while True:
            await RisingEdge(dut.clk_i)
            asked = unpack(int(dut.scale_rd_address_o.value), ENTRIES.bit_length() - 1, PORTS, signed=False)
            assert [entry % PORTS for entry in asked] == list(range(PORTS)), f"entries {asked} are not the ports' own"
            waiting.append(asked)
            entries = waiting.popleft()
            dut.scale_rd_multiplier_i.value = pack([int(self.multipliers[e]) for e in entries], 16)
            dut.scale_rd_shift_i.value = pack([int(self.shifts[e]) for e in entries], 6)

    async def give_scores(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.clk_i)
            if self.scores and dut.score_valid_i.value == 1 and dut.score_ready_o.value == 1:
                self.scores.popleft()
            dut.score_valid_i.value = int(bool(self.scores))
            dut.score_i.value = self.scores[0] if self.scores else int(self.rng.integers(1 << SCORE_BITS))

    async def take(self):
        dut, ready, pauses = self.dut, False, phased_pauses(random_generator(1))
        while True:
            await RisingEdge(dut.clk_i)
            running = dut.rst_ni.value == 1
            self.waiting -= running and dut.tile_taken_o.value == 1
            if running and ready and dut.value_valid_o.value == 1:
                values = unpack(int(dut.value_o.value), 16, PORTS * COLUMNS, signed=True)
                self.board.observe(values[: COLUMNS * self.rows.popleft()])
            ready = self.always or not next(pauses)
            dut.value_ready_i.value = int(ready)

    async def tile(self, weigh, rows):
        """Hand over a tile and its rows, and expect their values."""
        dut, rng = self.dut, self.rng
        await clocking.wait_until(dut, lambda: self.waiting < 3, 2000)
        entry = PORTS * int(rng.integers((ENTRIES - ROWS) // PORTS))
        output_shift, score_shift = int(rng.choice([0, 5, 20, 255])), int(rng.integers(8))
        sums = with_corners(rng, -(1 << 26), (1 << 26) - 1, ROWS * COLUMNS).reshape(ROWS, COLUMNS)
        scores = rng.choice([0, 1, (1 << SCORE_BITS) - 1, *rng.integers(0, 1 << SCORE_BITS, 5)], rows)
        scales = slice(entry, entry + rows)
        shifts = np.maximum(self.shifts[scales] - output_shift, 0)[:, None]
        values = saturate(requantise(sums[:rows], self.multipliers[scales][:, None], shifts), 16)
        if weigh:
            values = saturate(requantise(values, scores[:, None], SCORE_BITS - score_shift), 16)
            self.scores += scores.tolist()
        step = 1 if weigh else PORTS
        for first in range(0, rows, step):
            used = values[first : first + step]
            self.rows.append(len(used))
            self.board.expect([used.reshape(-1).tolist()])
        for name, value in (("row_scale", 1), ("weigh", weigh), ("score_shift", score_shift), ("output_shift", output_shift),
                            ("rows", rows), ("entry", entry), ("columns", COLUMNS)):  # fmt: skip
            getattr(dut, f"tile_{name}_i").value = int(value)
        dut.tile_valid_i.value = 1
        self.waiting += 1
        await ClockCycles(dut.clk_i, 1)
        dut.tile_valid_i.value = 0
        for first in range(0, rows, PORTS):
            dut.row_valid_i.value = 1
            await ClockCycles(dut.clk_i, 1)
            dut.row_valid_i.value = 0
            dut.row_i.value = pack(sums[first : first + PORTS].reshape(-1) & 0xFFFF_FFFF, 32)
        await ClockCycles(dut.clk_i, 1)


@cocotb.test()
async def values_of_rows_and_of_weighed_ones(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    for _ in range(80):
        await bench.tile(bench.rng.random() < 0.4, int(bench.rng.integers(1, ROWS, endpoint=True)))
    await clocking.wait_until(dut, lambda: bench.board.complete, 2000)
    bench.board.close()


@cocotb.test()
async def a_reset_ends_all(dut):
    """Whatever was under way, weighed or not: no value comes of it, and the next tile's come as early as they can."""
    bench = Bench(dut)
    await clocking.start(dut)
    bench.always = True
    checked = 0
    for wait in range(18):
        for weigh in (False, True):
            await bench.tile(weigh, ROWS)
            await ClockCycles(dut.clk_i, wait)
            dut.rst_ni.value = 0
            await ClockCycles(dut.clk_i, RESET_CYCLES)
            dut.rst_ni.value = 1
            checked += bench.board.checked
            bench.board, bench.waiting = Scoreboard("values after a reset"), 0
            bench.rows.clear()
            bench.scores.clear()
            await ClockCycles(dut.clk_i, 1)
            assert dut.value_valid_o.value == 0
            await bench.tile(False, 1)
            # now is a cycle after the row was announced
            assert await clocking.wait_until(dut, lambda: dut.value_valid_o.value == 1, 50) == VALUE_CYCLES - 1
            await ClockCycles(dut.clk_i, 2)
            assert bench.board.complete
            bench.board.close()
    assert checked, "no value came before a reset"


def test_matmul_drain():
    assert run_module_test("moesaic_matmul_drain", __name__, parameters=SIZES) == 2
