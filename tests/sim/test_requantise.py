"""One requantiser lane against moesaic.spec.arithmetic, with per-column and per-row scales."""

from __future__ import annotations

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.random_values import random_generator, with_corners
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.arithmetic import SHIFT_MAX, requantise, saturate

COUNT = 4000
STAGES = 6


@cocotb.test()
async def equals_the_arithmetic(dut):
    rng = random_generator()
    row_scale = int(cocotb.plusargs["row_scale"])
    limit = 1 << 26
    sums = with_corners(rng, -limit, limit, COUNT, [limit - 1, 1 - limit, -32768, 32767])
    small = rng.random(COUNT) < 0.3
    sums[small] = rng.integers(-1 << 12, 1 << 12, int(small.sum()))
    biases = with_corners(rng, -(1 << 31), (1 << 31) - 1, COUNT)
    biases[rng.random(COUNT) < 0.6] >>= 10
    multipliers = with_corners(rng, 0, 0xFFFF, COUNT, [0x8000])
    shifts = with_corners(rng, 0, SHIFT_MAX, COUNT, [41, 42, 43, 44])
    # Halves that rounding takes to the ends of 16 bits, or beyond, and what is less than that by one.
    places = np.arange(1, 11)
    edges = [(end << places) + (1 << places - 1) - less for end in (32767, -32769) for less in (0, 1)]
    first = slice(len(edges) * len(places))
    sums[first], biases[first], multipliers[first], shifts[first] = np.concatenate(edges), 0, 1, np.tile(places, 4)
    expected = saturate(requantise(sums + (0 if row_scale else biases), multipliers, shifts), 16)
    board = Scoreboard("results")
    board.expect(expected.tolist())
    assert np.ptp(expected) == 0xFFFF

    gaps = rng.random(8 * COUNT) < 0.3
    entered = [False] * STAGES  # of the last cycles, latest first
    sent, cycle = 0, 0
    Clock(dut.clk_i, clocking.CLOCK_PERIOD_STEPS, unit="step").start()
    await RisingEdge(dut.clk_i)
    while not board.complete:
        enter = sent < COUNT and not gaps[cycle]
        late = sent - 1  # what entered a cycle ago shows its row scale now
        dut.row_multiplier_i.value = int(multipliers[late]) if entered[0] else int(rng.integers(1 << 16))
        dut.row_shift_i.value = int(shifts[late]) if entered[0] else int(rng.integers(64))
        if enter:
            dut.row_scale_i.value = row_scale
            dut.sum_i.value = int(sums[sent]) % (1 << 32)
            dut.bias_i.value = int(biases[sent]) % (1 << 32)
            dut.multiplier_i.value = int(rng.integers(1 << 16)) if row_scale else int(multipliers[sent])
            dut.shift_i.value = int(rng.integers(64)) if row_scale else int(shifts[sent])
            sent += 1
        else:
            dut.row_scale_i.value = int(rng.integers(2))
            dut.sum_i.value = int(rng.integers(1 << 32))
        await RisingEdge(dut.clk_i)
        if entered[-1]:
            board.observe(dut.result_o.value.to_signed())
        entered = [enter, *entered[:-1]]
        cycle += 1
    board.close()


@pytest.mark.parametrize("row_scale", [0, 1])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_requantise(row_scale, seed):
    run_module_test("moesaic_requantise", __name__, plusargs={"row_scale": row_scale}, seed=seed)
