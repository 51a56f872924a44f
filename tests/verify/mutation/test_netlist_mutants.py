"""Designs with mutants of elaborated modules: which instances have them, and what these are made of."""

from __future__ import annotations

import re
from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.sim.machines.source_closure import source_closure
from tests.verify.mutation.netlist_mutants import combined, module_sample
from tests.verify.mutation.operators import parameter_sets
from tests.verify.mutation.samples import module_parameters
from tests.verify.mutation.schemata import TOP, write_design
from tests.verify.mutation.workload import configuration


def _written(directory: Path, module: str, count: int) -> Path:
    """A design with so many mutants of the module, from the third seed."""
    sampled = module_sample(module, module_parameters()[module], count, 3)
    assert len(sampled) == count
    write_design(RTL_DIRECTORY, directory / "rtl", dict(enumerate(sampled, 1)), combined)
    return directory / "rtl"


def test_instances_have_the_mutants_of_their_parameters(tmp_path: Path) -> None:
    module, count = "moesaic_reciprocal", 2
    rtl = _written(tmp_path, module, count)
    found = parameter_sets(TOP, source_closure(TOP, [rtl]), rtl_parameters(configuration()))
    sets = module_parameters()[module]
    assert found[module] == sets and len(sets) == 3
    assert len(found[f"{module}_original"]) == len(sets) - count
    assert [f"{module}_netlist_{index}" in found for index in range(3)] == [True, True, False]
    assert len(re.findall(r"moesaic_mutant == \d+'", (rtl / f"{module}.sv").read_text())) == count


def test_ports_below_have_the_width_of_their_parameters(tmp_path: Path) -> None:
    """exp2's ports have two dimensions, and eight lanes unless it is told otherwise; route has one."""
    text = (_written(tmp_path, "moesaic_route", 1) / "moesaic_route.sv").read_text()
    assert re.search(r"moesaic_exp2 #\(\s*\.Lanes\(32'sd1\)\s*\) u_exp2", text)
    (connected,) = re.findall(r"\.distance_i\(([^\n]*)\),?\n", text.split("module moesaic_route_netlist_0")[1])
    assert connected == "distance_q"
