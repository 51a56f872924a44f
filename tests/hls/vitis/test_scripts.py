"""The Tcl of a Vitis project, run in a Tcl interpreter against stubs of the vendor's commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from moesaic.errors import UserError
from moesaic.hls.vendor.vitis.project import kernel_sources, scripts, settings
from moesaic.spec.configuration import load_configuration
from tests.hls.vendor_tcl import VitisTcl

TINY = load_configuration("tiny")
STEPS = {
    "csim.tcl": ["csim_design"],
    "csynth.tcl": ["csynth_design"],
    "cosim.tcl": ["csynth_design", "cosim_design"],
    "export.tcl": ["csynth_design", "export_design"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {f"src/{name}": text for name, text in kernel_sources(TINY).items()}
    for name, text in {**files, **scripts(), "settings.tcl": settings(TINY), "tb/testbench.cpp": "\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("script", STEPS)
def test_a_script_takes_its_steps(project: Path, script: str) -> None:
    vitis = VitisTcl()
    vitis.source(project / script)
    assert (vitis.failures, vitis.exit_code) == ([], 0)
    assert vitis.steps == STEPS[script]
    assert vitis.named("set_top")[0].words == ["kernel"]
    assert vitis.named("set_part")[0].words == ["xczu7ev-ffvc1156-2-e"]
    assert vitis.named("create_clock")[0].options["-period"] == "3.333"
    assert all("-DMOESAIC_AP_TYPES" in call.options["-cflags"] for call in vitis.named("add_files"))
    for step in ("csim_design", "cosim_design"):
        for call in vitis.named(step):
            assert vitis.split(call.options["-argv"])[0] == str(project / "vectors")


@pytest.mark.parametrize("script", STEPS)
def test_a_step_that_fails_gives_an_exit_status(project: Path, script: str) -> None:
    text = (project / script).read_text()
    step = STEPS[script][-1]
    (project / script).write_text(text.replace(f"{step}", f"{step} -unheard_of", 1) if f"  {step}" in text else
                                  text.replace(f"{{{step}", f"{{{step} -unheard_of"))  # fmt: skip
    vitis = VitisTcl()
    vitis.source(project / script)
    assert vitis.exit_code == 1
    assert vitis.failures == [f"{step}: unknown option -unheard_of"]


def test_an_export_needs_no_test_bench_but_simulation_does(project: Path) -> None:
    (project / "tb" / "testbench.cpp").unlink()
    export, csim = VitisTcl(), VitisTcl()
    export.source(project / "export.tcl")
    csim.source(project / "csim.tcl")
    assert (export.failures, export.exit_code) == ([], 0)
    assert len(csim.failures) > 0


def test_a_board_that_nobody_knows() -> None:
    import dataclasses

    with pytest.raises(UserError, match="no board has the part XC7Z020; known: XCK26"):
        settings(dataclasses.replace(TINY, part="XC7Z020"))
