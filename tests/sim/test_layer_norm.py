"""Layer norm alone: the ends of its arithmetic, and a memory that takes no result for as long as it likes."""

from collections import deque

import cocotb
import numpy as np
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.arithmetic import NORM_WIDTH_MAX
from moesaic.spec.isa import Fault, pack
from moesaic.spec.machine import ReferenceMachine
from tests.sim.act_unit import bench_configuration, reference_outcome

ACT_BYTES = 65536
READ_CYCLES = 4
"""From the activation memory's grant to its answer."""
SOURCE, PARAMETERS = ACT_BYTES // 2, ACT_BYTES // 4
INT16 = np.iinfo(np.int16)


class Bench:
    """An activation memory that answers reads READ_CYCLES after their grant, and takes writes or does not."""

    def __init__(self, dut):
        self.dut, self.rng = dut, random_generator()
        self.machine = ReferenceMachine(bench_configuration(ACT_BYTES), seed=cocotb.RANDOM_SEED)
        self.word_bytes = self.machine.configuration.act_word_bytes
        self.found = self.machine.act.copy()
        self.taking = True
        self.board = Scoreboard("instructions")
        dut.instr_valid_i.value = dut.act_rd_fault_i.value = dut.act_wr_fault_i.value = 0
        cocotb.start_soon(self.answer())
        cocotb.start_soon(self.take())

    async def answer(self):
        """Noise where no answer is due."""
        dut = self.dut
        dut.act_rd_ready_i.value = 1
        waiting = deque([None] * (READ_CYCLES - 1))
        while True:
            await RisingEdge(dut.clk_i)
            asked = dut.rst_ni.value == 1 and dut.act_rd_valid_o.value == 1
            waiting.append(int(dut.act_rd_address_o.value) if asked else None)
            due = waiting.popleft()
            word = self.rng.bytes(self.word_bytes)
            if due is not None:
                word = self.machine.act[self.word_bytes * due :][: self.word_bytes].tobytes()
            dut.act_rd_data_valid_i.value = int(due is not None)
            dut.act_rd_data_i.value = int.from_bytes(word, "little")

    async def take(self):
        dut, ready = self.dut, False
        while True:
            await RisingEdge(dut.clk_i)
            if ready and dut.rst_ni.value == 1 and dut.act_wr_valid_o.value == 1:
                data = np.frombuffer(int(dut.act_wr_data_o.value).to_bytes(self.word_bytes, "little"), np.uint8)
                strobe = int(dut.act_wr_strobe_o.value)
                start = int(dut.act_wr_address_o.value) * self.word_bytes
                assert start < ACT_BYTES, f"a write at {start}, outside of the memory"
                written = np.flatnonzero([strobe >> i & 1 for i in range(self.word_bytes)])
                self.found[start + written] = data[written]
            ready = self.taking
            dut.act_wr_ready_i.value = int(ready)

    def place(self, rows, parameters):
        """Rows, and (columns, 2) gamma and beta; the fields that say where they are, and where the results go."""
        c = self.machine.configuration
        columns = rows.shape[1]
        words = -(-columns // c.tile_columns)
        pitch = words * c.act_word_bytes
        for r, row in enumerate(rows):
            self.machine.act[SOURCE + r * pitch :][: 2 * columns] = row.astype("<i2").view(np.uint8)
        padded = np.zeros((words * c.tile_columns, 2), "<i2")
        padded[:columns] = parameters
        block = padded.reshape(words, c.tile_columns, 2).swapaxes(1, 2).tobytes()
        self.machine.act[PARAMETERS:][: len(block)] = np.frombuffer(block, np.uint8)
        return {
            "rows": len(rows), "columns": columns, "source_address": SOURCE, "source_pitch": pitch, "param_address": PARAMETERS,
            "destination_address": 0, "destination_pitch": words * c.tile_columns,
        }  # fmt: skip

    async def check(self, fields):
        """Run on both, and compare all of the memory."""
        dut, instruction = self.dut, pack("layer_norm", **fields)
        self.found[:] = self.machine.act
        self.board.expect([Fault.NONE])
        dut.instr_i.value = int.from_bytes(instruction, "little")
        dut.instr_valid_i.value = 1
        await ClockCycles(dut.clk_i, 1)
        dut.instr_valid_i.value = 0
        dut.instr_i.value = int.from_bytes(self.rng.bytes(64), "little")
        await clocking.wait_until(dut, lambda: dut.done_o.value == 1, 20_000)
        self.board.observe(reference_outcome(self.machine, instruction))
        wrong = np.flatnonzero(self.found != self.machine.act)
        assert not len(wrong), (
            f"{fields}: {len(wrong)} bytes differ, first at {wrong[0]}: {self.found[wrong[0]]}, {self.machine.act[wrong[0]]} is right"
        )


def end_rows(rng, columns):
    """Rows at both ends of int16 and around 0: least variances, sums as large as can be, one outlier."""
    rows = [low + rng.integers(0, 2, columns) for low in (INT16.min, -1, 0, INT16.max - 1)]
    for common, other in ((0, 1), (0, -1), (0, INT16.max), (INT16.max, INT16.min), (INT16.min, INT16.max), (-1, 0)):
        row = np.full(columns, common)
        row[rng.integers(columns)] = other
        rows.append(row)
    rows.append(rng.choice([INT16.min, INT16.max], columns, p=[0.02, 0.98]))
    rows.append(rng.choice([INT16.min, INT16.max], columns, p=[0.98, 0.02]))
    return rng.permutation(np.array(rows))


def end_parameters(rng, columns, shift):
    """(columns, 2): 0, ones, the ends of int16, and what spreads results over int8."""
    spread = min(INT16.max, 1 << max(shift - 4, 1))
    return rng.choice([0, 0, 1, -1, INT16.min, INT16.max, spread, -spread, spread // 3], (columns, 2))


@cocotb.test()
async def ends_of_the_arithmetic(dut):
    bench = Bench(dut)
    await clocking.start(dut)
    tile = bench.machine.configuration.tile_columns
    for columns in (1, 2, 3, tile, tile + 1, 5 * tile - 2, NORM_WIDTH_MAX - 1, NORM_WIDTH_MAX):
        shifts = (0, 1, 12, 14, 18, 30, 31) if columns <= 5 * tile else (0, 14, 31)
        for shift in shifts:
            rows, parameters = end_rows(bench.rng, columns), end_parameters(bench.rng, columns, shift)
            await bench.check({**bench.place(rows, parameters), "shift": shift})
    bench.board.close()


@cocotb.test()
async def results_wait_for_the_memory(dut):
    """A memory that takes nothing, and everything, for as many cycles as it likes."""
    bench = Bench(dut)
    await clocking.start(dut)

    async def pause():
        while True:
            bench.taking = not bench.taking
            await ClockCycles(dut.clk_i, int(bench.rng.integers(1, 120)))

    cocotb.start_soon(pause())
    tile = bench.machine.configuration.tile_columns
    for columns in (1, tile, 3 * tile + 1, 9 * tile):
        rows, parameters = end_rows(bench.rng, columns), end_parameters(bench.rng, columns, 14)
        await bench.check({**bench.place(rows, parameters), "shift": 14})
    bench.board.close()


@pytest.mark.parametrize("lanes", [2, 8], ids=lambda n: f"{n}-lanes")
@pytest.mark.parametrize("seed", [0], ids=lambda s: f"seed{s}")
def test_layer_norm(lanes, seed):
    parameters = {"TileColumns": 8, "NormLanes": lanes}
    assert run_module_test("moesaic_layer_norm", __name__, parameters=parameters, plusargs=parameters, seed=seed) == 2
