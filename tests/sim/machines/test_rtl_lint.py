"""All RTL is clean for Verilator and slang, and readable by Yosys, in every configuration."""

import re
from pathlib import Path

import pytest

from moesaic.errors import UserError
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.sim.machines.rtl_directories import RTL_DIRECTORIES
from moesaic.sim.machines.rtl_lint import CONFIGURED_TOPS, SYNTHESISED_TOP, check, modules, slang, yosys
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import build
from moesaic.spec.configuration import load_configuration

ROOT = Path(__file__).resolve().parents[3]
CONFIGURATIONS = sorted(path.stem for path in (ROOT / "configs").glob("*.toml"))
TWO_DRIVERS = """module unit(input logic clk_i, input logic a_i, output logic q_o);
  always_ff @(posedge clk_i) q_o <= a_i;
  always_ff @(posedge clk_i) q_o <= !a_i;
endmodule
"""
REFUSED_PARAMETERS = [
    ("moesaic_accelerator", {"TileColumns": 12}, "TileColumns is 12, it must be a power of two, at least 8"),
    ("moesaic_accelerator", {"TileDepth": 2}, "TileDepth is 2, it must be 4 or 8"),
    ("moesaic_accelerator", {"TileRows": 5}, "ActPorts is 2, it must be 1 or 2 and divide TileRows, 5"),
    ("moesaic_accelerator", {"LoadPorts": 5}, "LoadPorts is 5, it must be 1 to 4"),
    ("moesaic_act_memory", {"ActBytes": 32832}, "ActBytes - ActUltraBytes is 64, it must be a multiple of 64"),
    (
        "moesaic_act_memory",
        {"ActUltraBytes": 32784, "ActBytes": 131088},
        "ActUltraBytes is 32784, it must be a multiple of two words, 32",
    ),
    ("moesaic_act_memory", {"SharedBytes": 32784}, "SharedBytes is 32784, it must be a multiple of 64"),
    ("moesaic_act_memory", {"WideWords": 3}, "WideWords is 3, it must divide ActBanks, 4"),
    ("moesaic_burst_splitter", {"MaxBeats": 512}, "MaxBeats is 512, it must be a power of two from 2 to 256"),
    ("moesaic_expert_queue", {"Experts": 12}, "Experts is 12, it must be a power of two, at least 2"),
    ("moesaic_expert_queue", {"QueueTokens": 100}, "QueueTokens is 100, it must be a power of two, at least 2"),
    ("moesaic_fifo", {"Depth": 3}, "Depth is 3, it must be a power of two, at least 2"),
    ("moesaic_layer_norm", {"NormLanes": 3}, "NormLanes is 3, it must divide TileColumns, 8"),
    ("moesaic_matmul", {"TileDepth": 2}, "TileDepth is 2, it must be 4 or 8"),
    ("moesaic_matmul", {"TileRows": 5}, "ActPorts is 2, it must be 1 or 2 and divide TileRows, 5"),
    ("moesaic_gelu_table", {"Lanes": 6}, "Lanes is 6, it must be a multiple of 8"),
    ("moesaic_matmul_drain", {"TileColumns": 4}, "TileColumns is 4, a block's word must hold a multiple of 4"),
    ("moesaic_queue_memory", {"Depth": 12}, "Depth is 12, it must be a power of two, at least 2"),
    ("moesaic_packed_dot", {"TileDepth": 16}, "TileDepth is 16, the low field holds the sum of at most 8 products"),
    ("moesaic_reciprocal", {"Width": 40}, "Width is 40, it must be 16 to 32"),
    (
        "moesaic_row_statistics",
        {"ActPorts": 3},
        "ActPorts is 3, it must be a power of two that divides RowEntries, 128",
    ),
    ("moesaic_shift_coarse", {"Width": 84}, "Width is 84, it must be below 80"),
    (
        "moesaic_weight_memory",
        {"WeightBytes": 65552},
        "WeightBytes is 65552, it must hold whole words of 32 bytes, at least two",
    ),
    ("moesaic_weight_memory", {"SharedBytes": 65552}, "SharedBytes is 65552, it must hold whole words of 32 bytes"),
    ("moesaic_word_buffer", {"Depth": 3}, "Depth is 3, it must be a power of two, at least 2"),
]
"""Module, parameters and message: one for each elaboration check of the RTL."""
each_elaboration_check = pytest.mark.parametrize(
    ("module", "parameters", "message"),
    REFUSED_PARAMETERS,
    ids=lambda value: value if isinstance(value, str) and " " not in value else None,
)


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
    sources = source_closure(SYNTHESISED_TOP, RTL_DIRECTORIES)
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


@each_elaboration_check
def test_elaboration_refuses_parameters_and_prints_them(module, parameters, message, capfd):
    assert slang(module, source_closure(module, RTL_DIRECTORIES), parameters)
    assert message in capfd.readouterr().err


@each_elaboration_check
def test_refused_parameters_stop_a_simulation_build(module, parameters, message, tmp_path):
    with pytest.raises(UserError, match=re.escape(message)):
        build(module, source_closure(module, RTL_DIRECTORIES), tmp_path, parameters=parameters)
    assert list(tmp_path.iterdir()) == []


def test_every_elaboration_check_is_listed():
    checks = [
        (path.stem, check)
        for path in RTL_DIRECTORY.glob("*.sv")
        for check in re.findall(r": gen_check.*\n +\$fatal\(1, \"\w+: ([^%]*)%0d", path.read_text())
    ]
    generate_blocks = sum(path.read_text().count(": gen_check") for path in RTL_DIRECTORY.glob("*.sv"))
    assert len(checks) == generate_blocks
    unlisted = [
        (module, check)
        for module, check in checks
        if not any(module == listed and check in message for listed, _, message in REFUSED_PARAMETERS)
    ]
    assert not unlisted


def test_every_file_is_named_after_its_module():
    for directory in RTL_DIRECTORIES:
        for path in directory.glob("*.sv"):
            kind = "package" if path.stem.endswith("_pkg") else "module"
            assert f"\n{kind} {path.stem}" in "\n" + path.read_text(), path
