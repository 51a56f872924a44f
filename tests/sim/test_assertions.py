"""Named assertions of the RTL end a simulation: right designs run through, broken ones and broken clients are told by name."""

import shutil
from pathlib import Path

import cocotb
import pytest
from cocotb.triggers import ClockCycles

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.packing import pack
from moesaic.sim.bench_kit.runner import ModuleTestFailure, run_module_test
from moesaic.spec.isa import SEMAPHORES, Unit, semaphore


@cocotb.test()
async def stream_fills_up_and_drains(dut):
    """Offer more than fits, then take it all."""
    dut.valid_i.value = dut.ready_i.value = 0
    await clocking.start(dut)
    dut.data_i.value = 5
    for valid, ready in ((1, 0), (0, 1)):
        dut.valid_i.value, dut.ready_i.value = valid, ready
        await ClockCycles(dut.clk_i, 24)


@cocotb.test()
async def semaphore_is_taken(dut):
    """The matmul unit takes what the load unit signals: once before the signal, if the test says so, and once after."""
    mask = 1 << semaphore(Unit.LOAD, Unit.MATMUL)
    dut.take_i.value = dut.signal_i.value = 0
    dut.wait_mask_i.value = pack([mask if unit == Unit.MATMUL else 0 for unit in Unit], SEMAPHORES)
    dut.signal_mask_i.value = pack([mask if unit == Unit.LOAD else 0 for unit in Unit], SEMAPHORES)
    await clocking.start(dut)
    early = cocotb.plusargs["early"] == "1"
    for take, signal in ((early, 0), (0, 1), (1, 0), (0, 0)):
        dut.take_i.value = int(take) << Unit.MATMUL
        dut.signal_i.value = signal << Unit.LOAD
        await ClockCycles(dut.clk_i, 1)


def run(module: str, testcase: str, directory: Path = RTL_DIRECTORY, **plusargs: int) -> int:
    return run_module_test(module, __name__, testcase=testcase, plusargs=plusargs, rtl_directories=[directory])


@pytest.mark.parametrize("module", ["moesaic_fifo", "moesaic_skid_buffer"])
def test_right_queue_passes(module):
    assert run(module, "stream_fills_up_and_drains") == 1


@pytest.mark.parametrize(
    ("module", "broken", "old", "new", "assertion"),
    [
        (
            "moesaic_fifo",
            "moesaic_fifo",
            "ready_q <= pop || (ready_q && !(push && one_place));",
            "ready_q <= 1'b1;",
            "ready_while_not_full",
        ),
        (
            "moesaic_fifo",
            "moesaic_fifo",
            "valid_q <= push || (valid_q && !(pop && one_entry));",
            "valid_q <= push || valid_q;",
            "valid_while_not_empty",
        ),
        (
            "moesaic_skid_buffer",
            "moesaic_port_buffer",
            "ports_q <= ports_q & ~port_ready_i;",
            "ports_q <= '0;",
            "valid_held_until_ready",
        ),
        (
            "moesaic_skid_buffer",
            "moesaic_port_buffer",
            "ports_q <= ports_q & ~port_ready_i;",
            "data_q <= ~data_q;",
            "payload_stable_until_ready",
        ),
    ],
    ids=["ready_when_full", "valid_when_empty", "dropped_valid", "changed_payload"],
)
def test_broken_queue_is_told_by_name(module, broken, old, new, assertion, tmp_path):
    directory = tmp_path / "rtl"
    shutil.copytree(RTL_DIRECTORY, directory)
    source = directory / f"{broken}.sv"
    assert source.read_text().count(old) == 1
    source.write_text(source.read_text().replace(old, new))
    with pytest.raises(ModuleTestFailure, match=rf"Assertion failed in .*\.{assertion}"):
        run(module, "stream_fills_up_and_drains", directory)


def test_early_take_of_a_semaphore_is_told_by_name():
    assert run("moesaic_semaphores", "semaphore_is_taken", early=0) == 1
    with pytest.raises(ModuleTestFailure, match=r"Assertion failed in .*\.taken_only_above_zero"):
        run("moesaic_semaphores", "semaphore_is_taken", early=1)
