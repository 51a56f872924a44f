"""Two int8 dot products on one cascade: exact for all operands, -128 included, decoded as the accumulators decode them."""

from __future__ import annotations

from itertools import product

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.packing import pack
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard

CORNERS = (-128, -127, -1, 0, 1, 127)
RANDOM_OPERANDS = 2000


def operands(depth: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3, depth) of w0, w1, a: every corner triple in all places at once, corners mixed, and uniform values."""
    uniform = np.array(list(product(CORNERS, repeat=3)))[:, :, None].repeat(depth, axis=2)
    mixed = rng.choice(CORNERS, (RANDOM_OPERANDS, 3, depth))
    extreme = rng.choice([-128, 127], (RANDOM_OPERANDS, 3, depth), p=[0.9, 0.1])
    anything = rng.integers(-128, 128, (RANDOM_OPERANDS, 3, depth))
    return np.concatenate([uniform, mixed, extreme, anything])


@cocotb.test()
async def dots_are_exact(dut):
    depth = int(cocotb.plusargs["depth"])
    values = operands(depth, random_generator())
    w0, w1, a = values[:, 0], values[:, 1], values[:, 2]
    board = Scoreboard("dot products")
    board.expect(zip((w0 * a).sum(axis=1).tolist(), (w1 * a).sum(axis=1).tolist(), strict=True))
    Clock(dut.clk_i, clocking.CLOCK_PERIOD_STEPS, unit="step").start()
    await RisingEdge(dut.clk_i)
    latency = depth + 2
    for cycle in range(len(values) + latency):
        skewed = [(k, cycle - k) for k in range(depth) if 0 <= cycle - k < len(values)]
        packed_a, packed_weights = [0] * depth, [0] * depth
        for k, index in skewed:
            packed_a[k] = int(a[index, k])
            packed_weights[k] = int(w1[index, k]) * 2**18 + int(w0[index, k])
        dut.a_i.value = pack(packed_a, 8)
        dut.weights_i.value = pack(packed_weights, 27)
        await RisingEdge(dut.clk_i)
        if cycle >= latency:
            total = dut.sum_o.value.to_signed()
            low = (total + (1 << 17)) % (1 << 18) - (1 << 17)
            board.observe((low + 1, (total - low) >> 18))
    board.close()


@pytest.mark.parametrize("depth", [4, 8])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_packed_dot(depth, seed):
    run_module_test(
        "moesaic_packed_dot", __name__, parameters={"TileDepth": depth}, plusargs={"depth": depth}, seed=seed
    )
