"""The session of docs/hls4ml.md, as it stands there, and `build` on stand-ins for AMD's tools."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.sim.machines.csim import CsimExecutor
from moesaic.spec.configuration import load_configuration
from tests.hls.vendor_tcl import VitisTcl

REPOSITORY = Path(__file__).resolve().parents[3]
REPORT = Path(__file__).parent / "kernel_csynth.xml"
TINY = load_configuration("tiny")

assert VitisTcl  # the stand-in for vitis-run needs it

VITIS = f"""
import shutil, sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.hls.vendor_tcl import VitisTcl
assert sys.argv[1:-1] == ["--mode", "hls", "--tcl"], sys.argv
vitis = VitisTcl()
vitis.source(Path(sys.argv[-1]).resolve())
assert not vitis.failures, vitis.failures
with open("steps", "a") as file:
    print(*vitis.steps, file=file)
if "csynth_design" in vitis.steps:
    reports = Path("kernel_project/solution/syn/report")
    reports.mkdir(parents=True, exist_ok=True)
    shutil.copy({str(REPORT)!r}, reports)
"""


def blocks() -> list[str]:
    """The Python code of the document: the session, and its end where Vitis is installed."""
    return re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "hls4ml.md").read_text(), re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, bundle_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a bundle where `moesaic demo` leaves it, and PATH without Vitis."""
    shutil.copytree(bundle_directory, tmp_path / "build" / "demo" / "bundle")
    monkeypatch.setenv("PATH", ":".join(entry for entry in os.environ["PATH"].split(":") if "Xilinx" not in entry))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def vitis(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = place / "opt" / "2024.2" / "bin" / "vitis-run"
    program.parent.mkdir(parents=True)
    program.with_suffix(".py").write_text(VITIS)
    script = shlex.join([sys.executable, str(program.with_suffix(".py"))])
    program.write_text(f'#!/bin/sh\nexec {script} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


@pytest.mark.usefixtures("vitis")
def test_the_documented_session(place, bundle, capsys):
    session, end = blocks()
    names: dict = {}
    exec(session, names)
    printed = capsys.readouterr().out
    build, executor = generate(bundle, TINY), CsimExecutor(TINY)
    assert sorted(names["outputs"]) == sorted(bundle.tasks)
    for task, output in names["outputs"].items():
        assert f"{task}: (2, {output.shape[1]}, 32, 48), quantisation error" in printed
        for picture, values in zip(names["pictures"], output, strict=True):
            memory = build.new_memory()
            build.write_image(memory.frame, picture.transpose(1, 2, 0))
            executor.run(build.task(task).program, memory, 0)
            raw = build.read_output(memory.frame, task).transpose(2, 0, 1)
            assert np.array_equal(values, (raw * float(bundle.tasks[task].output_scale)).astype(np.float32))
        error = float(re.search(rf"{task}:.*error ([\d.]+)%", printed)[1])
        assert error < 30
    exec(end, names)
    project = place / "build" / "hls4ml" / "vitis"
    assert (project / "steps").read_text().splitlines() == ["csim_design", "csynth_design"]
    assert "set clock_period 3.333\n" in (project / "settings.tcl").read_text()
    assert names["report"]["CSynthesisReport"] == {
        "TargetClockPeriod": "3.33", "EstimatedClockPeriod": "2.91", "BRAM_18K": "120", "DSP": "130", "FF": "40000",
        "LUT": "50000", "URAM": "8", "AvailableBRAM_18K": "624", "AvailableDSP": "1728", "AvailableFF": "460800",
        "AvailableLUT": "230400", "AvailableURAM": "96",
    }  # fmt: skip


@pytest.mark.usefixtures("place")
def test_without_vitis(convert, tmp_path):
    with pytest.raises(UserError) as error:
        convert().build()
    assert "vitis-run or vitis_hls" in str(error.value) and "settings64.sh" in str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "project" / "vitis").exists()


@pytest.mark.usefixtures("vitis")
def test_steps_clock_and_task_of_a_build(convert, tmp_path):
    model = convert(task="depth", clock_period=4)
    assert model.build(csim=False, synth=False, cosim=True, export=True) == {}
    project = tmp_path / "project" / "vitis"
    assert (project / "steps").read_text().splitlines() == ["csynth_design cosim_design", "csynth_design export_design"]
    assert "set clock_period 4.000\n" in (project / "settings.tcl").read_text()
    assert {path.name for path in (project / "vectors").glob("*.after.bin")} == {"depth.after.bin"}


def test_a_failing_step(convert, vitis):
    vitis.with_suffix(".py").write_text("print('ERROR: [HLS 200-70] no licence'); raise SystemExit(1)")
    with pytest.raises(UserError, match=r"vitis-run exits 1 on csim\.tcl: ERROR: \[HLS 200-70\] no licence"):
        convert().build()
