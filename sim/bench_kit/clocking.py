"""The clock, reset and watchdog of a bench."""

from __future__ import annotations

from collections.abc import Callable

import cocotb
from cocotb.clock import Clock
from cocotb.task import Task
from cocotb.triggers import ClockCycles, RisingEdge

from moesaic.sim.machines.dut import Dut

CLOCK_PERIOD_STEPS = 2


async def start(dut: Dut, reset_cycles: int = 4) -> None:
    """Start `clk_i` and hold `rst_ni` low for `reset_cycles` cycles. Set inputs that must be low during reset before the call."""
    dut.rst_ni.value = 0
    Clock(dut.clk_i, CLOCK_PERIOD_STEPS, unit="step").start()
    await ClockCycles(dut.clk_i, reset_cycles)
    dut.rst_ni.value = 1
    await RisingEdge(dut.clk_i)


def watch_progress(dut: Dut, progress: Callable[[], int], limit_cycles: int = 2000) -> Task[None]:
    """Start a task that fails the test if `progress()` returns the same number twice, `limit_cycles` cycles apart."""

    async def watch() -> None:
        last = progress()
        while True:
            await ClockCycles(dut.clk_i, limit_cycles)
            current = progress()
            assert current != last, f"no progress in {limit_cycles} cycles: the count stays at {current}"
            last = current

    return cocotb.start_soon(watch())


async def wait_until(dut: Dut, condition: Callable[[], bool], limit_cycles: int) -> int:
    """Wait until `condition()`, checked at every rising edge, is true; return the number of cycles waited.

    Raises:
        AssertionError: the condition was not true within `limit_cycles` cycles.
    """
    for cycles in range(limit_cycles):
        if condition():
            return cycles
        await RisingEdge(dut.clk_i)
    raise AssertionError(f"condition not met within {limit_cycles} cycles")
