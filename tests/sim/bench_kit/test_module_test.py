"""The bench parts: a right design passes, a dead or wrong one fails, and the failure says why."""

from pathlib import Path

import cocotb
import numpy as np
import pytest

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.packing import pack, unpack
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator, with_corners
from moesaic.sim.bench_kit.runner import ModuleTestFailure, run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.sim.bench_kit.stream import StreamSink, StreamSource

DESIGNS = (Path(__file__).parent / "designs",)
COUNT = 500


@cocotb.test()
async def adds(dut):
    width = int(cocotb.plusargs["width"])
    rng = random_generator()
    a, b = (with_corners(rng, 0, 2**width - 1, COUNT) for _ in "ab")
    board = Scoreboard("sums")
    board.expect((a + b).tolist())
    source = StreamSource(dut, "valid_i", "ready_o", ["a_i", "b_i"], phased_pauses(random_generator(1)))
    StreamSink(
        dut,
        "valid_o",
        "ready_i",
        ["sum_o"],
        lambda payload: board.observe(payload["sum_o"]),
        phased_pauses(random_generator(2)),
    )
    await clocking.start(dut)
    clocking.watch_progress(dut, lambda: board.checked)
    source.send({"a_i": x, "b_i": y} for x, y in zip(a, b))
    await clocking.wait_until(dut, lambda: board.complete, 100_000)
    board.close()


def run(width: int, seed: int, fault: int = 0) -> int:
    return run_module_test(
        "stream_adder",
        __name__,
        parameters={"Width": width, "Fault": fault},
        plusargs={"width": width},
        seed=seed,
        rtl_directories=DESIGNS,
    )


@pytest.mark.parametrize("width", [2, 33])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_right_design_passes(width, seed):
    assert run(width, seed) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (1, "no progress in 2000 cycles"),
        (2, "expected"),
        (3, "valid dropped before the payload was taken"),
        (4, "payload changed"),
    ],
    ids=["dead", "wrong_sum", "dropped_valid", "unstable_payload"],
)
def test_broken_design_fails(fault, message):
    with pytest.raises(ModuleTestFailure, match=message):
        run(8, 0, fault)


def test_scoreboard_refuses_to_close_empty_or_undrained():
    with pytest.raises(AssertionError, match="0 checked, 0 expected"):
        Scoreboard().close()
    board = Scoreboard()
    board.expect([1])
    with pytest.raises(AssertionError, match="0 checked, 1 expected"):
        board.close()
    board.observe(1)
    board.close()
    with pytest.raises(AssertionError, match="after the last"):
        board.observe(2)


@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_packing_round_trip_and_corners(seed):
    values = with_corners(np.random.default_rng(seed), -128, 127, 50, corners=[64])
    assert {-128, -1, 0, 1, 64, 127} <= set(values.tolist())
    word = pack(values, 8)
    assert unpack(word, 8, 50, signed=True) == values.tolist()
    assert unpack(word, 8, 50, signed=False) == (values & 255).tolist()


def test_packing_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="value 256 of element 1 needs more than 8 bits"):
        pack([0, 256], 8)
