"""What stands between this project and NNgen: an interpreter that has it, and files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from moesaic.command_line import main
from moesaic.errors import UserError
from moesaic.sim.measurements.peers.layers import operands, product
from moesaic.sim.measurements.peers.nngen_simulation import generate, multipliers

LAYER = product(4, 16, 64)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (Path("/nowhere/python"), "does not run.*make bench-peers"),
        (Path(sys.executable), "no NNgen; use: make bench-peers"),
    ],
)
def test_an_environment_without_nngen_is_named_with_its_remedy(python, message):
    with pytest.raises(UserError, match=message):
        generate(python, LAYER, operands(LAYER), 4, 4)


@pytest.mark.parametrize("words", ["8", "8x", "0x4", "8x8x8", "axb"])
def test_a_parallelism_that_is_no_pair_of_numbers_is_refused(words, capsys):
    assert main(["bench-peers", "--python", sys.executable, "--parallelism", words]) == 2
    assert "two numbers above 0" in capsys.readouterr().err


def test_multipliers_are_counted_in_the_verilog():
    verilog = "module nngen_layer\n(\n);\n  madd_0 mul_1 ();\nendmodule\nmodule madd_0\n(\nmodule madd_core_0\n(\nmodule madd_12\n("
    assert multipliers(verilog) == 2
