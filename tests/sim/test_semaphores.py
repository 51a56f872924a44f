"""The counting semaphores against a list of 25 integers."""

import cocotb
import pytest
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.packing import pack
from moesaic.sim.bench_kit.random_values import random_generator
from moesaic.sim.bench_kit.runner import run_module_test
from moesaic.spec.isa import SEMAPHORE_MAX, SEMAPHORES, Unit, semaphore, signals_of, waits_of


@cocotb.test()
async def counts(dut):
    rng = random_generator()
    for name in ("wait_mask_i", "take_i", "signal_i", "signal_mask_i"):
        getattr(dut, name).value = 0
    await clocking.start(dut)
    count = [0] * SEMAPHORES
    overflows = takes = full = 0
    for cycle in range(6000):
        # Long phases in which signals outnumber takes, so that counters reach 255, and the other way round.
        filling = cycle // 1500 % 2 == 0
        waits = [int(rng.integers(1 << SEMAPHORES)) & waits_of(unit) for unit in Unit]
        if rng.random() < 0.5:
            waits = [mask & int(rng.integers(1 << SEMAPHORES)) & int(rng.integers(1 << SEMAPHORES)) for mask in waits]
        signals = [int(rng.integers(1 << SEMAPHORES)) & signals_of(unit) for unit in Unit]
        signalling = int(rng.integers(32)) if rng.random() < (0.9 if filling else 0.1) else 0
        dut.wait_mask_i.value = pack(waits, SEMAPHORES)
        dut.signal_mask_i.value = pack(signals, SEMAPHORES)
        dut.signal_i.value = signalling
        dut.take_i.value = 0
        await FallingEdge(dut.clk_i)
        ready = int(dut.ready_o.value)
        expected = sum(
            1 << unit for unit in Unit if all(count[s] > 0 for s in range(SEMAPHORES) if waits[unit] >> s & 1)
        )
        assert ready == expected, f"ready {ready:05b}, expected {expected:05b} of counts {count}"
        taking = ready & int(rng.integers(32)) if rng.random() < (0.1 if filling else 0.9) else 0
        dut.take_i.value = taking
        await RisingEdge(dut.clk_i)
        overflow = 0
        for producer in Unit:
            for consumer in Unit:
                s = semaphore(producer, consumer)
                up = signalling >> producer & 1 and signals[producer] >> s & 1
                down = taking >> consumer & 1 and waits[consumer] >> s & 1
                if up and not down and count[s] == SEMAPHORE_MAX:
                    overflow |= 1 << producer
                else:
                    count[s] += bool(up) - bool(down)
                full += bool(up and down and count[s] == SEMAPHORE_MAX)
        assert int(dut.overflow_o.value) == overflow, f"overflow of {overflow:05b} not reported"
        overflows += overflow != 0
        takes += taking != 0
    assert overflows and takes and full, (
        f"{overflows} overflows, {takes} takes, {full} signals with a take at the limit"
    )
    dut.rst_ni.value = 0
    await ClockCycles(dut.clk_i, 2)
    dut.wait_mask_i.value = pack([waits_of(unit) for unit in Unit], SEMAPHORES)
    await FallingEdge(dut.clk_i)
    assert int(dut.ready_o.value) == 0


@pytest.mark.parametrize("seed", range(3), ids=lambda s: f"seed{s}")
def test_semaphores(seed):
    assert run_module_test("moesaic_semaphores", __name__, seed=seed) == 1
