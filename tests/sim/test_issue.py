"""The issue queue: order, one take and one signal per instruction, a second instruction in the unit only if it may overlap."""

import cocotb
import numpy as np
import pytest
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.pauses import phased_pauses
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.sim.bench_kit.stream import StreamSource
from moesaic.spec.isa import SEMAPHORES

COUNT = 400
MASK = (1 << SEMAPHORES) - 1


def word(code, index):
    return code >> (32 * index) & 0xFFFFFFFF


def may_overlap(code):
    return word(code, 1) >> 31


@cocotb.test()
async def issues_in_order(dut):
    rng = random_generator()
    codes = [int.from_bytes(rng.bytes(64), "little") for _ in range(COUNT)]
    for name in ("instr_ready_i", "done_i", "semaphores_ready_i", "fault_older_i"):
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
    ready = semaphores_ready = False
    executing = []  # codes, the older first
    left = stalls = 0
    handed_over = set()  # how many others stayed in the unit, and whether one completed in that cycle
    pauses = [phased_pauses(random_generator(stream)) for stream in (2, 3)]
    while not completed.complete:
        await RisingEdge(dut.clk_i)
        assert dut.busy_o.value == int(bool(executing))
        assert not (executing and dut.empty_o.value == 1)
        if executing:
            faulting = executing[0 if dut.fault_older_i.value == 1 else -1]
            assert int(dut.tag_o.value) == word(faulting, 3)
        done = dut.done_i.value == 1
        assert dut.signal_o.value == int(done)
        if done:
            completed.observe(int(dut.signal_mask_o.value))
        stay = executing[1:] if done else executing
        offered = dut.instr_valid_o.value == 1
        if offered:
            assert semaphores_ready, "offered without its semaphores"
            code = int(dut.instr_o.value)
            assert int(dut.wait_mask_o.value) == word(code, 1) & MASK
            assert not stay or (len(stay) == 1 and may_overlap(code)), "offered while the unit executes"
        taken = ready and offered
        assert dut.take_o.value == int(taken), "semaphores are taken in the accepting cycle"
        stalls += dut.semaphore_stall_o.value == 1
        assert not (dut.semaphore_stall_o.value == 1 and (semaphores_ready or executing))
        # The unit under the queue: takes a second one if it feels like it, completes the older after a random time.
        if done or not executing:
            left = int(rng.integers(0, 6))
        executing = stay
        if taken:
            handed_over.add((len(stay), done))
            accepted.observe(code)
            executing = [*stay, code]
            semaphores_ready = False
        if not semaphores_ready:
            semaphores_ready = not next(pauses[0])
        finish = bool(executing) and left == 0
        left -= bool(executing)
        dut.done_i.value = int(finish)
        dut.fault_older_i.value = int(rng.integers(2))
        ready = not next(pauses[1])
        dut.instr_ready_i.value = int(ready)
        dut.semaphores_ready_i.value = int(semaphores_ready)
    await RisingEdge(dut.clk_i)
    await RisingEdge(dut.clk_i)
    assert dut.empty_o.value == 1 and dut.busy_o.value == 0
    accepted.close()
    completed.close()
    assert stalls > 0
    assert handed_over == {(0, False), (0, True), (1, False), (1, True)}


@cocotb.test()
async def holds_what_it_promises(dut):
    depth = int(cocotb.plusargs["depth"])
    for name in ("instr_ready_i", "done_i", "semaphores_ready_i", "fault_older_i"):
        getattr(dut, name).value = 0
    source = StreamSource(dut, "dispatch_valid_i", "dispatch_ready_o", ["dispatch_instr_i"])
    await clocking.start(dut)
    source.send({"dispatch_instr_i": int(i)} for i in np.arange(4 * depth))
    for _ in range(8 * depth):
        await RisingEdge(dut.clk_i)
    assert source.sent >= depth, f"{source.sent} instructions wait, the queue is to hold {depth}"
    assert dut.semaphore_stall_o.value == 1 and dut.empty_o.value == 0


@pytest.mark.parametrize("depth", [2, 8, 64])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_issue(depth, seed):
    parameters = {"InstructionQueue": depth}
    assert run_module_test("moesaic_issue", __name__, parameters=parameters, plusargs={"depth": depth}, seed=seed) == 2
