"""isqrt: squares and their neighbours, and random radicands of every length."""

import cocotb
import numpy as np
import pytest

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


@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_isqrt(seed):
    run_module_test("moesaic_isqrt", __name__, seed=seed)
