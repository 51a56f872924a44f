"""reciprocal: one value per cycle with gaps, every power of two and its neighbours, all 16-bit values in one width."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.spec.arithmetic import reciprocal


def operands(rng: np.random.Generator, width: int) -> np.ndarray:
    if width == 16:
        return rng.permutation(1 << 16)
    powers = 1 << np.arange(width, dtype=np.int64)
    spread = rng.integers(0, 1 << width, 4000) >> rng.integers(0, width, 4000)
    return np.concatenate([[0, (1 << width) - 1], powers, powers - 1, np.minimum(powers + 1, (1 << width) - 1), spread])


@cocotb.test()
async def matches_the_arithmetic(dut):
    values = operands(random_generator(), int(cocotb.plusargs["Width"]))
    mantissa, bits = reciprocal(values)
    board = Scoreboard("mantissa and bits")
    board.expect(zip(mantissa.tolist(), bits.tolist()))
    dut.valid_i.value = 0
    dut.value_i.value = 0
    await clocking.start(dut)
    pauses = phased_pauses(random_generator(1))
    position = 0
    idle = 0
    while idle < 40:
        offer = position < len(values) and not next(pauses)
        dut.valid_i.value = int(offer)
        dut.value_i.value = int(values[position]) if offer else 0x5A
        position += offer
        idle = 0 if position < len(values) else idle + 1
        await RisingEdge(dut.clk_i)
        if dut.valid_o.value == 1:
            board.observe((int(dut.mantissa_o.value), int(dut.bits_o.value)))
    board.close()


@pytest.mark.parametrize("width", [16, 18, 23, 32])
@pytest.mark.parametrize("seed", [0], ids=lambda s: f"seed{s}")
def test_reciprocal(width, seed):
    run_module_test("moesaic_reciprocal", __name__, parameters={"Width": width}, plusargs={"Width": width}, seed=seed)
