"""Modules as Yosys synthesised them, at the sizes of zcu104, in the tests of their RTL: the same stimulus, the same expectations."""

from __future__ import annotations

import re

import pytest

from moesaic.sim.bench_kit.runner import ModuleTestFailure, run_module_test
from moesaic.sim.measurements.netlist_run.module_netlist import write_module_netlist
from tests.sim import test_isqrt, test_packed_dot, test_requantise

MODULES = {
    "requantise by column": ("moesaic_requantise", {}, test_requantise, {"row_scale": 0}, None),
    "requantise by row": ("moesaic_requantise", {}, test_requantise, {"row_scale": 1}, None),
    "packed_dot": ("moesaic_packed_dot", {"TileDepth": 8}, test_packed_dot, {"depth": 8}, None),
    "isqrt": ("moesaic_isqrt", {}, test_isqrt, {}, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MODULES)
def test_the_netlist_passes_the_test_of_its_rtl(case, tmp_path):
    top, parameters, test, plusargs, testcase = MODULES[case]
    write_module_netlist(top, parameters, tmp_path)
    passed = run_module_test(
        top,
        test.__name__,
        plusargs=plusargs,
        testcase=testcase,
        rtl_directories=[tmp_path],
        public=("*_i", "*_ni", "*_o"),
    )
    assert passed > 0


@pytest.mark.slow
def test_a_wrong_lookup_table_is_noticed(tmp_path):
    write_module_netlist("moesaic_requantise", {}, tmp_path)
    path = tmp_path / "moesaic_requantise.sv"
    wrong, count = re.subn(
        r"(?<=\.INIT\(64'h)[0-9a-f]{16}",
        lambda found: f"{int(found[0], 16) ^ (1 << 64) - 1:016x}",
        path.read_text(),
        count=1,
    )
    assert count == 1
    path.write_text(wrong)
    with pytest.raises(ModuleTestFailure):
        run_module_test(
            "moesaic_requantise", test_requantise.__name__, plusargs={"row_scale": 0}, rtl_directories=[tmp_path],
            public=("*_i", "*_o"),
        )  # fmt: skip
