"""Modules as Yosys synthesised them in the tests of their RTL: the same stimulus, the same expectations.

Sizes are those of zcu104, but for the memories, which would take long.
"""

from __future__ import annotations

import re

import pytest

from moesaic.sim.bench_kit.runner import ModuleTestFailure, run_module_test
from moesaic.sim.measurements.netlist_run.module_netlist import write_module_netlist
from tests.sim import (
    test_control,
    test_fetch,
    test_gelu_table,
    test_isqrt,
    test_issue,
    test_memories,
    test_packed_dot,
    test_reciprocal,
    test_requantise,
    test_semaphores,
)

MEMORIES = dict(zip(test_memories.PARAMETERS, (8, 4, 1920, 4, 320, 320, 768, 8, 4), strict=True))
"""Weight memory and activation memory with all its clients, in block RAM, UltraRAM and the shared part."""
MODULES = {
    "requantise by column": ("moesaic_requantise", {}, test_requantise, {"row_scale": 0}, None),
    "requantise by row": ("moesaic_requantise", {}, test_requantise, {"row_scale": 1}, None),
    "packed_dot": ("moesaic_packed_dot", {"TileDepth": 8}, test_packed_dot, {"depth": 8}, None),
    "isqrt": ("moesaic_isqrt", {}, test_isqrt, {}, None),
    "reciprocal": ("moesaic_reciprocal", {"Width": 32}, test_reciprocal, {"Width": 32}, None),
    "gelu_table": ("moesaic_gelu_table", {"Lanes": 32}, test_gelu_table, {"Lanes": 32}, None),
    "memories": ("memories_bench", MEMORIES, test_memories, MEMORIES, "memory_traffic"),
    "semaphores": ("moesaic_semaphores", {}, test_semaphores, {}, None),
    "issue": ("moesaic_issue", {"InstructionQueue": 64}, test_issue, {"depth": 64}, None),
    "fetch": ("fetch_pins", {}, test_fetch, {}, None),
    "control": ("control_pins", {"Fingerprint": f"64'h{test_control.FINGERPRINT:016x}"}, test_control, {}, None),
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
        public=("*_i", "*_ni", "*_o", "*_no", "*_axi_*"),
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
