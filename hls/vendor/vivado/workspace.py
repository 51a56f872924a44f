"""The files that Vivado works on: RTL, wrapper, settings and scripts for a configuration and an engine."""

from __future__ import annotations

from importlib import resources

from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.hls.hardware.register_files import IP_XACT_ACCESS
from moesaic.hls.vendor.vivado.wrapper import INTERRUPT, MODULE, interfaces, wrapper
from moesaic.spec.board import Board
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.registers import REGISTER_FILE_BYTES, REGISTERS

SYNTHESIS_STRATEGY = "Flow_PerfOptimized_high"
IMPLEMENTATION_STRATEGY = "Performance_ExplorePostRoutePhysOpt"
_SLICE = "rtl/moesaic_dsp48_mac.sv"
_INSTANTIATED = b"`define MOESAIC_DSP48E2\n"
"""In front of the slice's source: a define of the project would not travel with the packaged IP."""
_SCRIPTS = (
    "vivado.tcl", "board_files.tcl", "package_ip.tcl", "block_design.tcl", "implementation.tcl", "constraints.tcl",
    "before_placement.tcl", "before_routing.tcl", "floorplan.tcl",
)  # fmt: skip


def memory_map(board: Board, engine: str, load_ports: int) -> dict[str, str]:
    """AXI master to the board's memory port that it connects to.

    The load ports take the memory ports in turn; the master for instructions and results, which moves the least data, shares the
    port that has the fewest masters. The kernel of the HLS engine has a single load port.
    """
    masters = [name for name in interfaces("rtl", load_ports) if name.startswith("m_axi_load")]
    if engine == "hls":
        masters = ["m_axi_load"]
    there = board.ports.memory
    ports = {master: there[index % len(there)] for index, master in enumerate(masters)}
    taken = list(ports.values())
    least = min(there, key=lambda port: (taken.count(port), port != there[1 % len(there)]))
    return {**ports, "m_axi_main": least}


def settings(
    configuration: HardwareConfiguration,
    board: Board,
    engine: str,
    clock_mhz: float,
    jobs: int,
    floorplan: bool = False,
    board_files: str = "",
) -> str:
    """Text of settings.tcl: everything that differs between configurations, boards and engines.

    engine: "rtl" or "hls".
    jobs: most processes that Vivado may start.
    floorplan: whether the array gets a pblock.
    board_files: folder of board files, or "" for those that Vivado brings.
    """
    values = {
        "part": board.part,
        "board_part": board.board_part,
        "board_files": board_files,
        "engine": engine,
        "fingerprint": configuration.fingerprint,
        "top": MODULE,
        "interrupt": INTERRUPT,
        "interfaces": " ".join(interfaces(engine, configuration.load_ports)),
        "memory_map": " ".join(f"{k} {v}" for k, v in memory_map(board, engine, configuration.load_ports).items()),
        "ddr_ranges": " ".join(f"{part.segment} {{{part.base:#x} {part.bytes:#x}}}" for part in board.ddr.ranges),
        "control_port": board.ports.control,
        "control_address": f"0x{board.ports.control_address:08x}",
        "control_bytes": str(REGISTER_FILE_BYTES),
        "register_map": " ".join(
            f"{register.name} 0x{register.offset:03x} {IP_XACT_ACCESS[register.access]} {{{register.doc}}}"
            for register in REGISTERS
        ),
        "interrupt_pin": board.ports.interrupt,
        "interrupt_controller_address": f"0x{board.ports.interrupt_controller_address:08x}",
        "clock_mhz": f"{clock_mhz:.3f}",
        "floorplan": str(int(floorplan)),
        "synthesis_strategy": SYNTHESIS_STRATEGY,
        "implementation_strategy": IMPLEMENTATION_STRATEGY,
        "jobs": str(jobs),
    }
    head = f"# configuration {configuration.name}, fingerprint {configuration.fingerprint}\n"
    return head + "".join(f"set {name} {{{value}}}\n" for name, value in values.items())


def workspace_files(
    configuration: HardwareConfiguration,
    board: Board,
    engine: str,
    clock_mhz: float,
    jobs: int,
    floorplan: bool = False,
    board_files: str = "",
) -> dict[str, bytes]:
    """Every file that Vivado's scripts read: path to content; see settings(). The HLS engine also needs the kernel's IP."""
    sources = accelerator_sources(configuration)
    files = {path: content for path, content in sources.items() if path.startswith("rtl/") and path.endswith(".sv")}
    files[_SLICE] = _INSTANTIATED + files[_SLICE]
    files[f"rtl/{MODULE}.v"] = wrapper(configuration, engine).encode()
    text = settings(configuration, board, engine, clock_mhz, jobs, floorplan, board_files)
    files["settings.tcl"] = text.encode()
    folder = resources.files("moesaic.hls.vendor").joinpath("tcl")
    return {**files, **{name: folder.joinpath(name).read_bytes() for name in _SCRIPTS}}
