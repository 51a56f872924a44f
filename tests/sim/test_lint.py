"""All RTL is clean for Verilator and slang, and readable by Yosys, in every configuration."""

from pathlib import Path

import pytest

from hls.sources import rtl_parameters
from sim.lint import CONFIGURED_TOPS, DIRECTORIES, SYNTHESISED_TOP, check, modules, slang, yosys
from sim.rtl_sources import source_closure
from spec.configuration import load_configuration

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = sorted(path.stem for path in (ROOT / "configs").glob("*.toml"))
TWO_DRIVERS = """module unit(input logic clk_i, input logic a_i, output logic q_o);
  always_ff @(posedge clk_i) q_o <= a_i;
  always_ff @(posedge clk_i) q_o <= !a_i;
endmodule
"""


@pytest.mark.parametrize("module", modules())
def test_module_is_clean_on_its_own(module, capfd):
    findings = check(module)
    assert not findings, findings + capfd.readouterr().err


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("top", CONFIGURED_TOPS)
def test_whole_design_is_clean_in_every_configuration(top, configuration, capfd):
    findings = check(top, rtl_parameters(load_configuration(configuration)))
    assert not findings, findings + capfd.readouterr().err


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_open_synthesis_reads_the_design(configuration):
    sources = source_closure(SYNTHESISED_TOP, DIRECTORIES)
    assert yosys(SYNTHESISED_TOP, sources, rtl_parameters(load_configuration(configuration))) == ""


def test_faults_are_found(tmp_path, capfd):
    path = tmp_path / "unit.sv"
    path.write_text(TWO_DRIVERS)
    assert "1 errors" in slang("unit", [path], {})
    assert "q_o" in capfd.readouterr().err
    path.write_text(
        "module unit(input logic a_i, output logic q_o); always_comb begin q_o = a_i; return; end endmodule\n"
    )
    assert "exit status 1" in yosys("unit", [path], {})


def test_every_file_is_named_after_its_module():
    for directory in DIRECTORIES:
        for path in directory.glob("*.sv"):
            kind = "package" if path.stem.endswith("_pkg") else "module"
            assert f"\n{kind} {path.stem}" in "\n" + path.read_text(), path
