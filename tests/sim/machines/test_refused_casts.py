"""The casts that a synthesis tool has misread are found in every form, what all tools read is not, and the sources hold none."""

import pytest

from moesaic.sim.machines.refused_casts import refused_casts
from moesaic.sim.machines.rtl_directories import RTL_DIRECTORIES

MOVED_OPERATOR = ["~", "-", "+", "!", "&", "|", "^", "~&", "~|", "~^", "^~"]
LOST_BITS = [
    "Width'($signed(a_i))",
    "16'($signed(a_i))",
    "16'($signed({1'b0, a_i}))",
    "16'(signed'(a_i))",
    "16'(($signed(a_i)))",
    "(Width + 4)'($signed(a_i))",
    "q_o + 16'($signed(a_i)) * 16'd3",
]
ACCEPTED = [
    "~(Width'(a_i))",
    "~signed'(a_i)",
    "-unsigned'(a_i)",
    "-(16'(a_i))",
    "q_o - Width'(a_i)",
    "q_o & Width'(~a_i)",
    "q_o && !(Width'(a_i) == '0)",
    "{{8{a_i[7]}}, a_i}",
    "$signed(a_i) >>> 2",
    "16'($signed(a_i) >>> 2)",
    "16'($unsigned(a_i))",
    "16'(unsigned'(a_i))",
    "16'(a_i) // ~Width'(a_i), 16'($signed(a_i))",
]


def found(tmp_path, expression):
    path = tmp_path / "unit.sv"
    path.write_text(
        "module unit #(parameter int Width = 16) (input logic [7:0] a_i, output logic [15:0] q_o);\n"
        f"  assign q_o =\n    {expression};\nendmodule\n".replace(" //", "; //")
    )
    return refused_casts(path)


@pytest.mark.parametrize("operator", MOVED_OPERATOR)
@pytest.mark.parametrize("cast", ["Width'(a_i)", "16'(a_i)"])
def test_an_operator_before_a_cast_is_refused(tmp_path, operator, cast):
    assert found(tmp_path, f"q_o | ({operator}{cast})") == [
        f"unit.sv:3: {operator}{cast}: Yosys 0.70 takes the operator for part of the size; put the cast into parentheses"
    ]


@pytest.mark.parametrize("expression", LOST_BITS)
def test_a_size_cast_of_what_was_only_made_signed_is_refused(tmp_path, expression):
    (line,) = found(tmp_path, expression)
    assert line.startswith("unit.sv:3: ") and line.endswith(
        "Vivado has lost bits of such a cast; write the sign extension out"
    )


@pytest.mark.parametrize("expression", ACCEPTED)
def test_what_all_tools_read_is_accepted(tmp_path, expression):
    assert found(tmp_path, expression) == []


def test_every_place_is_told(tmp_path):
    assert len(found(tmp_path, "~Width'(a_i) ^ -16'($signed(a_i)) ^ 16'(signed'(a_i))")) == 4


def test_the_sources_hold_none():
    paths = [path for directory in RTL_DIRECTORIES for path in directory.glob("*.sv")]
    assert len(paths) > 50
    assert [line for path in paths for line in refused_casts(path)] == []
