"""Small networks on the tiny accelerator as Yosys reads it and as it maps it: the bytes of the reference, and nothing unknown."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from moesaic.errors import InternalError
from moesaic.hls.compiler.generate import generate
from moesaic.sim.measurements.netlist_run.cells import cell_counts, cell_models
from moesaic.sim.measurements.netlist_run.network_run import accelerator, compare
from moesaic.sim.measurements.netlist_run.probes import handshakes, probed
from moesaic.spec.configuration import load_configuration
from tests.hls.networks import FOUR_BITS, NO_PREFIX, network, picture

MODULE = """module unit(clk_i, a_i, o);
  input clk_i;
  wire clk_i;
  input a_i;
  wire a_i;
  wire valid_q;
  reg [2:0] \\u_fifo.full_valid_o ;
  wire valid_count;
  wire local_start_q;
  wire drain_ready;
  wire busy;
  output o;
  wire o;
endmodule
"""


FEW_BITS = replace(NO_PREFIX, four_bit_experts={0: (1, 3)})
"""One block, whose tasks together need every instruction and every unit: experts of 8 and of 4 bits, and pathways through some of them."""

needs_icarus = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="iverilog is missing: apt-get install iverilog"
)


@pytest.fixture(scope="module")
def tiny():
    return load_configuration("tiny")


def assert_equal(result):
    assert result.problems == []
    assert result.different == 0 < result.frame_bytes
    assert result.cycles > 1000


@pytest.mark.slow
@needs_icarus
def test_what_yosys_reads_gives_the_bytes_of_the_reference_and_nothing_is_unknown(tiny):
    build = generate(network(NO_PREFIX, 0), tiny)
    assert_equal(compare(build, "depth", picture(NO_PREFIX, 0), accelerator(tiny, mapped=False)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1], ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("task", ["normals", "segmentation", "depth"])
@pytest.mark.parametrize("architecture", [FEW_BITS, FOUR_BITS], ids=["one block", "four bits"])
def test_what_yosys_maps_gives_the_bytes_of_the_reference_from_random_contents(tiny, architecture, task, seed):
    build = generate(network(architecture, 0), tiny)
    netlist = accelerator(tiny, mapped=True)
    assert_equal(compare(build, task, picture(architecture, seed), netlist, states=2, seed=seed))


@pytest.mark.slow
@needs_icarus
@pytest.mark.parametrize("seed", [0, 1], ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("task", ["normals", "segmentation", "depth"])
def test_what_yosys_maps_gives_the_bytes_of_the_reference_and_nothing_is_unknown(tiny, task, seed):
    build = generate(network(FEW_BITS, 0), tiny)
    netlist = accelerator(tiny, mapped=True)
    assert_equal(compare(build, task, picture(FEW_BITS, seed), netlist, mapped=True, seed=seed))


@pytest.mark.slow
@needs_icarus
def test_a_wrong_lookup_table_makes_wrong_bytes(tiny):
    build = generate(network(FEW_BITS, 0), tiny)
    wrong = with_one_table_inverted(accelerator(tiny, mapped=True), "moesaic_requantise")
    result = compare(build, "depth", picture(FEW_BITS, 0), wrong, mapped=True)
    assert result.different > 0
    assert not any("unknown" in problem.lower() for problem in result.problems)


@pytest.mark.slow
def test_all_flip_flops_and_memories_of_the_netlist_start_unknown(tiny):
    netlist = accelerator(tiny, mapped=True)
    starts = re.findall(r"^  FD\w+ #\(\n    \.INIT\((.*?)\)", netlist, re.MULTILINE)
    assert set(starts) == {"1'hx"}
    assert len(starts) == len(re.findall(r"^  FD\w+ ", netlist, re.MULTILINE))
    cell_models(netlist)  # raises if a memory has contents


def with_one_table_inverted(netlist: str, module: str) -> str:
    """The netlist with the first lookup table of six inputs in a module inverted."""
    start = netlist.index(f"module {module}")
    table = re.compile(r"(?<=\.INIT\(64'h)[0-9a-f]{16}").search(netlist, start)
    assert table
    return netlist[: table.start()] + f"{int(table[0], 16) ^ (1 << 64) - 1:016x}" + netlist[table.end() :]


def test_handshakes_are_found_by_name_and_reported_once_each():
    assert [name.strip() for name in handshakes(MODULE)] == ["valid_q", "\\u_fifo.full_valid_o", "busy"]
    text = probed(MODULE, "bench")
    assert text.count("UNKNOWN %m") == 3 and text.count("bench.judged") == 1
    assert text.startswith(MODULE.removesuffix("endmodule\n"))


def test_modules_without_a_clock_or_handshakes_stay_as_they_are():
    for text in (
        MODULE.replace("input clk_i", "input clock_i"),
        MODULE.replace("valid", "value").replace("busy", "bus"),
    ):
        assert probed(text, "bench") == text


NETLIST = """module \\leaf$1 (a, o);
  LUT2 #(
    .INIT(4'h8)
  ) _1_ (
    .I0(a)
  );
  INV _2_ (
    .I(a)
  );
endmodule

module top(a, o);
  \\leaf$1  u_one (
    .a(a)
  );
  \\leaf$1  u_other (
    .a(a)
  );
  SRL16E #(
    .INIT(4'h0),
    .IS_CLK_INVERTED(1'h0)
  ) \\u.name  (
    .D(a)
  );
endmodule
"""


def test_cells_are_counted_as_often_as_their_modules_are_instantiated():
    assert cell_counts(NETLIST) == {"LUT2": 2, "INV": 2, "SRL16E": 1}


def test_a_memory_with_contents_is_refused():
    assert "module SRL16E" in cell_models(NETLIST)
    with pytest.raises(InternalError, match="SRL16E with initial contents"):
        cell_models(NETLIST.replace("4'h0", "4'h2"))


@needs_icarus
@pytest.mark.parametrize(("state", "read"), [("1'b0", "x"), ("1'b1", "1"), ("1'bx", "x")])
def test_distributed_memory_starts_unknown_and_does_not_ignore_unknown_enables(state, read, tmp_path):
    bench = f"""module bench;
      reg clk = 0; wire q;
      RAM64M8 ram (.WCLK(clk), .WE({state}), .ADDRA(6'd5), .ADDRH(6'd5), .DIA(1'b1), .DOA(q));
      initial begin #1 clk = 1; #1 $display("q=%b", q); end
    endmodule"""
    (tmp_path / "bench.sv").write_text(bench + "\n" + cell_models("  RAM64M8 #(\n"))
    subprocess.run(["iverilog", "-g2012", "-o", "bench", "bench.sv"], cwd=tmp_path, check=True)
    output = subprocess.run(["vvp", "bench"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert f"q={read}" in output
