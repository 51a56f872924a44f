"""`moesaic bitstream --project-only`: a folder that is moved, run by a stand-in for Vivado elsewhere, and brought back."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

import pytest

from moesaic.errors import UserError
from moesaic.hls.commands.bitstream import BitstreamCommand
from moesaic.spec.board import Board, known_boards, load_board
from moesaic.spec.configuration import load_configuration
from tests.hls.vendor_tcl import VitisTcl, VivadoTcl

REPORTS = Path(__file__).parent / "reports"
KERNEL = Path(__file__).resolve().parents[3] / "hls" / "hardware" / "cpp" / "kernel.cpp"
TINY = load_configuration("tiny")


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    BitstreamCommand.configure(parser)
    return BitstreamCommand.run(parser.parse_args(["--config", "tiny", "--jobs", "1", *arguments]))


def implement(folder: Path) -> None:
    """What Vivado leaves in a project folder: its own files by the scripts, and reports written by hand."""
    vivado = VivadoTcl(folder, KERNEL)
    vivado.source(folder / "vivado.tcl")
    assert (vivado.failures, vivado.exit_code) == ([], 0), vivado.printed
    for report in REPORTS.iterdir():
        shutil.copy(report, folder / "results")


@pytest.mark.parametrize("engine", ["rtl", "hls"])
def test_a_project_that_is_moved_gives_a_bitstream(tmp_path: Path, monkeypatch, capsys, engine: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")  # no tool is started, nor looked for
    written, moved = tmp_path / "here" / "project", tmp_path / "there" / "copy"
    assert run("--project-only", str(written), "--engine", engine, "--floorplan") == 0
    command = capsys.readouterr().out
    moved.parent.mkdir()
    shutil.move(written, moved)
    for path in moved.rglob("*"):
        if path.is_file():
            assert str(tmp_path) not in path.read_text(), path
    if engine == "hls":
        vitis = VitisTcl()
        vitis.source(moved / "kernel" / "export.tcl")
        assert (vitis.failures, vitis.exit_code) == ([], 0)
        monkeypatch.chdir(tmp_path)  # the script has changed its place
    implement(moved)
    assert run("--collect", str(moved)) == 0
    target = tmp_path / "bitstreams" / f"tiny-{TINY.fingerprint}"
    made = json.loads((target / "build.json").read_text())
    assert (made["engine"], made["clock_mhz"], made["fingerprint"]) == (engine, 300.0, TINY.fingerprint)
    assert Board.from_dict(made["board"]) == load_board("zcu104")
    assert made["clocks_tried"] == [{"clock_mhz": 300.0, "setup_worst": 0.021, "met": True}]
    readme = (moved / "README.md").read_text()
    (line,) = [line.strip() for line in readme.splitlines() if line.startswith("    vi")]
    assert command == f"{written}: run there: {line}\n"
    assert line.endswith("vivado -mode batch -source vivado.tcl")
    assert line.startswith("vitis-run --mode hls --tcl kernel/export.tcl && ") == (engine == "hls")


@pytest.mark.parametrize("engine", ["rtl", "hls"])
@pytest.mark.parametrize("board", known_boards())
def test_the_readme_names_every_file(tmp_path: Path, board: str, engine: str) -> None:
    """Each board has a configuration of its name."""
    project = tmp_path / "project"
    assert run("--config", board, "--project-only", str(project), "--engine", engine) == 0
    readme = (project / "README.md").read_text()
    named = {name.rstrip("/") for name in re.findall(r"`([\w.]+/?)`", readme.partition("## What is in it")[2])}
    assert {path.name for path in project.iterdir()} - {"README.md"} == named - {"floorplan"}
    assert load_board(board).title in readme and load_board(board).board_part in readme
    assert "Vivado 2023.1 and later" in readme


def test_a_clock_that_needs_runs_cannot_be_left_to_another_machine(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--clock auto needs the runs that --project-only leaves to another machine"):
        run("--project-only", str(tmp_path / "project"), "--clock", "auto")
    assert list(tmp_path.iterdir()) == []


def test_collecting_what_is_no_project_or_has_not_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"project\.json"):
        run("--collect", str(tmp_path))
    project = tmp_path / "project"
    run("--project-only", str(project))
    with pytest.raises(UserError, match=f"Vivado left no accel.bit in {project}/results"):
        run("--collect", str(project), "--output", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("      0.021  ", "     -0.500  ", "timing is not met at 300 MHz: the worst slack is -0.5 ns in setup"),
        (
            "Clock Uncertainty:",
            "User Uncertainty (UU): 0.100ns\n    Clock Uncertainty:",
            "has 0.1 ns of user uncertainty, which before_routing.tcl should have taken back",
        ),
    ],
    ids=["missed", "with the margin of placement"],
)
def test_results_that_are_not_kept(tmp_path: Path, old: str, new: str, message: str) -> None:
    project = tmp_path / "project"
    run("--project-only", str(project))
    implement(project)
    report = project / "results" / "timing_summary.rpt"
    text = report.read_text()
    report.write_text(text.replace(old, new) if old in text else f"{text}\n{new} 0.067ns\n")
    with pytest.raises(UserError, match=message):
        run("--collect", str(project), "--output", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_board_files_is_named_as_given(tmp_path: Path, monkeypatch) -> None:
    """The folder is on the other machine: it is neither looked for nor made absolute here."""
    monkeypatch.chdir(tmp_path)
    run("--project-only", "project", "--board-files", "/opt/boards")
    assert "set board_files {/opt/boards}" in (tmp_path / "project" / "settings.tcl").read_text()


@pytest.mark.parametrize("text", ["fast", "0", "-1", "1000", "nan"])
def test_a_clock_that_is_none(text: str, capsys) -> None:
    with pytest.raises(SystemExit):
        run("--clock", text)
    assert f"{text!r} is neither a clock from 1 to 1000 MHz nor auto" in capsys.readouterr().err
