"""The round-robin arbiter: who is granted, and that nobody waits for longer than each of the others has had one grant."""

import cocotb
import pytest
from cocotb.triggers import FallingEdge, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard

CYCLES = 2_000


@cocotb.test()
async def grants_in_turn(dut):
    requests = int(cocotb.plusargs["requests"])
    pauses = [phased_pauses(random_generator(stream)) for stream in range(requests + 1)]
    board = Scoreboard("grants")
    dut.request_i.value = dut.take_i.value = 0
    await clocking.start(dut)
    after, waited, longest = 0, [0] * requests, 0
    standing = [False] * requests
    for _ in range(CYCLES):
        # A request, once made, stands until it is granted; the arbiter itself does not need that.
        standing = [stands or not next(pause) for stands, pause in zip(standing, pauses)]
        take = not next(pauses[-1])
        dut.request_i.value = sum(stands << index for index, stands in enumerate(standing))
        dut.take_i.value = int(take)
        await FallingEdge(dut.clk_i)
        turn = [index % requests for index in range(after, after + requests) if standing[index % requests]]
        board.expect([1 << turn[0] if turn else 0])
        granted = int(dut.grant_o.value)
        board.observe(granted)
        if take and turn:
            for index in range(requests):
                waited[index] = waited[index] + 1 if standing[index] and granted != 1 << index else 0
            longest = max(longest, *waited)
            after = (turn[0] + 1) % requests
            standing[turn[0]] = False
        await RisingEdge(dut.clk_i)
    assert longest == requests - 1, f"a request waited for {longest} grants of {requests - 1} others"
    board.close()


@pytest.mark.parametrize("requests", [1, 3, 4])
@pytest.mark.parametrize("seed", range(2), ids=lambda seed: f"seed{seed}")
def test_round_robin(requests, seed):
    plusargs = {"requests": requests}
    run_module_test("moesaic_round_robin", __name__, parameters={"Requests": requests}, plusargs=plusargs, seed=seed)
