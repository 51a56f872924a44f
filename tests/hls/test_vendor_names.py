"""Every name that the stubs of AMD's tools know stands in a published script or manual: none is from memory alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomllib

from tests.hls import vendor_tcl
from tests.hls.vendor_tcl import VitisTcl, VivadoTcl

SOURCES = tomllib.loads((Path(__file__).parent / "vendor_names.toml").read_text())["source"]
LINES = [line for source in SOURCES for line in source["says"]]
WORDS = {word for line in LINES for word in re.findall(r"[\w.:]+", line)}


def stands(*names: str) -> bool:
    """Whether one line has all of these names, each as a word."""
    patterns = [re.compile(rf"(?<![\w:-]){re.escape(name)}(?![\w-])") for name in names]
    return any(all(pattern.search(line) for pattern in patterns) for line in LINES)


def test_every_source_says_something() -> None:
    assert all(source["place"] and source["says"] for source in SOURCES)
    assert len({source["place"] for source in SOURCES}) == len(SOURCES)


@pytest.mark.parametrize("tool", [VivadoTcl(Path("/nowhere")), VitisTcl()], ids=["Vivado", "Vitis HLS"])
def test_commands_and_options_have_a_source(tool: vendor_tcl.VendorTcl) -> None:
    pairs = {
        (name, *option) for name, options in tool.commands.items() for option in [(), *((text,) for text in options)]
    }
    assert sorted(pair for pair in pairs - {("exit",)} if not stands(*pair)) == []


def test_blocks_and_their_settings_have_a_source() -> None:
    missing = [kind for kind in vendor_tcl._BLOCKS if not stands(f"xilinx.com:ip:{kind}")]
    for kind, settings in vendor_tcl._SETTINGS.items():
        for pattern in settings:
            if not any(re.fullmatch(rf"CONFIG\.({pattern})", word) for word in WORDS):
                missing.append(f"{kind}: {pattern}")
    assert missing == []


def test_pins_and_interfaces_have_a_source() -> None:
    """Of each block as our scripts set it; what differs in a digit only is one name."""
    settings = {
        "zynq_ultra_ps_e": {"CONFIG.PSU__FPGA_PL0_ENABLE": "1", "CONFIG.PSU__USE__IRQ0": "1", "CONFIG.PSU__USE__M_AXI_GP0": "1"}
        | {f"CONFIG.PSU__USE__S_AXI_GP{gp}": "1" for gp in (2, 3, 5)},
        "clk_wiz": {"CONFIG.USE_LOCKED": "true", "CONFIG.USE_RESET": "true", "CONFIG.RESET_PORT": "resetn"},
        "axi_interconnect": {"CONFIG.NUM_MI": "2"},
        "axi_intc": {"CONFIG.C_IRQ_CONNECTION": "1"},
    }  # fmt: skip
    missing = []
    for kind, block in vendor_tcl._BLOCKS.items():
        pins, interfaces = block(vendor_tcl.Cell(f"xilinx.com:ip:{kind}", settings=settings.get(kind, {})))
        names = {*pins, *interfaces} - {"s_axi"}  # the interface that all slaves of AXI4-Lite have
        missing += [
            f"{kind}/{name}" for name in sorted(names) if not any(stands(word) for word in (name, name.upper()))
        ]
    assert missing == []


def test_hooks_and_strategies_have_a_source() -> None:
    strategies = {name for names in vendor_tcl._STRATEGIES.values() for name in names}
    assert sorted(name for name in vendor_tcl.HOOKS | strategies if not stands(name)) == []


def test_a_name_from_memory_is_noticed() -> None:
    assert stands("CONFIG.RESET_PORT") and not stands("CONFIG.RESET_PORT_NAME")
    assert stands("launch_runs", "-to_step") and not stands("launch_runs", "-until")
