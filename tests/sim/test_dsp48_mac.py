"""One link of a cascade: the behavioural description and the instantiated slice both follow the equations of UG579.

The slice that is instantiated is a model of ours (sim/measurements/netlist_run/cells), written from the guide; AMD's own has not been run.
"""

from __future__ import annotations

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
from tests.sim import test_packed_dot

MODEL = CELL_DIRECTORY
START = (1 << 48) - 5
LINKS = {"first": 1, "next": 0}
VARIANTS = ("behavioural", "instantiated")
CYCLES = 2000


def directories(variant: str, place: Path) -> tuple[Path, ...]:
    """Where the sources are found: in `place` a dsp48_mac that has the slice instantiated goes before the original."""
    if variant == "behavioural":
        return RTL_DIRECTORIES
    original = (RTL_DIRECTORIES[0] / "moesaic_dsp48_mac.sv").read_text()
    (place / "moesaic_dsp48_mac.sv").write_text("`define MOESAIC_DSP48E2\n" + original)
    return place, MODEL, *RTL_DIRECTORIES


@cocotb.test()
async def link_follows_the_equations(dut):
    """P <- (first ? RND : PCIN) + M, M <- A * B, with A, B, M and P holding while their enable is low."""
    rng, first = random_generator(), int(cocotb.plusargs["first"])
    a_in = with_corners(rng, -(1 << 26), (1 << 26) - 1, CYCLES)
    b_in = with_corners(rng, -(1 << 17), (1 << 17) - 1, CYCLES)
    cascade_in = with_corners(rng, -(1 << 47), (1 << 47) - 1, CYCLES)
    enable = rng.random(CYCLES) < 0.8
    enable[:3] = True
    board = Scoreboard("sums")
    a = b = m = p = None
    Clock(dut.clk_i, clocking.CLOCK_PERIOD_STEPS, unit="step").start()
    for cycle in range(CYCLES):
        dut.a_i.value, dut.b_i.value = int(a_in[cycle]), int(b_in[cycle])
        dut.cascade_i.value, dut.enable_i.value = int(cascade_in[cycle]), int(enable[cycle])
        await RisingEdge(dut.clk_i)
        if p is not None:
            board.expect([(p, p)])
            board.observe((dut.sum_o.value.to_unsigned(), dut.cascade_o.value.to_unsigned()))
        if enable[cycle]:
            addend = START if first else int(cascade_in[cycle])
            p = (addend + m) % (1 << 48) if m is not None else None
            m = a * b if a is not None else None
            a, b = int(a_in[cycle]), int(b_in[cycle])
    board.close()


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_dsp48_mac(seed, variant, link, tmp_path):
    run_module_test(
        "moesaic_dsp48_mac",
        __name__,
        parameters={"First": LINKS[link], "Start": f"48'd{START}"},
        plusargs={"first": LINKS[link]},
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
