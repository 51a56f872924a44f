"""exp2 over every distance."""

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit.clocking import CLOCK_PERIOD_STEPS
from moesaic.sim.bench_kit.packing import pack, unpack
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.arithmetic import exp2_q16

LATENCY = 2


@cocotb.test()
async def every_distance(dut):
    lanes = int(cocotb.plusargs["Lanes"])
    distances = np.random.default_rng(0).permutation(1 << 16).reshape(-1, lanes)
    board = Scoreboard("exponentials")
    board.expect(exp2_q16(row).tolist() for row in distances)
    Clock(dut.clk_i, CLOCK_PERIOD_STEPS, unit="step").start()
    await RisingEdge(dut.clk_i)
    for cycle in range(len(distances) + LATENCY):
        dut.distance_i.value = pack(distances[min(cycle, len(distances) - 1)], 16)
        await RisingEdge(dut.clk_i)
        if cycle >= LATENCY:
            board.observe(unpack(int(dut.exponential_o.value), 17, lanes, signed=False))
    board.close()


@pytest.mark.parametrize("lanes", [1, 32])
def test_exp2(lanes):
    run_module_test("moesaic_exp2", __name__, parameters={"Lanes": lanes}, plusargs={"Lanes": lanes})
