"""The source closure: what is named is found, in an order that compiles, and nothing else."""

import pytest

from moesaic.errors import UserError
from moesaic.sim.machines.source_closure import source_closure


def write(directory, **files):
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / f"{name}.sv").write_text(text)
    return directory


def stems(paths):
    return [path.stem for path in paths]


def test_closure_follows_instances_and_packages_and_puts_them_first(tmp_path):
    directory = write(
        tmp_path / "rtl",
        top="module top; middle i_middle(); endmodule",
        middle="module middle; localparam int N = numbers_pkg::N; leaf #(.N(N)) i_leaf(); endmodule",
        leaf="module leaf #(parameter int N = numbers_pkg::N); endmodule",
        numbers_pkg="package numbers_pkg; localparam int N = 1; endpackage",
        stranger="module stranger; endmodule",
    )
    assert stems(source_closure("top", [directory])) == ["numbers_pkg", "leaf", "middle", "top"]


def test_comments_and_strings_name_nothing(tmp_path):
    directory = write(
        tmp_path / "rtl",
        top='module top; // other\n /* other */ initial $display("other"); endmodule',
        other="module other; endmodule",
    )
    assert stems(source_closure("top", [directory])) == ["top"]


def test_earlier_directory_wins(tmp_path):
    first = write(tmp_path / "first", leaf="module leaf; endmodule")
    second = write(tmp_path / "second", leaf="module leaf; endmodule", top="module top; leaf i_leaf(); endmodule")
    assert source_closure("top", [first, second]) == [first / "leaf.sv", second / "top.sv"]


def test_missing_module_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no SystemVerilog module 'nowhere': nowhere.sv is in none of"):
        source_closure("nowhere", [tmp_path])
