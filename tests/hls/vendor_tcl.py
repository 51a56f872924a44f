"""Vendor commands for a Tcl interpreter: they run nothing, but know their options, keep what was built, and refuse the rest.

A script that uses a command, option, object or property that is not known here fails, as does one that connects a pin twice,
or two of different widths. What the names do was written by hand from the vendor's manuals (AMD UG835 for Vivado, UG1399 for
Vitis HLS, UG1118 for the IP packager, and the manuals of the IP blocks); no vendor tool was asked. The names themselves come from
scripts and manuals that others published: each stands in vendor_names.toml with its place, see test_vendor_names.py.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

tkinter = pytest.importorskip("tkinter", reason="Python has no Tcl interpreter (Debian: apt-get install python3-tk)")


class StubError(Exception):
    """The script did what the vendor's tool would not accept."""


@dataclass
class Call:
    """A vendor command as it was called."""

    command: str
    options: dict[str, str]
    words: list[str]


class VendorTcl:
    """An interpreter with stubs. calls: what was called; failures: what was refused; exit_code: of `exit`, None before."""

    def __init__(self) -> None:
        self.interpreter = tkinter.Tcl()
        self.calls: list[Call] = []
        self.failures: list[str] = []
        self.printed: list[str] = []
        self.exit_code: int | None = None
        self.commands: dict[str, set[str]] = {}
        self._define("exit", {}, (0, 1), self._exit)
        self.interpreter.eval("rename puts puts_to_file")
        self.interpreter.createcommand("puts", self._puts)

    def _puts(self, *words: str) -> None:
        if len(words) == 2 and words[0].startswith("file"):
            self.interpreter.call("puts_to_file", *words)
        else:
            self.printed.append(" ".join(words))

    def _exit(self, call: Call) -> str:
        self.exit_code = int(call.words[0]) if call.words else 0
        raise SystemExit

    def _define(
        self,
        name: str,
        options: dict[str, bool],
        words: tuple[int, int],
        handler: Callable[[Call], object] | None = None,
    ) -> None:
        """options: name to whether a value follows. words: least and most other arguments. handler: gives the result."""
        self.commands[name] = set(options)
        if "::" in name:
            self.interpreter.eval(f"namespace eval {name.rpartition('::')[0]} {{}}")

        def command(*arguments: str) -> str:
            try:
                call = _parse(name, options, words, [str(argument) for argument in arguments])
                self.calls.append(call)
                result = handler(call) if handler else ""
            except StubError as error:
                self.failures.append(f"{name}: {error}")
                raise
            return self._tcl_list(result)

        self.interpreter.createcommand(name, command)

    def _tcl_list(self, result: object) -> str:
        if isinstance(result, (list, tuple)):
            return self.interpreter.call("list", *result) if result else ""
        return str(result)

    def split(self, text: str) -> list[str]:
        return [str(word) for word in self.interpreter.splitlist(text)]

    def run_hook(self, script: Path) -> str:
        """Run a script that a tool runs by itself. What is wrong, or nothing."""
        if not script.is_file():
            return f"{script} does not exist"
        try:
            self.interpreter.call("source", str(script))
        except tkinter.TclError as error:
            return str(error)
        return ""

    def source(self, script: Path) -> None:
        """Run a script to its end or its exit."""
        try:
            self.interpreter.call("source", str(script))
        except SystemExit:
            pass
        except tkinter.TclError as error:
            if self.exit_code is None:
                self.failures.append(f"{script.name}: {error}\n{self.interpreter.getvar('errorInfo')}")

    def named(self, command: str) -> list[Call]:
        return [call for call in self.calls if call.command == command]


def _parse(name: str, options: dict[str, bool], words: tuple[int, int], arguments: list[str]) -> Call:
    call = Call(name, {}, [])
    waiting = iter(arguments)
    for word in waiting:
        if re.match(r"-[a-z]", word):
            option, _, value = word.partition("=")
            if option not in options:
                raise StubError(f"unknown option {option}")
            if options[option] and not value:
                value = next(waiting, None)
                if value is None:
                    raise StubError(f"option {option} has no value")
            call.options[option] = value
        else:
            call.words.append(word)
    if not words[0] <= len(call.words) <= words[1]:
        raise StubError(f"{len(call.words)} arguments where {words[0]} to {words[1]} belong: {call.words}")
    return call


class VitisTcl(VendorTcl):
    """Vitis HLS, 2023.1 and later."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []
        self._project = self._solution = False
        self._set: set[str] = set()
        self._define("open_project", {"-reset": False}, (1, 1), self._open_project)
        self._define("set_top", {}, (1, 1), self._in_project)
        self._define("add_files", {"-tb": False, "-cflags": True, "-csimflags": True}, (1, 1), self._add_files)
        self._define("open_solution", {"-reset": False, "-flow_target": True}, (1, 1), self._open_solution)
        self._define("set_part", {}, (1, 1), self._in_solution)
        self._define("create_clock", {"-period": True, "-name": True}, (0, 0), self._in_solution)
        self._define("set_clock_uncertainty", {}, (1, 1), self._in_solution)
        self._define("config_compile", {"-pipeline_loops": True}, (0, 0), self._in_solution)
        self._define("config_interface", {"-m_axi_addr64": True}, (0, 0), self._in_solution)
        self._define("csim_design", {"-clean": False, "-argv": True}, (0, 0), self._step)
        self._define("csynth_design", {}, (0, 0), self._step)
        cosim = {"-rtl": True, "-trace_level": True, "-argv": True}
        self._define("cosim_design", cosim, (0, 0), self._after_synthesis)
        export = dict.fromkeys(
            ("-format", "-rtl", "-vendor", "-library", "-ipname", "-version", "-display_name", "-output"), True
        )
        self._define("export_design", export, (0, 0), self._after_synthesis)

    def _open_project(self, call: Call) -> None:
        self._project = True

    def _in_project(self, call: Call) -> None:
        if not self._project:
            raise StubError("no project is open")
        self._set.add(call.command)

    def _add_files(self, call: Call) -> None:
        self._in_project(call)
        if not Path(call.words[0]).is_file():
            raise StubError(f"{call.words[0]} does not exist")
        if "-tb" in call.options:
            self._set.add("test bench")

    def _open_solution(self, call: Call) -> None:
        self._in_project(call)
        if call.options.get("-flow_target") not in ("vivado", "vitis"):
            raise StubError("flow target is vivado or vitis")
        self._solution = True

    def _in_solution(self, call: Call) -> None:
        if not self._solution:
            raise StubError("no solution is open")
        self._set.add(call.command)

    def _step(self, call: Call) -> None:
        self._in_solution(call)
        bench = {"csim_design", "cosim_design"} & {call.command}
        for needed in ("set_top", "add_files", "set_part", "create_clock", *(["test bench"] if bench else [])):
            if needed not in self._set:
                raise StubError(f"{needed} is missing")
        self.steps.append(call.command)

    def _after_synthesis(self, call: Call) -> None:
        if "csynth_design" not in self.steps:
            raise StubError("csynth_design has not run")
        self._step(call)


@dataclass
class Pin:
    """A pin of a block. direction: "input" or "output"; role: "clock", "reset", "interrupt" or "" (any other)."""

    direction: str
    width: int = 1
    role: str = ""


@dataclass
class Cell:
    """A block of the design. interfaces: name to "master" or "slave"."""

    type: str
    pins: dict[str, Pin] = field(default_factory=dict)
    interfaces: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


_ADDRESS = ("addr", "len", "size", "burst", "valid", "ready")
READ_SIGNALS = {f"ar{s}" for s in _ADDRESS} | {f"r{s}" for s in ("data", "resp", "last", "valid", "ready")}
WRITE_SIGNALS = {
    *(f"aw{s}" for s in _ADDRESS),
    *(f"w{s}" for s in ("data", "strb", "last", "valid", "ready")),
    *(f"b{s}" for s in ("resp", "valid", "ready")),
}
LITE_SIGNALS = {s for s in READ_SIGNALS | WRITE_SIGNALS if not s.endswith(("len", "size", "burst", "last"))}


def infer(ports: dict[str, Pin]) -> dict[str, str]:
    """AXI interfaces as the IP packager infers them from port names, to "master" or "slave"."""
    found: dict[str, set[str]] = {}
    for name in ports:
        match = re.fullmatch(r"([sm]_axi\w*)_([a-z]+)", name)
        if match:
            found.setdefault(match[1], set()).add(match[2])
    interfaces = {}
    for name, signals in found.items():
        full = signals >= READ_SIGNALS or signals >= WRITE_SIGNALS
        if name.startswith("s_") and signals >= LITE_SIGNALS:
            interfaces[name] = "slave"
        elif name.startswith("m_") and full:
            interfaces[name] = "master"
    return interfaces


def read_verilog_ports(path: Path) -> dict[str, Pin]:
    """The ports of the module of a Verilog file of our own writing."""
    pattern = re.compile(r"^\s*(input|output)\s+wire\s+(?:\[(\d+):0\]\s+)?(\w+),?$", re.MULTILINE)
    return {name: Pin(direction, int(high or 0) + 1) for direction, high, name in pattern.findall(path.read_text())}


def kernel_cell(source: Path) -> Cell:
    """The block that Vitis HLS makes of the top function: one interface a bundle, one port a scalar, ap_ctrl_hs."""
    text = source.read_text()
    bits = {"uint32_t": 32, "uint64_t": 64}
    modes = {port: mode for mode, port in re.findall(r"#pragma HLS INTERFACE mode=(\w+) port=(\w+)", text)}
    cell = Cell("moesaic:hls:kernel")
    for name, role in (("ap_clk", "clock"), ("ap_rst_n", "reset")):
        cell.pins[name] = Pin("input", 1, role)
    cell.pins["ap_start"] = Pin("input")
    for name in ("ap_done", "ap_ready", "ap_idle"):
        cell.pins[name] = Pin("output")
    arguments = re.search(r'extern "C" void kernel\((.*?)\)', text, re.DOTALL)[1]
    for argument in arguments.split(","):
        type_, pointer, name = re.fullmatch(r"\s*(?:const )?(\w+) (\*?)(\w+)\s*", argument).groups()
        if modes[name] == "m_axi":
            cell.interfaces["m_axi_" + re.search(rf"port={name} bundle=(\w+)", text)[1]] = "master"
        else:
            assert modes[name] == ("ap_vld" if pointer else "ap_none"), name
            cell.pins[name] = Pin("output" if pointer else "input", bits[type_])
            if pointer:
                cell.pins[f"{name}_ap_vld"] = Pin("output")
    return cell


_SWITCH, _WIDTH, _COUNT = "0|1", "32|64|128", r"[1-9]|1[0-6]"
_MEGAHERTZ = r"\d{1,3}(\.\d{1,3})?"
_PROPAGATED = None
_SETTINGS: dict[str, dict[str, str | None]] = {
    "zynq_ultra_ps_e": {
        r"PSU__USE__M_AXI_GP[0-2]": _SWITCH,
        r"PSU__USE__S_AXI_GP[0-6]": _SWITCH,
        r"PSU__USE__IRQ0": _SWITCH,
        r"PSU__MAXIGP[0-2]__DATA_WIDTH": _WIDTH,
        r"PSU__SAXIGP[0-6]__DATA_WIDTH": _WIDTH,
        r"PSU__FPGA_PL0_ENABLE": _SWITCH,
        r"PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": _MEGAHERTZ,
    },
    "clk_wiz": {
        "PRIM_SOURCE": "Single_ended_clock_capable_pin|Differential_clock_capable_pin|Global_buffer|No_buffer",
        "PRIM_IN_FREQ": _PROPAGATED,
        "CLKOUT1_REQUESTED_OUT_FREQ": _MEGAHERTZ,
        "USE_LOCKED": "true|false",
        "USE_RESET": "true|false",
        "RESET_TYPE": "ACTIVE_HIGH|ACTIVE_LOW",
        "RESET_PORT": "resetn?",
    },
    "smartconnect": {"NUM_SI": _COUNT, "NUM_MI": _COUNT},
    "axi_interconnect": {"NUM_SI": _COUNT, "NUM_MI": _COUNT},
    "axi_intc": {
        "C_IRQ_CONNECTION": _SWITCH,
        r"C_(KIND_OF|ASYNC)_INTR\.VALUE_SRC": "USER",
        "C_KIND_OF_INTR": "0x[0-9A-F]{8}",
        "C_ASYNC_INTR": "0x[0-9A-F]{8}",
    },
}
"""Block to its settings, each with the values it takes; _PROPAGATED where the tool takes the value from what is connected."""

_PROPERTIES = {
    "project": {"board_part": r"xilinx\.com:\w+:part0:\d+\.\d+", "ip_repo_paths": ".+"},
    "fileset": {"top": r"\w+"},
    "core": {
        "name": r"\w+", "version": r"\d+\.\d+", "display_name": ".+", "description": ".+",
        "supported_families": "zynquplus Production",
    },
    "parameter": {"value": "LEVEL_HIGH|LEVEL_LOW|EDGE_RISING|EDGE_FALLING"},
    "register": {
        "address_offset": r"0x[0-9a-f]+", "size": "32", "access": "read-write|read-only|write-only", "description": ".+",
    },
    "block": {"range": r"\d+"},
    "system.bd": {"synth_checkpoint_mode": "None|Singular|Hierarchical"},
    "constraints.tcl": {"used_in_synthesis": "true|false"},
    "floorplan.tcl": {"used_in_synthesis": "true|false"},
}  # fmt: skip
"""Kind of object to its properties, each with the values that our scripts may give it."""

_CONTROL_APERTURES = ((0xA000_0000, 256 << 20), (0x4_0000_0000, 4 << 30), (0x10_0000_0000, 224 << 30))
"""Where M_AXI_HPM0_FPD lies in the map of the processors (AMD UG1085, address map): first byte and size."""

BOARD_PARTS = {"xilinx.com:zcu104:part0:1.1": 2, "xilinx.com:zcu102:part0:3.4": 4, "xilinx.com:kv260_som:part0:1.4": 4}
"""Board parts of a usual installation, and the GiB of DDR that their presets set up (Xilinx/XilinxBoardStore)."""

CLOCK_REGIONS = {f"X{x}Y{y}": 0 if x == 0 and y < 4 else 72 if x == 0 else 88 for x in range(4) for y in range(6)}
"""DSP48E2 by clock region: 1,728 as an XCZU7EV has, none where its processing system lies; how they are spread is made up."""
ARRAY = "system_i/accelerator/inst/u_accelerator/u_accelerator/u_matmul/u_array"
HOOKS = {"STEPS.PLACE_DESIGN.TCL.PRE", "STEPS.ROUTE_DESIGN.TCL.PRE"}

_STRATEGIES = {
    "synth_1": {
        "Flow_PerfOptimized_high",
        "Flow_AreaOptimized_high",
        "Flow_RuntimeOptimized",
        "Vivado Synthesis Defaults",
    },
    "impl_1": {"Performance_ExplorePostRoutePhysOpt", "Performance_Explore", "Performance_ExtraTimingOpt"},
}


class VivadoTcl(VendorTcl):
    """Vivado with its IP packager and IP integrator, as far as an embedded design of one accelerator needs them."""

    def __init__(
        self,
        workspace: Path,
        kernel: Path | None = None,
        inferred: str = "",
        board_parts: tuple[str, ...] = tuple(BOARD_PARTS),
    ) -> None:
        """inferred: what the packager makes of irq by itself: "" (nothing), "interrupt" or "sensitivity" (it with parameter).

        board_parts: those that Vivado finds without board.repoPaths.
        """
        super().__init__()
        self.workspace = workspace
        self.board_parts = list(board_parts)
        self.constraints: list[str] = []
        self.false_paths: list[str] = []
        self.uncertainty = self.placed_with = 0.0
        self.pblock: list[str] = []
        self.placed_in_pblock = ""
        self.array_dsp = 1280
        self._infers = inferred
        self.file_properties: dict[str, dict[str, str]] = {}
        self.out_of_context = True
        self.cells: dict[str, Cell] = {}
        self.net: dict[str, str] = {}
        self.interface_net: dict[str, str] = {}
        self.segments: dict[tuple[str, str], tuple[int, int]] = {}
        self.excluded: set[tuple[str, str]] = set()
        self.core: dict[str, str] = {}
        self.saved_core = False
        self.associated: dict[str, str] = {}
        self.parameters: dict[str, dict[str, str]] = {}
        self.registers: dict[str, dict[str, str]] = {}
        self.validated = self.saved = self.generated = False
        self.runs: dict[str, dict[str, str]] = {"synth_1": {}, "impl_1": {}}
        self.project: dict[str, str] = {}
        self.fileset: dict[str, str] = {}
        self.files: list[str] = []
        self._kernel = kernel
        self._define_commands()

    def _define_commands(self) -> None:
        d = self._define
        d("create_project", {"-force": False, "-part": True}, (2, 2), self._create_project)
        d("close_project", {}, (0, 0))
        d("current_project", {}, (0, 0), lambda call: "project")
        d("current_fileset", {}, (0, 0), lambda call: "fileset")
        d("add_files", {"-norecurse": False, "-fileset": True}, (1, 1), self._add_files)
        d("update_compile_order", {"-fileset": True}, (0, 0))
        d("update_ip_catalog", {}, (0, 0))
        d("set_property", {"-dict": False}, (2, 3), self._set_property)
        d("get_property", {}, (2, 2), self._get_property)
        d("version", {"-short": False}, (0, 0), lambda call: "2023.1")
        d("set_param", {}, (2, 2), self._set_param)
        d("get_board_parts", {"-quiet": False}, (0, 1), self._get_board_parts)
        # IP packager
        package = {"-import_files": False, "-force": False}
        d("ipx::package_project", {"-root_dir": True, "-vendor": True, "-library": True, "-taxonomy": True, **package}, (0, 0),
          self._package)  # fmt: skip
        d("ipx::current_core", {}, (0, 0), lambda call: "core")
        d("ipx::get_bus_interfaces", {"-of_objects": True}, (1, 1), self._get_bus_interfaces)
        d("ipx::associate_bus_interfaces", {"-busif": True, "-clock": True, "-reset": True}, (1, 1), self._associate)
        d("ipx::infer_bus_interface", {}, (3, 3), self._infer_bus_interface)
        d("ipx::get_bus_parameters", {"-of_objects": True}, (1, 1), self._get_bus_parameters)
        d("ipx::add_bus_parameter", {}, (2, 2), self._add_bus_parameter)
        d("ipx::get_memory_maps", {"-of_objects": True}, (1, 1), self._get_memory_maps)
        d("ipx::get_address_blocks", {"-of_objects": True}, (1, 1), lambda call: f"block:{call.words[0]}")
        d("ipx::add_register", {}, (2, 2), self._add_register)
        for name in ("create_xgui_files", "update_checksums", "check_integrity"):
            d(f"ipx::{name}", {}, (1, 1))
        d("ipx::save_core", {}, (1, 1), self._save_core)
        # IP integrator
        d("create_bd_design", {}, (1, 1), lambda call: self.files.append(f"{call.words[0]}.bd"))
        d("create_bd_cell", {"-type": True, "-vlnv": True}, (1, 1), self._create_cell)
        d("apply_bd_automation", {"-rule": True, "-config": True}, (1, 1), self._automation)
        d("get_bd_cells", {}, (1, 1), lambda call: self._cell(call.words[0]) and call.words[0])
        d("get_bd_pins", {}, (1, 1), self._get_pin)
        d("get_bd_intf_pins", {}, (1, 1), self._get_interface)
        d("connect_bd_net", {}, (2, 99), self._connect)
        d("connect_bd_intf_net", {}, (2, 2), self._connect_interface)
        d("get_bd_addr_spaces", {"-of_objects": True}, (0, 1), self._get_space)
        d("get_bd_addr_segs", {}, (1, 1), self._get_segments)
        assign = {"-offset": True, "-range": True, "-target_address_space": True, "-force": False}
        d("assign_bd_address", assign, (1, 1), self._assign)
        d("exclude_bd_addr_seg", {"-target_address_space": True}, (1, 1), self._exclude)
        d("validate_bd_design", {}, (0, 0), self._validate)
        d("save_bd_design", {}, (0, 0), lambda call: setattr(self, "saved", True))
        d("get_files", {}, (1, 1), self._get_files)
        d("generate_target", {}, (2, 2), self._generate)
        d("make_wrapper", {"-files": True, "-top": False}, (0, 0), self._make_wrapper)
        # runs and reports
        d("get_runs", {}, (1, 1), self._get_run)
        d("launch_runs", {"-to_step": True, "-jobs": True}, (1, 1), self._launch)
        d("wait_on_run", {}, (1, 1), self._wait)
        d("open_run", {}, (1, 1), self._open_run)
        report = {"-file": True}
        d("report_timing_summary", {**report, "-max_paths": True, "-report_unconstrained": False}, (0, 0), self._report)
        d("report_utilization", {**report, "-hierarchical": False, "-hierarchical_depth": True}, (0, 0), self._report)
        d("report_power", report, (0, 0), self._report)
        d("report_drc", report, (0, 0), self._report)
        d("xilinx::designutils::report_failfast", {**report, "-detailed_reports": True}, (0, 0), self._report)
        d("report_qor_assessment", report, (0, 0), self._report)
        d("report_control_sets", {**report, "-verbose": False}, (0, 0), self._report)
        fanout = {**report, "-timing": False, "-load_types": False, "-max_nets": True}
        d("report_high_fanout_nets", fanout, (0, 0), self._report)
        # the design, in constraints and hooks
        d("get_pins", {"-quiet": False}, (1, 1), self._get_design_pins)
        d("get_clocks", {"-quiet": False, "-of_objects": True}, (0, 0), self._get_clocks)
        d("set_clock_uncertainty", {"-setup": False}, (2, 2), self._set_uncertainty)
        d("set_false_path", {"-through": True}, (0, 0), lambda call: self.false_paths.append(call.options["-through"]))
        d("get_cells", {"-quiet": False, "-hierarchical": False, "-filter": True}, (0, 0), self._get_design_cells)
        d("get_clock_regions", {}, (0, 1), lambda call: call.words or list(CLOCK_REGIONS))
        d("get_sites", {"-quiet": False, "-of_objects": True, "-filter": True}, (0, 0), self._get_sites)
        d("create_pblock", {}, (1, 1), lambda call: call.words[0])
        d("resize_pblock", {"-add": True}, (1, 1), lambda call: self.pblock.append(call.options["-add"]))
        d("add_cells_to_pblock", {}, (2, 2), lambda call: setattr(self, "placed_in_pblock", call.words[1]))

    # --- project ---

    def _set_param(self, call: Call) -> None:
        if call.words[0] != "board.repoPaths":
            raise StubError(f"no parameter {call.words[0]}")
        for folder in self.split(call.words[1]):
            self.board_parts += [path.read_text().strip() for path in Path(folder).glob("*.board_part")]

    def _get_board_parts(self, call: Call) -> list[str]:
        pattern = call.words[0] if call.words else "*"
        return [name for name in self.board_parts if fnmatch.fnmatch(name, pattern)]

    def _create_project(self, call: Call) -> None:
        self.project = {"part": call.options["-part"]}
        self.fileset, self.files = {}, []

    def _add_files(self, call: Call) -> None:
        files = self.split(call.words[0])
        for file in files:
            if not Path(file).is_file() and file != "system_wrapper.v":
                raise StubError(f"{file} does not exist")
        if call.options.get("-fileset", "constrs_1") != "constrs_1":
            raise StubError(f"no fileset {call.options['-fileset']}")
        if "-fileset" in call.options:
            self.constraints += files
        self.files += files

    def _set_property(self, call: Call) -> None:
        if "-dict" in call.options:
            words, target = self.split(call.words[0]), call.words[1]
            values = dict(zip(words[::2], words[1::2], strict=True))
        else:
            name, value, target = call.words
            values = {name: value}
        kind, _, name = target.partition(":")
        if target in self.runs:
            (name,) = values
            if not (name == "strategy" and values[name] in _STRATEGIES[target]) and name not in HOOKS:
                raise StubError(f"{values} is no strategy of {target}")
            holder = self.runs[target]
        elif kind in _PROPERTIES:
            self._check_values(target, _PROPERTIES[kind], values)
            if values.get("board_part", self.board_parts[0]) not in self.board_parts:
                raise StubError(f"no board part {values['board_part']}")
            holder = {
                "project": self.project, "fileset": self.fileset, "core": self.core, "block": self.core,
                "parameter": self.parameters.get(name), "register": self.registers.get(name),
            }.get(kind)  # fmt: skip
            if holder is None:
                holder = self.file_properties.setdefault(target, {})
        else:
            cell = self._cell(target)
            known = _SETTINGS.get(cell.type.split(":")[2], {})
            self._check_values(cell.type, {rf"CONFIG\.({name})": value for name, value in known.items()}, values)
            holder = cell.settings
        holder.update(values)

    @staticmethod
    def _check_values(target: str, known: dict[str, str | None], values: dict[str, str]) -> None:
        for name, value in values.items():
            pattern = next((pattern for pattern in known if re.fullmatch(pattern, name)), None)
            if pattern is None:
                raise StubError(f"{target} has no property {name}")
            if known[pattern] is _PROPAGATED:
                raise StubError(f"{target} takes {name} from what is connected")
            if not re.fullmatch(known[pattern], value):
                raise StubError(f"{target} takes no {name} {value}")

    def _get_files(self, call: Call) -> str:
        if call.words[0] not in (Path(file).name for file in self.files):
            raise StubError(f"no file {call.words[0]}")
        return call.words[0]

    def _get_property(self, call: Call) -> str:
        name, run = call.words
        if name == "CONFIG.FREQ_HZ" and run == "clock_wizard/clk_out1":
            return str(
                round(float(self.cells["clock_wizard"].settings["CONFIG.CLKOUT1_REQUESTED_OUT_FREQ"]) * 0.9999e6)
            )
        if run not in self.runs:
            raise StubError(f"{run} has no property {name}")
        return {
            "PROGRESS": "100%" if self.runs[run].get("ended") else "50%",
            "STATUS": self.runs[run].get("status", "not started"),
            "DIRECTORY": str(self.workspace / "accelerator_system" / "accelerator_system.runs" / run),
        }[name]

    # --- IP packager ---

    def _package(self, call: Call) -> None:
        top = self.fileset.get("top")
        source = next((Path(file) for file in self.files if Path(file).stem == top), None)
        if source is None or source.suffix != ".v":
            raise StubError(f"the top {top} is no Verilog file of the project")
        self.ports = read_verilog_ports(source)
        for name, role in (("aclk", "clock"), ("aresetn", "reset")):
            self.ports[name].role = role
        self.core = {"vendor": call.options["-vendor"], "library": call.options["-library"]}
        self.inferred = {**infer(self.ports), "aclk": "clock", "aresetn": "reset"}
        if self._infers:
            self._make_interrupt("irq")
        if self._infers == "sensitivity":
            self.parameters["irq:SENSITIVITY"] = {"value": "EDGE_RISING"}
        covered = {name for name in self.ports for i in self.inferred if name.startswith(f"{i}_")}
        self.loose = set(self.ports) - covered - {"aclk", "aresetn"}

    def _get_bus_interfaces(self, call: Call) -> str:
        return call.words[0] if call.words[0] in self.inferred else ""

    def _associate(self, call: Call) -> None:
        name = call.options.get("-busif", call.options.get("-reset"))
        if name not in self.inferred or self.inferred.get(call.options.get("-clock")) != "clock":
            raise StubError(f"{call.options} names no interface or no clock")
        self.associated[name] = call.options["-clock"]

    def _infer_bus_interface(self, call: Call) -> None:
        port, kind, _ = call.words
        if port not in self.ports or port in self.inferred:
            raise StubError(f"no port {port}, or it has an interface")
        if kind != "xilinx.com:signal:interrupt_rtl:1.0":
            raise StubError(f"unknown abstraction {kind}")
        self._make_interrupt(port)

    def _make_interrupt(self, port: str) -> None:
        self.ports[port].role = "interrupt"
        self.inferred[port] = "interrupt"

    def _get_bus_parameters(self, call: Call) -> str:
        name = f"{call.options['-of_objects']}:{call.words[0]}"
        return f"parameter:{name}" if name in self.parameters else ""

    def _add_bus_parameter(self, call: Call) -> str:
        name, bus = call.words
        if bus not in self.inferred or f"{bus}:{name}" in self.parameters:
            raise StubError(f"no interface {bus}, or it has {name}")
        self.parameters[f"{bus}:{name}"] = {}
        return f"parameter:{bus}:{name}"

    def _add_register(self, call: Call) -> str:
        name, block = call.words
        if not block.startswith("block:") or name in self.registers:
            raise StubError(f"register {name} exists, or {block} is no address block")
        self.registers[name] = {}
        return f"register:{name}"

    def _get_memory_maps(self, call: Call) -> str:
        return call.words[0] if self.inferred.get(call.words[0]) == "slave" else ""

    def _save_core(self, call: Call) -> None:
        for name, kind in self.inferred.items():
            if kind in ("master", "slave") and name not in self.associated:
                raise StubError(f"interface {name} has no clock")
        self.saved_core = True

    # --- block design ---

    def _cell(self, name: str) -> Cell:
        if name.strip("/") not in self.cells:
            raise StubError(f"no cell {name}")
        return self.cells[name.strip("/")]

    def _create_cell(self, call: Call) -> str:
        name, vlnv = call.words[0], call.options["-vlnv"]
        if name in self.cells:
            raise StubError(f"cell {name} exists")
        kind = ":".join(vlnv.split(":")[:3])
        if kind == "moesaic:moesaic:accelerator":
            own = f"{self.core.get('vendor')}:{self.core.get('library')}:{self.core.get('name')}"
            if own != kind or not self.saved_core:
                raise StubError(f"{kind} is not in the catalog, {own} is")
            interfaces = {i: mode for i, mode in self.inferred.items() if mode in ("master", "slave")}
            own_pins = {n: p for n, p in self.ports.items() if n in self.loose or p.role}
            self.cells[name] = Cell(kind, own_pins, interfaces)
        elif kind == "moesaic:hls:kernel":
            places = [path for path in self._repositories() if path.endswith("kernel/kernel_project/solution/impl/ip")]
            if self._kernel is None or not places:
                raise StubError("the kernel's IP is in no repository")
            self.cells[name] = kernel_cell(self._kernel)
        elif kind.split(":")[:2] == ["xilinx.com", "ip"] and kind.split(":")[2] in _BLOCKS:
            self.cells[name] = Cell(kind)
        else:
            raise StubError(f"{vlnv} is not in the catalog")
        return f"/{name}"

    def _repositories(self) -> list[str]:
        return self.split(self.project.get("ip_repo_paths", ""))

    def _automation(self, call: Call) -> None:
        cell = self._cell(call.words[0])
        if call.options["-rule"] != f"xilinx.com:bd_rule:{cell.type.split(':')[2]}":
            raise StubError(f"no rule {call.options['-rule']} for {cell.type}")
        if self.split(call.options["-config"]) != ["apply_board_preset", "1"] or "board_part" not in self.project:
            raise StubError("no board preset")
        cell.settings["preset"] = self.project["board_part"]

    def pins(self, name: str) -> dict[str, Pin]:
        cell = self._cell(name)
        block = _BLOCKS.get(cell.type.split(":")[2]) if cell.type.startswith("xilinx.com") else None
        return block(cell)[0] if block else cell.pins

    def interfaces(self, name: str) -> dict[str, str]:
        cell = self._cell(name)
        block = _BLOCKS.get(cell.type.split(":")[2]) if cell.type.startswith("xilinx.com") else None
        return block(cell)[1] if block else cell.interfaces

    def _get_pin(self, call: Call) -> str:
        cell, _, pin = call.words[0].partition("/")
        if pin not in self.pins(cell):
            raise StubError(f"no pin {call.words[0]}")
        return call.words[0]

    def _get_interface(self, call: Call) -> str:
        cell, _, pin = call.words[0].partition("/")
        if pin not in self.interfaces(cell):
            raise StubError(f"no interface {call.words[0]}; {cell} has {', '.join(self.interfaces(cell))}")
        return call.words[0]

    def _pin(self, name: str) -> Pin:
        cell, _, pin = name.partition("/")
        return self.pins(cell)[pin]

    def _connect(self, call: Call) -> None:
        drivers = [name for name in call.words if self._pin(name).direction == "output"]
        if len(drivers) != 1:
            raise StubError(f"{call.words} has {len(drivers)} drivers")
        for name in call.words:
            if self._pin(name).width != self._pin(drivers[0]).width:
                raise StubError(f"{drivers[0]} and {name} differ in width")
            if name != drivers[0]:
                if name in self.net:
                    raise StubError(f"{name} is driven by {self.net[name]} already")
                self.net[name] = drivers[0]

    def _connect_interface(self, call: Call) -> None:
        modes = {}
        for name in call.words:
            cell, _, pin = name.partition("/")
            modes[name] = self.interfaces(cell)[pin]
            if name in self.interface_net:
                raise StubError(f"{name} is connected already")
        if sorted(modes.values()) != ["master", "slave"]:
            raise StubError(f"{modes} cannot be connected")
        first, second = call.words
        self.interface_net[first], self.interface_net[second] = second, first

    # --- addresses ---

    def _get_space(self, call: Call) -> str:
        if "-of_objects" in call.options:
            return f"space:{call.options['-of_objects']}"
        if call.words != ["ps/Data"]:
            raise StubError(f"no address space {call.words}")
        return "space:ps/Data"

    def gibibytes(self) -> int:
        """The DDR that the board's preset sets up."""
        return BOARD_PARTS[self._cell("ps").settings["preset"]]

    def _all_segments(self) -> list[str]:
        found = ["accelerator/s_axi_control/reg0", "interrupts/S_AXI/Reg"]
        high = ["DDR_HIGH"] if self.gibibytes() > 2 else []
        for gp, port in _MEMORY_PORTS.items():
            if self._cell("ps").settings.get(f"CONFIG.PSU__USE__S_AXI_GP{gp}") == "1":
                found += [f"ps/SAXIGP{gp}/{port}_{part}" for part in ("DDR_LOW", *high, "QSPI", "LPS_OCM")]
        return found

    def _get_segments(self, call: Call) -> list[str]:
        found = [segment for segment in self._all_segments() if fnmatch.fnmatch(segment, call.words[0])]
        if not found:
            raise StubError(f"no segment {call.words[0]}")
        return found

    def _assign(self, call: Call) -> None:
        size = call.options["-range"]
        bytes_ = int(size.rstrip("KMG"), 0) << {"K": 10, "M": 20, "G": 30}.get(size[-1], 0)
        offset = int(call.options["-offset"], 0)
        if offset % bytes_:
            raise StubError(f"offset {offset:#x} is no multiple of the range {bytes_:#x}")
        space = call.options["-target_address_space"]
        if space == "space:ps/Data" and not any(
            start <= offset and offset + bytes_ <= start + size for start, size in _CONTROL_APERTURES
        ):
            raise StubError(f"{call.words[0]} at {offset:#x} is not behind M_AXI_HPM0_FPD")
        for (other, segment), (start, size) in self.segments.items():
            if other == space and segment != call.words[0] and start < offset + bytes_ and offset < start + size:
                raise StubError(f"{call.words[0]} at {offset:#x} overlaps {segment} at {start:#x}")
        self.segments[space, call.words[0]] = (offset, bytes_)

    def _exclude(self, call: Call) -> None:
        self.excluded.add((call.options["-target_address_space"], call.words[0]))

    def problems(self) -> list[str]:
        """What a validation of the design finds: unconnected interfaces, clocks, resets, interrupts; unassigned segments."""
        found = []
        for name, cell in self.cells.items():
            for interface in self.interfaces(name):
                if f"{name}/{interface}" not in self.interface_net:
                    found.append(f"interface {name}/{interface} is not connected")
            for pin, kind in self.pins(name).items():
                required = kind.role in ("clock", "reset", "interrupt") or cell.type.startswith("moesaic")
                if kind.direction == "input" and required and f"{name}/{pin}" not in self.net:
                    found.append(f"pin {name}/{pin} is not driven")
                if kind.direction == "output" and kind.role == "interrupt" and f"{name}/{pin}" not in self.net.values():
                    found.append(f"interrupt {name}/{pin} goes nowhere")
            if cell.type.startswith("moesaic"):
                for interface, mode in self.interfaces(name).items():
                    if mode == "master":
                        found += self._unassigned(f"{name}/{interface}")
        for end, other in self.interface_net.items():
            if self.clock_of(end) != self.clock_of(other):
                found.append(f"{end} is clocked by {self.clock_of(end)}, {other} by {self.clock_of(other)}")
        for slave in ("accelerator/s_axi_control/reg0", "interrupts/S_AXI/Reg"):
            if ("space:ps/Data", slave) not in self.segments:
                found.append(f"segment {slave} has no address")
        return found

    def clock_of(self, interface: str) -> str:
        """What drives the clock of a cell's interface, or "" if nothing does."""
        cell, _, name = interface.partition("/")
        side = name.partition("_")[0]
        own = re.sub(r"^([MS])_AXI_", lambda found: f"{found[1]}axi", name).lower()
        for pin in (f"{side}_ACLK", f"{own}_aclk", "aclk", "ap_clk", "s_axi_aclk"):
            if pin in self.pins(cell):
                return self.net.get(f"{cell}/{pin}", "")
        return ""

    def memory_port(self, master: str) -> str:
        """The processing system's port that a master reaches through its SmartConnect."""
        cell = self.interface_net[master].partition("/")[0]
        return self.interface_net[f"{cell}/M00_AXI"]

    def _unassigned(self, master: str) -> list[str]:
        if master not in self.interface_net:
            return []
        port = re.fullmatch(r"ps/S_AXI_(HPC?\d)_FPD", self.memory_port(master))[1]
        found = []
        for segment in self._all_segments():
            if f"/{port}_" in segment:
                key = (f"space:{master}", segment)
                if key not in self.segments and key not in self.excluded:
                    found.append(f"segment {segment} is neither assigned to nor excluded from {master}")
                for name, base in (("DDR_LOW", 0), ("DDR_HIGH", 0x8_0000_0000)):
                    if segment.endswith(name) and self.segments.get(key) != (base, 2 << 30):
                        found.append(f"{master} does not see {name} at {port}")
        return found

    def _validate(self, call: Call) -> None:
        problems = self.problems()
        if problems:
            raise StubError("; ".join(problems))
        self.validated = True

    def _generate(self, call: Call) -> None:
        if not (self.validated and self.saved):
            raise StubError("the design is not validated and saved")
        self.generated = True
        self.out_of_context = self.file_properties.get("system.bd", {}).get("synth_checkpoint_mode") != "None"

    def _make_wrapper(self, call: Call) -> str:
        if not self.generated:
            raise StubError("the design is not generated")
        return "system_wrapper.v"

    # --- runs ---

    def _get_run(self, call: Call) -> str:
        if call.words[0] not in self.runs:
            raise StubError(f"no run {call.words[0]}")
        return call.words[0]

    def _launch(self, call: Call) -> None:
        self._get_run(call)
        if self.fileset.get("top") != "system_wrapper":
            raise StubError(f"the top is {self.fileset.get('top')}")
        if self.out_of_context:
            raise StubError(
                "the blocks are synthesised out of context, where the strategy of synth_1 does not reach them"
            )
        self.runs[call.words[0]]["launched"] = call.options.get("-to_step", "")

    def _wait(self, call: Call) -> None:
        run = self.runs[self._get_run(call)]
        if run.get("launched") != "write_bitstream":
            raise StubError("the run was not launched up to the bitstream")
        run["status"] = self._implement(run)
        if run["status"] != "write_bitstream Complete!":
            return
        run["ended"] = "yes"
        root = self.workspace / "accelerator_system"
        for path in (
            root / "accelerator_system.runs" / "impl_1" / "system_wrapper.bit",
            root / "accelerator_system.gen" / "sources_1" / "bd" / "system" / "hw_handoff" / "system.hwh",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"stand-in for {path.name}\n")

    def _implement(self, run: dict[str, str]) -> str:
        """Read the constraints and run the hooks as an implementation does. The run's status."""
        for script in self.constraints:
            if self.file_properties.get(Path(script).name, {}).get("used_in_synthesis") != "false":
                return f"synth_design ERROR: {script} names what only the implemented design has"
            problem = self.run_hook(Path(script))
            if problem:
                return f"init_design ERROR: {problem}"
        for step in ("PLACE", "ROUTE"):
            script = run.get(f"STEPS.{step}_DESIGN.TCL.PRE")
            problem = self.run_hook(Path(script)) if script else ""
            if problem:
                return f"{step.lower()}_design ERROR: {problem}"
            if step == "PLACE":
                self.placed_with = self.uncertainty
        return "write_bitstream Complete!"

    # --- the design ---

    def _get_design_pins(self, call: Call) -> str:
        """Pins of the block design's cells, below the wrapper's instance of it."""
        top, _, path = call.words[0].partition("/")
        cell, _, pin = path.partition("/")
        return call.words[0] if top == "system_i" and cell in self.cells and pin in self.pins(cell) else ""

    def _get_clocks(self, call: Call) -> str:
        return "clk_out1_system_clock_wizard_0" if call.options["-of_objects"].endswith("/clk_out1") else ""

    def _set_uncertainty(self, call: Call) -> None:
        if not call.words[1]:
            raise StubError("no valid object")
        self.uncertainty = float(call.words[0])

    def _get_design_cells(self, call: Call) -> list[str]:
        if "REF_NAME == DSP48E2" in call.options["-filter"]:
            return [f"{ARRAY}/u_dsp{index}" for index in range(self.array_dsp)]
        return [ARRAY] if fnmatch.fnmatch(f"NAME =~ {ARRAY}", call.options["-filter"]) else []

    def _get_sites(self, call: Call) -> list[str]:
        if call.options["-filter"] != "SITE_TYPE == DSP48E2":
            raise StubError(f"no sites by {call.options['-filter']}")
        return [f"DSP48E2_{call.options['-of_objects']}_{i}" for i in range(CLOCK_REGIONS[call.options["-of_objects"]])]

    def _open_run(self, call: Call) -> None:
        if not self.runs[call.words[0]].get("ended"):
            raise StubError("the run has not ended")
        self.runs[call.words[0]]["open"] = "yes"

    def _report(self, call: Call) -> None:
        if not self.runs["impl_1"].get("open"):
            raise StubError("no implemented design is open")
        if self.uncertainty:
            raise StubError(f"{call.command} with {self.uncertainty} ns of user uncertainty")
        Path(call.options["-file"]).write_text(f"stand-in for {call.command}\n")


_MEMORY_PORTS = {0: "HPC0", 1: "HPC1", 2: "HP0", 3: "HP1", 4: "HP2", 5: "HP3"}
"""S_AXI_GP number to the port that it is (AMD PG201)."""


def _processing_system(cell: Cell) -> tuple[dict[str, Pin], dict[str, str]]:
    def on(name: str) -> bool:
        return cell.settings.get(f"CONFIG.PSU__{name}") == "1"

    pins, interfaces = {"pl_resetn0": Pin("output")}, {}
    if on("FPGA_PL0_ENABLE"):
        pins["pl_clk0"] = Pin("output")
    if on("USE__IRQ0"):
        pins["pl_ps_irq0"] = Pin("input", 1, "interrupt")
    if on("USE__M_AXI_GP0"):
        interfaces["M_AXI_HPM0_FPD"] = "master"
        pins["maxihpm0_fpd_aclk"] = Pin("input", 1, "clock")
    for gp, port in _MEMORY_PORTS.items():
        if on(f"USE__S_AXI_GP{gp}"):
            interfaces[f"S_AXI_{port}_FPD"] = "slave"
            pins[f"saxi{port.lower()}_fpd_aclk"] = Pin("input", 1, "clock")
    return pins, interfaces


def _clock_wizard(cell: Cell) -> tuple[dict[str, Pin], dict[str, str]]:
    pins = {"clk_in1": Pin("input", 1, "clock"), "clk_out1": Pin("output")}
    if cell.settings.get("CONFIG.USE_LOCKED") == "true":
        pins["locked"] = Pin("output")
    if cell.settings.get("CONFIG.USE_RESET") == "true":
        pins[cell.settings.get("CONFIG.RESET_PORT", "reset")] = Pin("input", 1, "reset")
    return pins, {}


def _reset(cell: Cell) -> tuple[dict[str, Pin], dict[str, str]]:
    inputs = {"slowest_sync_clk": Pin("input", 1, "clock"), "ext_reset_in": Pin("input", 1, "reset")}
    outputs = {name: Pin("output") for name in ("peripheral_aresetn", "interconnect_aresetn", "peripheral_reset")}
    return {**inputs, **outputs, "dcm_locked": Pin("input"), "aux_reset_in": Pin("input")}, {}


def _smartconnect(cell: Cell) -> tuple[dict[str, Pin], dict[str, str]]:
    slaves, masters = (int(cell.settings.get(f"CONFIG.NUM_{kind}", "1")) for kind in ("SI", "MI"))
    interfaces = {f"S{index:02d}_AXI": "slave" for index in range(slaves)}
    interfaces |= {f"M{index:02d}_AXI": "master" for index in range(masters)}
    return {"aclk": Pin("input", 1, "clock"), "aresetn": Pin("input", 1, "reset")}, interfaces


def _interconnect(cell: Cell) -> tuple[dict[str, Pin], dict[str, str]]:
    slaves, masters = (int(cell.settings.get(f"CONFIG.NUM_{kind}", "1")) for kind in ("SI", "MI"))
    sides = [f"S{index:02d}" for index in range(slaves)] + [f"M{index:02d}" for index in range(masters)]
    pins = {}
    for prefix in ("", *(f"{side}_" for side in sides)):
        pins |= {f"{prefix}ACLK": Pin("input", 1, "clock"), f"{prefix}ARESETN": Pin("input", 1, "reset")}
    return pins, {f"{side}_AXI": "slave" if side.startswith("S") else "master" for side in sides}


def _interrupt_controller(cell: Cell) -> tuple[dict[str, Pin], dict[str, str]]:
    pins = {"s_axi_aclk": Pin("input", 1, "clock"), "s_axi_aresetn": Pin("input", 1, "reset")}
    pins["intr"] = Pin("input", 1, "interrupt")
    if cell.settings.get("CONFIG.C_IRQ_CONNECTION") == "1":
        pins["irq"] = Pin("output", 1, "interrupt")
    return pins, {"s_axi": "slave"}


_BLOCKS = {
    "zynq_ultra_ps_e": _processing_system,
    "clk_wiz": _clock_wizard,
    "proc_sys_reset": _reset,
    "smartconnect": _smartconnect,
    "axi_interconnect": _interconnect,
    "axi_intc": _interrupt_controller,
}
