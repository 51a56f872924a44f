"""The issue queue: order, one take and one signal per instruction, never more than one instruction in the unit."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from sim.bench import clocking
from sim.bench.pauses import phased_pauses
from sim.bench.random_values import random_generator
from sim.bench.runner import run_module_test
from sim.bench.scoreboard import Scoreboard
from sim.bench.stream import StreamSource
from spec.isa import SEMAPHORES

COUNT = 400
MASK = (1 << SEMAPHORES) - 1


def word(code, index):
    return code >> (32 * index) & 0xFFFFFFFF


@cocotb.test()
async def issues_in_order(dut):
    rng = random_generator()
    codes = [int.from_bytes(rng.bytes(64), "little") for _ in range(COUNT)]
    for name in ("instr_ready_i", "done_i", "semaphores_ready_i"):
        getattr(dut, name).value = 0
    source = StreamSource(
        dut, "dispatch_valid_i", "dispatch_ready_o", ["dispatch_instr_i"], phased_pauses(random_generator(1))
    )
    accepted, completed = Scoreboard("accepted"), Scoreboard("completed")
    accepted.expect(codes)
    completed.expect(word(code, 2) & MASK for code in codes)
    await clocking.start(dut)
    clocking.watch_progress(dut, lambda: completed.checked)
    source.send({"dispatch_instr_i": code} for code in codes)
    ready = semaphores_ready = executing = False
    left = stalls = 0
    pauses = [phased_pauses(random_generator(stream)) for stream in (2, 3)]
    while not completed.complete:
        await RisingEdge(dut.clk_i)
        done = dut.done_i.value == 1
        if done:
            assert dut.signal_o.value == 1
            completed.observe(int(dut.signal_mask_o.value))
            executing = False
        else:
            assert dut.signal_o.value == 0
        if executing:
            assert dut.busy_o.value == 1 and dut.empty_o.value == 0
            assert int(dut.tag_o.value) == word(codes[accepted.checked - 1], 3)
            assert dut.instr_valid_o.value == 0, "offered while the unit executes"
        if dut.instr_valid_o.value == 1:
            assert semaphores_ready, "offered without its semaphores"
            assert int(dut.wait_mask_o.value) == word(int(dut.instr_o.value), 1) & MASK
        taken = ready and dut.instr_valid_o.value == 1
        assert dut.take_o.value == int(taken), "semaphores are taken in the accepting cycle"
        stalls += dut.semaphore_stall_o.value == 1
        assert not (dut.semaphore_stall_o.value == 1 and (semaphores_ready or executing or done))
        if taken:
            accepted.observe(int(dut.instr_o.value))
            executing, left = True, int(rng.integers(0, 6))
            semaphores_ready = False
        # The unit under the queue: ready when it does nothing, done after a random time.
        if not semaphores_ready:
            semaphores_ready = not next(pauses[0])
        finish = executing and left == 0
        left -= executing
        dut.done_i.value = int(finish)
        ready = not next(pauses[1]) and (not executing or finish)
        dut.instr_ready_i.value = int(ready)
        dut.semaphores_ready_i.value = int(semaphores_ready)
    await RisingEdge(dut.clk_i)
    await RisingEdge(dut.clk_i)
    assert dut.empty_o.value == 1 and dut.busy_o.value == 0
    accepted.close()
    completed.close()
    assert stalls > 0


@cocotb.test()
async def holds_what_it_promises(dut):
    depth = int(cocotb.plusargs["depth"])
    for name in ("instr_ready_i", "done_i", "semaphores_ready_i"):
        getattr(dut, name).value = 0
    source = StreamSource(dut, "dispatch_valid_i", "dispatch_ready_o", ["dispatch_instr_i"])
    await clocking.start(dut)
    source.send({"dispatch_instr_i": int(i)} for i in np.arange(4 * depth))
    for _ in range(8 * depth):
        await RisingEdge(dut.clk_i)
    assert source.sent >= depth, f"{source.sent} instructions wait, the queue is to hold {depth}"
    assert dut.semaphore_stall_o.value == 1 and dut.empty_o.value == 0


@pytest.mark.parametrize("depth", [2, 8])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_issue(depth, seed):
    parameters = {"InstructionQueue": depth}
    assert run_module_test("issue", __name__, parameters=parameters, plusargs={"depth": depth}, seed=seed) == 2
