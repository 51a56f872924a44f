"""The Vivado scripts, run in a Tcl interpreter against stubs that keep and check what they build."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.hls.vendor.vivado.workspace import memory_map, workspace_files
from moesaic.hls.vendor.vivado.wrapper import ENGINES, MODULE, interfaces, wrapper_signals
from moesaic.sim.machines.rtl_lint import WAIVERS
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.machines.verilator import lint
from moesaic.sim.measurements.netlist_run.cells import CELL_DIRECTORY
from moesaic.spec.board import board_of, known_boards, load_board
from moesaic.spec.configuration import HardwareConfiguration, load_configuration
from moesaic.spec.registers import REGISTERS
from tests.hls.vendor_tcl import ARRAY, BOARD_PARTS, CLOCK_REGIONS, VivadoTcl

TINY = load_configuration("tiny")
DSP_MODEL = CELL_DIRECTORY / "DSP48E2.sv"
ZCU104 = load_board("zcu104")
KERNEL = Path(__file__).resolve().parents[3] / "hls" / "hardware" / "cpp" / "kernel.cpp"


CLOCK_MHZ = 287.5


def write_workspace(directory: Path, configuration: HardwareConfiguration, engine: str, **options) -> Path:
    board = board_of(configuration)
    for name, content in workspace_files(configuration, board, engine, CLOCK_MHZ, 2, **options).items():
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


def run(directory: Path, inferred: str = "", **options) -> VivadoTcl:
    vivado = VivadoTcl(directory, KERNEL, inferred, **options)
    vivado.source(directory / "vivado.tcl")
    return vivado


@pytest.mark.parametrize("board", known_boards())
@pytest.mark.parametrize("load_ports", [1, 2, 3, 4])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_scripts_build_a_whole_design(tmp_path: Path, engine: str, load_ports: int, board: str) -> None:
    configuration = dataclasses.replace(TINY, load_ports=load_ports, part=load_board(board).device_name)
    vivado = run(write_workspace(tmp_path, configuration, engine))
    assert vivado.failures == []
    assert vivado.exit_code == 0, vivado.printed
    assert vivado.validated and vivado.generated
    assert vivado.problems() == []
    owner = "kernel" if engine == "hls" else "accelerator"
    for master, port in memory_map(ZCU104, engine, load_ports).items():
        assert vivado.memory_port(f"{owner}/{master}") == f"ps/S_AXI_{port}_FPD"
    masters = {name for name, mode in vivado.interfaces(owner).items() if mode == "master"}
    assert masters == set(memory_map(ZCU104, engine, load_ports))
    assert vivado.segments["space:ps/Data", "accelerator/s_axi_control/reg0"] == (ZCU104.ports.control_address, 4096)
    offsets = {name: int(values["address_offset"], 0) for name, values in vivado.registers.items()}
    assert offsets == {register.name: register.offset for register in REGISTERS}
    for register in REGISTERS:
        values = vivado.registers[register.name]
        assert values["access"] == ("read-only" if register.access == "ro" else "read-write")
        assert values["description"] == register.doc
    assert vivado.net["interrupts/intr"] == "accelerator/irq"
    assert vivado.net["ps/pl_ps_irq0"] == "interrupts/irq"
    inputs = {name.removeprefix("CONFIG.C_"): value for name, value in vivado.cells["interrupts"].settings.items()}
    assert inputs["KIND_OF_INTR.VALUE_SRC"] == inputs["ASYNC_INTR.VALUE_SRC"] == "USER", "irq is a level"
    assert int(inputs["KIND_OF_INTR"], 0) & 1 and int(inputs["ASYNC_INTR"], 0) & 1, "edges, of another clock"
    assert vivado.net["accelerator/aclk"] == "clock_wizard/clk_out1"
    assert vivado.clock_of("accelerator/s_axi_control") == "clock_wizard/clk_out1"
    slow = ("control/ACLK", "control/S00_ACLK", "ps/maxihpm0_fpd_aclk", "interrupts/s_axi_aclk")
    assert {vivado.net[pin] for pin in slow} == {"ps/pl_clk0"}
    assert vivado.project["board_part"] == vivado.cells["ps"].settings["preset"] == load_board(board).board_part
    ranges = {(part.segment, part.base, part.bytes) for part in load_board(board).ddr.ranges}
    for master, port in memory_map(ZCU104, engine, load_ports).items():
        seen = {
            (segment.partition(f"/{port}_")[2], *place)
            for (space, segment), place in vivado.segments.items()
            if space == f"space:{owner}/{master}"
        }
        assert seen == ranges
    assert (vivado.placed_with, vivado.uncertainty) == (0.1, 0.0)
    assert vivado.false_paths == ["system_i/accelerator/irq"]
    assert vivado.pblock == []
    assert float((tmp_path / "results" / "clock_hz.txt").read_text()) == pytest.approx(1e6 * CLOCK_MHZ, rel=1e-3)
    assert float(vivado.cells["clock_wizard"].settings["CONFIG.CLKOUT1_REQUESTED_OUT_FREQ"]) == CLOCK_MHZ
    assert vivado.parameters["irq:SENSITIVITY"] == {"value": "LEVEL_HIGH"}
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "accel.bit", "accel.hwh", "clock_hz.txt", "control_sets.rpt", "drc.rpt", "failfast.rpt", "high_fanout_nets.rpt",
        "power.rpt", "qor_assessment.rpt", "timing_summary.rpt", "utilization.rpt", "utilization_hierarchical.rpt",
        "vivado_version.txt",
    ]  # fmt: skip


@pytest.mark.parametrize("inferred", ["", "interrupt", "sensitivity"])
def test_an_interrupt_that_the_packager_infers_itself(tmp_path: Path, inferred: str) -> None:
    vivado = run(write_workspace(tmp_path, TINY, "rtl"), inferred)
    assert (vivado.failures, vivado.exit_code) == ([], 0)
    assert vivado.parameters["irq:SENSITIVITY"] == {"value": "LEVEL_HIGH"}


@pytest.mark.parametrize("command", ["xilinx::designutils::report_failfast", "report_qor_assessment"])
def test_a_report_that_this_vivado_does_not_have(tmp_path: Path, command: str) -> None:
    """It says so in its file; the bitstream, hours of work, is there all the same."""
    write_workspace(tmp_path, TINY, "rtl")
    vivado = VivadoTcl(tmp_path)
    vivado.interpreter.eval(f"rename {command} {{}}")
    vivado.source(tmp_path / "vivado.tcl")
    assert (vivado.failures, vivado.exit_code) == ([], 0)
    assert (tmp_path / "results" / "accel.bit").exists()
    name = command.rpartition("report_")[2]
    assert f'invalid command name "{command}"' in (tmp_path / "results" / f"{name}.rpt").read_text()


def test_board_files_of_ones_own(tmp_path: Path) -> None:
    """Without the board's files nothing starts, and the message says which others there are; board_files is where they may be."""
    folder = tmp_path / "boards"
    write_workspace(tmp_path, TINY, "rtl")
    others = ("xilinx.com:zcu104:part0:1.0", "xilinx.com:zcu106:part0:2.6")
    vivado = run(tmp_path, board_parts=others)
    assert vivado.exit_code == 1
    (line,) = [line for line in vivado.printed if line.startswith("ERROR:")]
    assert "no board files for xilinx.com:zcu104:part0:1.1 but for xilinx.com:zcu104:part0:1.0; install them" in line
    assert vivado.named("create_project") == []
    write_workspace(tmp_path, TINY, "rtl", board_files=str(folder))
    assert f"board_files {folder} is no folder" in "\n".join(run(tmp_path, board_parts=others).printed)
    folder.mkdir()
    (folder / "mine.board_part").write_text("xilinx.com:zcu104:part0:1.1\n")
    vivado = run(tmp_path, board_parts=others)
    assert (vivado.failures, vivado.exit_code) == ([], 0)


def test_a_preset_with_less_memory_than_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kv260 = load_board("kv260")
    monkeypatch.setitem(BOARD_PARTS, kv260.board_part, 2)
    vivado = run(write_workspace(tmp_path, dataclasses.replace(TINY, part="XCK26"), "rtl"))
    assert f"HP0 has no segment DDR_HIGH: the preset {kv260.board_part} has less memory" in "\n".join(vivado.printed)


@pytest.mark.parametrize(
    ("slices", "rows"), [(1280, {5, 4, 3, 2, 1}), (200, {5}), (700, {5, 4, 3}), (1700, {5, 4, 3, 2, 1, 0})]
)
def test_a_floorplan(tmp_path: Path, slices: int, rows: set[int]) -> None:
    write_workspace(tmp_path, TINY, "rtl", floorplan=True)
    vivado = VivadoTcl(tmp_path)
    vivado.array_dsp = slices
    vivado.source(tmp_path / "vivado.tcl")
    assert (vivado.failures, vivado.exit_code) == ([], 0), vivado.printed
    regions = {added.partition(":")[0].removeprefix("CLOCKREGION_") for added in vivado.pblock}
    assert all(added == f"{part}:{part}" for added in vivado.pblock for part in [added.partition(":")[0]])
    assert regions == {region for region, count in CLOCK_REGIONS.items() if count and int(region[-1]) in rows}
    assert slices <= sum(CLOCK_REGIONS[region] for region in regions)
    assert vivado.placed_in_pblock == ARRAY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"array_dsp": 0}, "the array has no DSP48E2"),
        ({"array_dsp": 1800}, "the array has 1800 DSP48E2, the device has 1728"),
    ],
    ids=["no slices", "too many"],
)
def test_a_floorplan_that_cannot_be(tmp_path: Path, change: dict, message: str) -> None:
    write_workspace(tmp_path, TINY, "rtl", floorplan=True)
    vivado = VivadoTcl(tmp_path)
    vars(vivado).update(change)
    vivado.source(tmp_path / "vivado.tcl")
    assert vivado.exit_code == 1 and message in "\n".join(vivado.printed)


def test_three_load_ports_have_a_memory_port_each() -> None:
    ports = memory_map(ZCU104, "rtl", 3)
    assert [ports[f"m_axi_load{index}"] for index in range(3)] == ["HP0", "HP1", "HP3"]
    assert memory_map(ZCU104, "hls", 3) == {"m_axi_load": "HP0", "m_axi_main": "HP1"}


BREAKS = {
    "an unknown command": ("block_design.tcl", "validate_bd_design", "check_bd_design"),
    "an unknown option": ("implementation.tcl", "-to_step", "-until"),
    "a pin that is not there": ("block_design.tcl", "clock_wizard/locked", "clock_wizard/lock"),
    "an interrupt that goes nowhere": (
        "block_design.tcl", "connect_bd_net [get_bd_pins accelerator/$interrupt] [get_bd_pins interrupts/intr]\n", "",
    ),
    "a clock that is missing": ("block_design.tcl", "lappend clocked accelerator/aclk\n", ""),
    "a reset that is missing": ("block_design.tcl", "lappend reset_low $name/aresetn\n", ""),
    "a master without memory": ("settings.tcl", "ddr_ranges {DDR_LOW", "ddr_ranges {DDR_NONE"),
    "segments left open": ("block_design.tcl", "exclude_bd_addr_seg -target_address_space $space $segment", ""),
    "one master less": ("settings.tcl", "m_axi_load2 HP3 ", ""),
    "an interface without clock": ("package_ip.tcl", "ipx::associate_bus_interfaces -busif", "list"),
    "no validation": ("block_design.tcl", "validate_bd_design\n", ""),
    "a reset port by another name": ("block_design.tcl", "CONFIG.RESET_PORT ", "CONFIG.RESET_PORT_NAME "),
    "registers on the accelerator's clock": ("block_design.tcl", "lappend slow_clocked control/ACLK", "lappend clocked control/ACLK"),
    "a margin that stays": ("before_routing.tcl", "-setup 0 ", "-setup 0.1 "),
    "a margin for a clock that was renamed": ("before_placement.tcl", "clock_wizard/clk_out1]]", "clock_wizard/clk_out]]"),
    "a margin that is not taken back": ("before_routing.tcl", "clock_wizard/clk_out1]]", "wizard/clk_out1]]"),
    "an exception for a pin that was renamed": ("constraints.tcl", "accelerator/irq]\nif", "accelerator/interrupt]\nif"),
    "constraints for synthesis": ("block_design.tcl", "false [get_files constraints.tcl]", "true [get_files constraints.tcl]"),
    "an unknown parameter": ("board_files.tcl", "if {$board_files ne \"\"} {", "set_param board.repoPath {}\nif {$board_files ne \"\"} {"),
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
    "a pin that is not there": "no pin clock_wizard/lock",
    "an interrupt that goes nowhere": "interrupt accelerator/irq goes nowhere",
    "a clock that is missing": "pin accelerator/aclk is not driven",
    "a reset that is missing": "pin memory_hp0/aresetn is not driven",
    "a master without memory": "HP0 has no segment DDR_NONE",
    "segments left open": "HP0_QSPI is neither assigned to nor excluded from accelerator/m_axi_load0",
    "one master less": "interface accelerator/m_axi_load2 is not connected",
    "an interface without clock": "interface s_axi_control has no clock",
    "no validation": "the design is not validated",
    "no board preset": "no board preset",
    "a reset port by another name": "has no property CONFIG.RESET_PORT_NAME",
    "registers on the accelerator's clock": "control/S00_AXI by clock_wizard/clk_out1",
    "a margin that stays": "with 0.1 ns of user uncertainty",
    "a margin for a clock that was renamed": "implementation stopped at place_design ERROR: before_placement.tcl: 0 clocks",
    "a margin that is not taken back": "implementation stopped at route_design ERROR: before_routing.tcl: 0 clocks",
    "an exception for a pin that was renamed": "implementation stopped at init_design ERROR: constraints.tcl: 0 pins",
    "constraints for synthesis": "names what only the implemented design has",
    "an unknown parameter": "no parameter board.repoPath",
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


@pytest.mark.parametrize(("name", "ultra"), [("zcu104", 1), ("zcu102", 0)])
def test_a_part_without_ultraram_keeps_weights_in_block_ram(tmp_path: Path, name: str, ultra: int) -> None:
    write_workspace(tmp_path, load_configuration(name), "rtl")
    assert f".WeightUltra(1'b{ultra})" in (tmp_path / "rtl" / f"{MODULE}.v").read_text()
    kernel = accelerator_sources(load_configuration(name))["cpp/kernel.cpp"].decode()
    assert kernel.count("impl=uram") == 2 * ultra
    assert "variable=machine.weight.lane type=ram_2p impl=" in kernel


def test_vivado_gets_instantiated_slices(tmp_path: Path) -> None:
    """The source itself says so, whichever project reads it, and names no multiplication that a tool would have to infer."""
    write_workspace(tmp_path, TINY, "rtl")
    source = tmp_path / "rtl" / "moesaic_dsp48_mac.sv"
    assert source.read_text().startswith("`define MOESAIC_DSP48E2\n")
    assert (tmp_path / "package_ip.tcl").read_text().count("rtl *.sv") == 1
    assert lint("moesaic_dsp48_mac", [*with_slices(tmp_path), source], {}) == ""


@pytest.mark.parametrize("configuration", ["tiny", *known_boards()])
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
