"""A small network on the tiny accelerator as Yosys reads it, in four states: the bytes of the reference, and nothing unknown."""

from __future__ import annotations

import shutil

import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.sim.measurements.netlist_run.network_run import compare
from moesaic.sim.measurements.netlist_run.probes import handshakes, probed
from moesaic.spec.configuration import load_configuration
from tests.hls.networks import NO_PREFIX, network, picture

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


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is missing: apt-get install iverilog")
def test_a_network_gives_the_bytes_of_the_reference_and_nothing_is_unknown():
    build = generate(network(NO_PREFIX, 0), load_configuration("tiny"))
    result = compare(build, "depth", picture(NO_PREFIX, 0))
    assert result.problems == []
    assert result.different == 0 < result.frame_bytes
    assert result.cycles > 1000


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
