"""The Vivado scripts, run in a Tcl interpreter against stubs that keep and check what they build."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from moesaic.hls.vendor.vivado.workspace import CONTROL_ADDRESS, memory_map, workspace_files
from moesaic.hls.vendor.vivado.wrapper import ENGINES, MODULE, interfaces, wrapper_signals
from moesaic.sim.machines.rtl_lint import WAIVERS
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import lint
from moesaic.sim.measurements.netlist_run.cells import CELL_DIRECTORY
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.registers import REGISTERS
from tests.hls.vendor_tcl import VivadoTcl

TINY = load_configuration("tiny")
DSP_MODEL = CELL_DIRECTORY / "DSP48E2.sv"
KERNEL = Path(__file__).resolve().parents[3] / "hls" / "hardware" / "cpp" / "kernel.cpp"


CLOCK_MHZ = 287.5


def write_workspace(directory: Path, configuration: HardwareConfiguration, engine: str) -> Path:
    for name, content in workspace_files(configuration, engine, CLOCK_MHZ, 2).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def with_slices(directory: Path) -> list[Path]:
    """What lint reads beside a workspace's RTL: waivers, and the slice's model, which leaves pins unused."""
    waivers = directory / "slices.vlt"
    rules = ("UNUSEDPARAM", "UNUSEDSIGNAL")
    waivers.write_text(
        "`verilator_config\n" + "".join(f'lint_off -rule {rule} -file "*/DSP48E2.sv"\n' for rule in rules)
    )
    return [WAIVERS, waivers, DSP_MODEL]


def run(directory: Path, inferred: str = "") -> VivadoTcl:
    vivado = VivadoTcl(directory, KERNEL, inferred)
    vivado.source(directory / "vivado.tcl")
    return vivado


@pytest.mark.parametrize("load_ports", [1, 2, 3, 4])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_scripts_build_a_whole_design(tmp_path: Path, engine: str, load_ports: int) -> None:
    configuration = dataclasses.replace(TINY, load_ports=load_ports)
    vivado = run(write_workspace(tmp_path, configuration, engine))
    assert vivado.failures == []
    assert vivado.exit_code == 0, vivado.printed
    assert vivado.validated and vivado.generated
    assert vivado.problems() == []
    owner = "kernel" if engine == "hls" else "accelerator"
    for master, port in memory_map(engine, load_ports).items():
        assert vivado.memory_port(f"{owner}/{master}") == f"ps/S_AXI_{port}_FPD"
    masters = {name for name, mode in vivado.interfaces(owner).items() if mode == "master"}
    assert masters == set(memory_map(engine, load_ports))
    assert vivado.segments["space:ps/Data", "accelerator/s_axi_control/reg0"] == (CONTROL_ADDRESS, 4096)
    offsets = {name: int(values["address_offset"], 0) for name, values in vivado.registers.items()}
    assert offsets == {register.name: register.offset for register in REGISTERS}
    for register in REGISTERS:
        values = vivado.registers[register.name]
        assert values["access"] == ("read-only" if register.access == "ro" else "read-write")
        assert values["description"] == register.doc
    assert vivado.net["interrupts/intr"] == "accelerator/irq"
    assert vivado.net["ps/pl_ps_irq0"] == "interrupts/irq"
    assert vivado.net["accelerator/aclk"] == "clock_wizard/clk_out1"
    assert float(vivado.cells["clock_wizard"].settings["CONFIG.CLKOUT1_REQUESTED_OUT_FREQ"]) == CLOCK_MHZ
    assert vivado.parameters["irq:SENSITIVITY"] == {"value": "LEVEL_HIGH"}
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "accel.bit", "accel.hwh", "drc.rpt", "power.rpt", "timing_summary.rpt", "utilization.rpt",
        "utilization_hierarchical.rpt", "vivado_version.txt",
    ]  # fmt: skip


@pytest.mark.parametrize("inferred", ["", "interrupt", "sensitivity"])
def test_an_interrupt_that_the_packager_infers_itself(tmp_path: Path, inferred: str) -> None:
    vivado = run(write_workspace(tmp_path, TINY, "rtl"), inferred)
    assert (vivado.failures, vivado.exit_code) == ([], 0)
    assert vivado.parameters["irq:SENSITIVITY"] == {"value": "LEVEL_HIGH"}


def test_three_load_ports_have_a_memory_port_each() -> None:
    ports = memory_map("rtl", 3)
    assert [ports[f"m_axi_load{index}"] for index in range(3)] == ["HP0", "HP1", "HP3"]
    assert memory_map("hls", 3) == {"m_axi_load": "HP0", "m_axi_main": "HP1"}


BREAKS = {
    "an unknown command": ("block_design.tcl", "validate_bd_design", "check_bd_design"),
    "an unknown option": ("implementation.tcl", "-to_step", "-until"),
    "a pin that is not there": ("block_design.tcl", "ps/pl_ps_irq0", "ps/pl_irq"),
    "an interrupt that goes nowhere": (
        "block_design.tcl", "connect_bd_net [get_bd_pins accelerator/$interrupt] [get_bd_pins interrupts/intr]\n", "",
    ),
    "a clock that is missing": ("block_design.tcl", "lappend clocked accelerator/aclk\n", ""),
    "a reset that is missing": ("block_design.tcl", "lappend reset_low $name/aresetn\n", ""),
    "a master without memory": ("block_design.tcl", "DDR_LOW $segment", "DDR_NONE $segment"),
    "segments left open": ("block_design.tcl", "exclude_bd_addr_seg -target_address_space $space $segment", ""),
    "one master less": ("settings.tcl", "m_axi_load2 HP3 ", ""),
    "an interface without clock": ("package_ip.tcl", "ipx::associate_bus_interfaces -busif", "list"),
    "no validation": ("block_design.tcl", "validate_bd_design\n", ""),
    "no board preset": ("block_design.tcl", "set_property board_part $board_part [current_project]\n", ""),
    "an unknown strategy": ("settings.tcl", "Flow_PerfOptimized_high", "Flow_Fast"),
    "a port that cannot be inferred": (f"rtl/{MODULE}.v", "m_axi_load1_rlast", "m_axi_load1_last"),
    "no bitstream": ("implementation.tcl", " -to_step write_bitstream", ""),
    "a width that a port cannot have": ("block_design.tcl", "__DATA_WIDTH 128", "__DATA_WIDTH 96"),
    "a clock that is no number": ("settings.tcl", "set clock_mhz {287.500}", "set clock_mhz {fast}"),
    "an input clock beside the net's": ("block_design.tcl", "No_buffer", "No_buffer CONFIG.PRIM_IN_FREQ 100.000"),
    "registers elsewhere": ("settings.tcl", "control_address {0xa0000000}", "control_address {0x90000000}"),
    "registers over others": ("settings.tcl", "control_address {0xa0000000}", "control_address {0xa0010000}"),
    "an access that IP-XACT does not know": ("settings.tcl", "STATUS 0x004 read-only", "STATUS 0x004 ro"),
    "blocks synthesised alone": ("block_design.tcl", "synth_checkpoint_mode None", "synth_checkpoint_mode Singular"),
    "blocks synthesised alone, changed too late": (
        "block_design.tcl",
        "set_property synth_checkpoint_mode None $design\ngenerate_target all $design\n",
        "generate_target all $design\nset_property synth_checkpoint_mode None $design\n",
    ),
}  # fmt: skip


MESSAGES = {
    "an unknown command": 'invalid command name "check_bd_design"',
    "an unknown option": "launch_runs: unknown option -until",
    "a pin that is not there": "no pin ps/pl_irq",
    "an interrupt that goes nowhere": "interrupt accelerator/irq goes nowhere",
    "a clock that is missing": "pin accelerator/aclk is not driven",
    "a reset that is missing": "pin memory_hp0/aresetn is not driven",
    "a master without memory": "accelerator/m_axi_main does not see the DDR at HP1",
    "segments left open": "HP0_QSPI is neither assigned to nor excluded from accelerator/m_axi_load0",
    "one master less": "interface accelerator/m_axi_load2 is not connected",
    "an interface without clock": "interface s_axi_control has no clock",
    "no validation": "the design is not validated",
    "no board preset": "no board preset",
    "an unknown strategy": "is no strategy of synth_1",
    "a port that cannot be inferred": "ipx has not inferred the interface m_axi_load1",
    "no bitstream": "not launched up to the bitstream",
    "a width that a port cannot have": "takes no CONFIG.PSU__SAXIGP2__DATA_WIDTH 96",
    "a clock that is no number": "takes no CONFIG.CLKOUT1_REQUESTED_OUT_FREQ fast",
    "an input clock beside the net's": "takes CONFIG.PRIM_IN_FREQ from what is connected",
    "registers elsewhere": "accelerator/s_axi_control/reg0 at 0x90000000 is not behind M_AXI_HPM0_FPD",
    "registers over others": "at 0xa0010000 overlaps accelerator/s_axi_control/reg0",
    "an access that IP-XACT does not know": "register:STATUS takes no access ro",
    "blocks synthesised alone": "the strategy of synth_1 does not reach them",
    "blocks synthesised alone, changed too late": "the strategy of synth_1 does not reach them",
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_stubs_notice(tmp_path: Path, name: str) -> None:
    write_workspace(tmp_path, TINY, "rtl")
    file, old, new = BREAKS[name]
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    vivado = run(tmp_path)
    assert vivado.exit_code == 1
    assert MESSAGES[name] in "\n".join([*vivado.failures, *vivado.printed])
    assert not (tmp_path / "results" / "accel.bit").exists()


def test_vivado_gets_instantiated_slices(tmp_path: Path) -> None:
    """The source itself says so, whichever project reads it, and names no multiplication that a tool would have to infer."""
    write_workspace(tmp_path, TINY, "rtl")
    source = tmp_path / "rtl" / "moesaic_dsp48_mac.sv"
    assert source.read_text().startswith("`define MOESAIC_DSP48E2\n")
    assert (tmp_path / "package_ip.tcl").read_text().count("rtl *.sv") == 1
    assert lint("moesaic_dsp48_mac", [*with_slices(tmp_path), source], {}) == ""


@pytest.mark.parametrize("configuration", ["tiny", "zcu104"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_wrapper_is_verilog_around_the_whole_accelerator(tmp_path: Path, engine: str, configuration: str) -> None:
    write_workspace(tmp_path, load_configuration(configuration), engine)
    sources = [
        *with_slices(tmp_path),
        *source_closure(ENGINES[engine], [tmp_path / "rtl"]),
        tmp_path / "rtl" / f"{MODULE}.v",
    ]
    assert lint(MODULE, sources, {}) == ""
    signals = wrapper_signals(engine, 3)
    assert {"aclk", "aresetn", "irq"} <= set(signals)
    assert interfaces(engine, 3)[0] == "s_axi_control"
