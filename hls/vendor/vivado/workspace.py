"""The files that Vivado works on: RTL, wrapper, settings and scripts for a configuration and an engine."""

from __future__ import annotations

from importlib import resources

from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.hls.vendor.parts import board_part, ordering_code
from moesaic.hls.vendor.vivado.wrapper import INTERRUPT, MODULE, interfaces, wrapper
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.registers import REGISTER_FILE_BYTES, REGISTERS

CONTROL_ADDRESS = 0xA000_0000
"""Byte address at which the host finds the registers: the first page behind M_AXI_HPM0_FPD."""
INTERRUPT_CONTROLLER_ADDRESS = 0xA001_0000

MEMORY_PORTS = ("HP0", "HP1", "HP3")
"""Three of the four DDR ports: HP1 and HP2 share one port of the memory controller (AMD UG1085, DDR subsystem)."""

SYNTHESIS_STRATEGY = "Flow_PerfOptimized_high"
IMPLEMENTATION_STRATEGY = "Performance_ExplorePostRoutePhysOpt"
_SLICE = "rtl/moesaic_dsp48_mac.sv"
_INSTANTIATED = b"`define MOESAIC_DSP48E2\n"
"""In front of the slice's source: a define of the project would not travel with the packaged IP."""
_ACCESS = {"rw": "read-write", "ro": "read-only", "w1c": "read-write"}
"""Register access in IP-XACT terms, in which write-one-to-clear belongs to fields; a register's description states it."""
_SCRIPTS = ("vivado.tcl", "package_ip.tcl", "block_design.tcl", "implementation.tcl", "constraints.xdc")


def memory_map(engine: str, load_ports: int) -> dict[str, str]:
    """AXI master to the memory port that it connects to.

    The load ports take the memory ports in turn; the master for instructions and results, which moves the least data, shares the
    port that has the fewest masters. The kernel of the HLS engine has a single load port.
    """
    masters = [name for name in interfaces("rtl", load_ports) if name.startswith("m_axi_load")]
    if engine == "hls":
        masters = ["m_axi_load"]
    ports = {master: MEMORY_PORTS[index % len(MEMORY_PORTS)] for index, master in enumerate(masters)}
    taken = list(ports.values())
    least = min(MEMORY_PORTS, key=lambda port: (taken.count(port), port != "HP1"))
    return {**ports, "m_axi_main": least}


def settings(configuration: HardwareConfiguration, engine: str, clock_mhz: float, jobs: int) -> str:
    """Text of settings.tcl: everything that differs between configurations and engines.

    engine: "rtl" or "hls".
    jobs: most processes that Vivado may start.

    Raises UserError if the part is unknown or has no board.
    """
    values = {
        "part": ordering_code(configuration),
        "board_part": board_part(configuration),
        "engine": engine,
        "fingerprint": configuration.fingerprint,
        "top": MODULE,
        "interrupt": INTERRUPT,
        "interfaces": " ".join(interfaces(engine, configuration.load_ports)),
        "memory_map": " ".join(f"{k} {v}" for k, v in memory_map(engine, configuration.load_ports).items()),
        "control_address": f"0x{CONTROL_ADDRESS:08x}",
        "control_bytes": str(REGISTER_FILE_BYTES),
        "register_map": " ".join(
            f"{register.name} 0x{register.offset:03x} {_ACCESS[register.access]} {{{register.doc}}}"
            for register in REGISTERS
        ),
        "interrupt_controller_address": f"0x{INTERRUPT_CONTROLLER_ADDRESS:08x}",
        "clock_mhz": f"{clock_mhz:.3f}",
        "synthesis_strategy": SYNTHESIS_STRATEGY,
        "implementation_strategy": IMPLEMENTATION_STRATEGY,
        "jobs": str(jobs),
    }
    head = f"# configuration {configuration.name}, fingerprint {configuration.fingerprint}\n"
    return head + "".join(f"set {name} {{{value}}}\n" for name, value in values.items())


def workspace_files(configuration: HardwareConfiguration, engine: str, clock_mhz: float, jobs: int) -> dict[str, bytes]:
    """Every file of the workspace: path to content. The HLS engine also needs the kernel's IP, which goes into kernel_ip/."""
    sources = accelerator_sources(configuration)
    files = {path: content for path, content in sources.items() if path.startswith("rtl/") and path.endswith(".sv")}
    files[_SLICE] = _INSTANTIATED + files[_SLICE]
    files[f"rtl/{MODULE}.v"] = wrapper(configuration, engine).encode()
    files["settings.tcl"] = settings(configuration, engine, clock_mhz, jobs).encode()
    folder = resources.files("moesaic.hls.vendor").joinpath("tcl")
    return {**files, **{name: folder.joinpath(name).read_bytes() for name in _SCRIPTS}}
