"""`moesaic bitstream` with stand-ins for AMD's tools in PATH: they run our Tcl on stubs and leave reports written by hand."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from moesaic.errors import UserError
from moesaic.hls.commands.bitstream import BitstreamCommand
from moesaic.hls.hardware.resource_estimate import estimate_resources
from moesaic.hls.vendor.vivado.bitstream import make_bitstream
from moesaic.hls.vendor.vivado.project import ProjectOptions
from moesaic.host.bitstream import find_bitstream
from moesaic.spec.configuration import load_configuration
from tests.hls.vendor_tcl import VivadoTcl

REPOSITORY = Path(__file__).resolve().parents[3]
REPORTS = Path(__file__).parent / "reports"
TINY = load_configuration("tiny")

assert VivadoTcl  # the stand-in for vivado needs it

VIVADO = f"""
import shutil, sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.hls.vendor_tcl import VivadoTcl
vivado = VivadoTcl(Path.cwd(), Path({str(REPOSITORY)!r}) / "hls" / "hardware" / "cpp" / "kernel.cpp")
vivado.source(Path(sys.argv[-1]).resolve())
print("\\n".join(vivado.printed + ["ERROR: " + failure for failure in vivado.failures]))
if vivado.exit_code == 0:
    for report in Path({str(REPORTS)!r}).iterdir():
        shutil.copy(report, Path.cwd() / "results")
sys.exit(vivado.exit_code)
"""

VITIS = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.hls.vendor_tcl import VitisTcl
vitis = VitisTcl()
vitis.source(Path(sys.argv[-1]).resolve())
assert vitis.steps == ["csynth_design", "export_design"], vitis.failures
ip = Path("kernel_project/solution/impl/ip")
ip.mkdir(parents=True)
(ip / "component.xml").write_text("stand-in")
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that puts a stand-in for a tool, of a version, into PATH; at first PATH has the bare system."""
    path = [entry for entry in os.environ["PATH"].split(":") if "Xilinx" not in entry]
    monkeypatch.setenv("PATH", ":".join(path))
    monkeypatch.chdir(tmp_path)

    def add(program: str, version: str, code: str) -> Path:
        place = tmp_path / "opt" / version / "bin" / program
        place.parent.mkdir(parents=True, exist_ok=True)
        script = place.with_suffix(".py")
        script.write_text(code)
        place.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(script))} "$@"\n')
        place.chmod(0o755)
        monkeypatch.setenv("PATH", str(place.parent), prepend=":")
        return place

    return add


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    BitstreamCommand.configure(parser)
    return BitstreamCommand.run(parser.parse_args(["--config", "tiny", "--jobs", "1", *arguments]))


def test_without_the_tools_it_says_what_is_missing_and_leaves_nothing(tools, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="engine rtl needs vivado, which PATH does not have") as caught:
        run()
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="engine hls needs vivado and vitis-run or vitis_hls,"):
        run("--engine", "hls")
    assert list(tmp_path.iterdir()) == []


def test_an_old_tool_is_refused_with_both_versions(tools) -> None:
    tools("vivado", "2022.2", VIVADO)
    with pytest.raises(UserError, match=r"vivado \(2023.1 and later; 2022.2 was found\)"):
        run()


def test_a_vitis_run_of_2023_1_is_none(tools) -> None:
    tools("vivado", "2023.1", VIVADO)
    tools("vitis-run", "2023.1", VITIS)
    with pytest.raises(UserError, match=r"vitis-run \(2023.2 and later; 2023.1 was found\) or vitis_hls"):
        run("--engine", "hls")


@pytest.mark.parametrize(
    "engine, hls", [("rtl", None), ("hls", ("vitis-run", "2025.1")), ("hls", ("vitis_hls", "2023.1"))]
)
def test_a_bitstream_that_the_host_finds(tools, tmp_path: Path, engine: str, hls, capsys) -> None:
    tools("vivado", "2023.1", VIVADO)
    if hls:
        tools(*hls, VITIS)
    assert run("--engine", engine) == 0
    target = tmp_path / "bitstreams" / f"tiny-{TINY.fingerprint}"
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()) == [
        "accel.bit", "accel.hwh", "build.json", "reports/control_sets.rpt", "reports/drc.rpt", "reports/failfast.rpt",
        "reports/high_fanout_nets.rpt", "reports/power.rpt", "reports/qor_assessment.rpt", "reports/timing_summary.rpt",
        "reports/utilization.rpt", "reports/utilization_hierarchical.rpt",
    ]  # fmt: skip
    made = json.loads((target / "build.json").read_text())
    assert (made["engine"], made["fingerprint"], made["clock_mhz"]) == (engine, TINY.fingerprint, 300)
    assert made["timing"]["met"] and made["utilization"]["dsp"] == {"used": 1631, "available": 1728}
    estimated = estimate_resources(TINY).dsp
    of_the_rtl = {"estimated": estimated, "used": 1629, "used_per_estimated": round(1629 / estimated, 3)}
    assert made["accelerator"]["dsp"] == (of_the_rtl if engine == "rtl" else {"used": 1729})
    assert made["power_estimated_by_vivado_w"] == 11.842
    assert find_bitstream(tmp_path / "no-build", TINY) == target / "accel.bit"
    printed = capsys.readouterr().out
    assert f"engine {engine}, 300 MHz (the board makes 299.97), worst setup slack 0.021 ns" in printed
    assert ("about eight times the cycles" in printed) == (engine == "hls")
    assert (f"dsp: 1629 used, {estimated} estimated" if engine == "rtl" else "dsp: 1729 used\n") in printed


AUTO = VIVADO.replace(
    "sys.exit(vivado.exit_code)",
    """
clock = float(next(line for line in open("settings.tcl") if line.startswith("set clock_mhz")).split("{")[1].split("}")[0])
slack = round(1000 / clock - LONGEST, 3)
p = Path("results/timing_summary.rpt")
p.write_text(p.read_text().replace("      0.021  ", f"{min(slack, 0.01):11.3f}  "))
""",
)
"""A stand-in for Vivado whose design has a longest path of LONGEST ns, whatever the clock."""


def test_auto_ends_with_the_highest_clock_that_is_met(tools, tmp_path: Path, capsys) -> None:
    tools("vivado", "2023.1", AUTO.replace("LONGEST", "3.6"))
    assert run("--clock", "auto") == 0
    made = json.loads((tmp_path / "bitstreams" / f"tiny-{TINY.fingerprint}" / "build.json").read_text())
    assert [(tried["clock_mhz"], tried["met"]) for tried in made["clocks_tried"]] == [
        (300.0, False),
        (made["clock_mhz"], True),
    ]
    assert 277.0 <= made["clock_mhz"] <= 1000 / 3.6 and made["timing"]["met"]
    printed = capsys.readouterr().out
    assert f"300 MHz: worst setup slack -0.267 ns; next: {made['clock_mhz']:g} MHz" in printed
    assert "; no other clock is tried" in printed and "the highest clock that is met, of 2 tried" in printed
    work = tmp_path / "build" / "vivado" / f"tiny-{TINY.fingerprint}-rtl"
    assert sorted(path.name for path in work.iterdir()) == sorted(["300-mhz", f"{made['clock_mhz']:g}-mhz"])


def test_auto_on_a_design_that_meets_nothing(tools, tmp_path: Path) -> None:
    tools("vivado", "2023.1", AUTO.replace("LONGEST", "(1000 / clock + 0.5)"))
    with pytest.raises(UserError, match=r"timing is met at none of the clocks tried: 300 MHz \(-0.5 ns\), 260"):
        run("--clock", "auto")
    assert not (tmp_path / "bitstreams").exists()


def test_auto_ends_where_a_slower_clock_does_not_help(tools, tmp_path: Path) -> None:
    tools("vivado", "2023.1", slack("        0.010  ", "       -0.002  "))
    with pytest.raises(UserError, match=r"the worst slack is -0.002 ns in hold; the bitstream is not kept; read"):
        run("--clock", "auto")


def failing(change: str) -> str:
    return VIVADO.replace("sys.exit(vivado.exit_code)", change)


def slack(old: str, new: str) -> str:
    """The stand-in for Vivado with another slack in its timing report."""
    return failing(f"p = Path('results/timing_summary.rpt'); p.write_text(p.read_text().replace({old!r}, {new!r}))")


FAILURES = {
    "setup": (
        slack("      0.021  ", "     -0.500  "),
        "the worst slack is -0.5 ns in setup; the bitstream is not kept; ask for a clock of 260 MHz or auto, or read ",
    ),
    "hold": (
        slack("        0.010  ", "       -0.002  "),
        "the worst slack is -0.002 ns in hold; the bitstream is not kept; read .*timing_summary.rpt",
    ),
    "pulse width": (
        slack("        0.833  ", "       -0.100  "),
        "the worst slack is -0.1 ns in pulse width; the bitstream is not kept; read .*timing_summary.rpt",
    ),
    "an error": (
        "import sys; print('INFO: a'); print('ERROR: [Route 35-7] no way'); sys.exit(1)",
        "ERROR: .Route 35-7. no way",
    ),
    "a report that is missing": (failing("(Path('results') / 'power.rpt').unlink()"), "Vivado left no power.rpt"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_run_leaves_no_bitstream_and_an_old_one_as_it_was(tools, tmp_path: Path, name: str) -> None:
    tools("vivado", "2023.1", VIVADO)
    run()
    target = tmp_path / "bitstreams" / f"tiny-{TINY.fingerprint}"
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    code, message = FAILURES[name]
    tools("vivado", "2024.1", code)
    with pytest.raises(UserError, match=message):
        run()
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    with pytest.raises(UserError):
        run("--output", "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_make_doctor_before_setup(tools, tmp_path: Path) -> None:
    """On a machine that has Vivado and a bare Python, without numpy: what is there and what is missing, nothing installed."""
    tools("vivado", "2023.1", VIVADO)
    command = ["make", "--silent", "-C", str(REPOSITORY), "doctor", f"VENV={tmp_path}/venv"]
    bare = shlex.quote(getattr(sys, "_base_executable", sys.executable)) + " -S -E -B"
    result = subprocess.run([*command, f"PYTHON={bare}"], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert "2023.1" in lines["vivado"] and "get it" not in lines["vivado"]
    assert "missing" in lines["numpy"] and "missing" in lines["vitis-run"]
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("engine", ["rtl", "hls"])
def test_a_path_with_a_space_is_refused(tools, tmp_path: Path, engine: str) -> None:
    tools("vivado", "2023.1", VIVADO)
    tools("vitis-run", "2025.1", VITIS)
    with pytest.raises(UserError, match=r"AMD's tools cannot work in .*/my work/.*: the path has a ' '"):
        run("--engine", engine, "--work", "my work")
    assert not (tmp_path / "my work").exists()


def test_sizes_for_no_board(tools, tmp_path: Path) -> None:
    import dataclasses

    other = dataclasses.replace(TINY, part="XCZU15EG")
    with pytest.raises(UserError, match="no board has the part XCZU15EG; known: XCK26"):
        make_bitstream(other, ProjectOptions("rtl", 300.0, 1), False, tmp_path / "out", tmp_path / "work")
