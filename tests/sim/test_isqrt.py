"""isqrt: squares and their neighbours, and random radicands of every length."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.sim.bench_kit.stream import StreamSource
from moesaic.spec.arithmetic import isqrt


def operands(rng: np.random.Generator) -> np.ndarray:
    roots = np.concatenate([[1, 2, 255, 256, 32767, 32768, 46340, 65534, 65535], rng.integers(1, 1 << 16, 150)])
    spread = rng.integers(0, 1 << 32, 150) >> rng.integers(0, 32, 150)
    return np.concatenate([[0, (1 << 32) - 1], roots**2, roots**2 - 1, roots**2 + 2 * roots, spread])


@cocotb.test()
async def matches_the_arithmetic(dut):
    radicands = operands(random_generator())
    board = Scoreboard("roots")
    board.expect(isqrt(radicands).tolist())
    source = StreamSource(dut, "valid_i", "ready_o", ["radicand_i"], phased_pauses(random_generator(1)))
    await clocking.start(dut)
    clocking.watch_progress(dut, lambda: board.checked)
    source.send({"radicand_i": int(value)} for value in radicands)

    def finished() -> bool:
        if dut.valid_o.value == 1:
            board.observe(int(dut.root_o.value))
        return board.complete

    await clocking.wait_until(dut, finished, 60 * len(radicands))
    board.close()


@cocotb.test()
async def one_cycle_of_reset_ends_all(dut):
    """Whatever it was doing, also at power-up: no root comes, and the next radicand is taken at once."""
    dut.valid_i.value = 0
    await clocking.start(dut, reset_cycles=1)
    board = Scoreboard("roots after a reset")
    for wait in range(12):
        for _ in range(20):
            assert dut.valid_o.value == 0, f"a root after a reset, {wait} cycles after its radicand"
            await RisingEdge(dut.clk_i)
        assert dut.ready_o.value == 1
        dut.valid_i.value, dut.radicand_i.value = 1, 144 + wait
        await RisingEdge(dut.clk_i)
        dut.valid_i.value = 0
        await ClockCycles(dut.clk_i, wait)
        dut.rst_ni.value = 0
        await RisingEdge(dut.clk_i)
        dut.rst_ni.value = 1
        await RisingEdge(dut.clk_i)
    dut.valid_i.value, dut.radicand_i.value = 1, 144
    await RisingEdge(dut.clk_i)
    dut.valid_i.value = 0
    board.expect([12])
    await clocking.wait_until(dut, lambda: dut.valid_o.value == 1, 30)
    board.observe(int(dut.root_o.value))
    board.close()


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_isqrt(seed):
    assert run_module_test("moesaic_isqrt", __name__, seed=seed) == 2
