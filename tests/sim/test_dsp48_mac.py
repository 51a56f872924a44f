"""One link of a cascade: the behavioural description and the instantiated slice both follow the equations of UG579.

The slice that is instantiated is a model of ours (sim/measurements/netlist_run/cells), written from the guide; AMD's own has not been run.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from moesaic.sim.bench_kit import clocking
from moesaic.sim.bench_kit.random_values import random_generator, with_corners
from moesaic.sim.bench_kit.runner import RTL_DIRECTORIES, run_module_test
from moesaic.sim.bench_kit.scoreboard import Scoreboard
from moesaic.sim.measurements.netlist_run.cells import CELL_DIRECTORY
from tests.sim import test_packed_dot, test_requantise

MODEL = CELL_DIRECTORY
LINKS = {"first": 0, "next": 1}
"""Value of the parameter Cascaded: the first of a cascade, or a multiplication by itself, adds c_i."""
VARIANTS = ("behavioural", "instantiated")
CYCLES = 2000
LATENCY = 3


def directories(variant: str, place: Path) -> tuple[Path, ...]:
    """Where the sources are found: in `place` a dsp48_mac that has the slice instantiated goes before the original."""
    if variant == "behavioural":
        return RTL_DIRECTORIES
    original = (RTL_DIRECTORIES[0] / "moesaic_dsp48_mac.sv").read_text()
    (place / "moesaic_dsp48_mac.sv").write_text("`define MOESAIC_DSP48E2\n" + original)
    return place, MODEL, *RTL_DIRECTORIES


@cocotb.test()
async def link_follows_the_equations(dut):
    """P <- (cascaded ? PCIN : C) + M, M <- A * B; C is a cycle, PCIN two cycles after the operands."""
    rng, cascaded = random_generator(), int(cocotb.plusargs["cascaded"])
    a_in = with_corners(rng, -(1 << 26), (1 << 26) - 1, CYCLES)
    b_in = with_corners(rng, -(1 << 17), (1 << 17) - 1, CYCLES)
    # the largest product, of the two least operands, needs a bit more than all others
    a_in[:4], b_in[:4] = zip(*product((-(1 << 26), (1 << 26) - 1), (-(1 << 17), (1 << 17) - 1)))
    c_in = with_corners(rng, -(1 << 47), (1 << 47) - 1, CYCLES)
    cascade_in = with_corners(rng, -(1 << 47), (1 << 47) - 1, CYCLES)
    board = Scoreboard("sums")
    Clock(dut.clk_i, clocking.CLOCK_PERIOD_STEPS, unit="step").start()
    for cycle in range(CYCLES):
        dut.a_i.value, dut.b_i.value = int(a_in[cycle]), int(b_in[cycle])
        dut.c_i.value, dut.cascade_i.value = int(c_in[cycle]), int(cascade_in[cycle])
        await RisingEdge(dut.clk_i)
        if cycle >= LATENCY:
            first = cycle - LATENCY
            addend = int(cascade_in[first + 2] if cascaded else c_in[first + 1])
            total = (addend + int(a_in[first]) * int(b_in[first])) % (1 << 48)
            board.expect([(total, total)])
            board.observe((dut.sum_o.value.to_unsigned(), dut.cascade_o.value.to_unsigned()))
    board.close()


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_dsp48_mac(seed, variant, link, tmp_path):
    run_module_test(
        "moesaic_dsp48_mac",
        __name__,
        parameters={"Cascaded": LINKS[link]},
        plusargs={"cascaded": LINKS[link]},
        seed=seed,
        rtl_directories=directories(variant, tmp_path),
    )


def test_packed_dot_on_instantiated_slices(tmp_path):
    """The dot product is exact on a cascade of slices as it is on their description."""
    run_module_test(
        "moesaic_packed_dot",
        test_packed_dot.__name__,
        parameters={"TileDepth": 8},
        plusargs={"depth": 8},
        rtl_directories=directories("instantiated", tmp_path),
    )


@pytest.mark.parametrize("row_scale", [0, 1])
def test_requantise_on_instantiated_slices(row_scale, tmp_path):
    """One lane of the requantiser gives the same integers on a slice as on its description."""
    run_module_test(
        "moesaic_requantise",
        test_requantise.__name__,
        plusargs={"row_scale": row_scale},
        rtl_directories=directories("instantiated", tmp_path),
    )
