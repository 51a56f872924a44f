"""A project folder for Vivado: everything that the tool needs to make a bitstream, movable to the machine that has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moesaic.files import read_manifest, sha256_of, write_directory
from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.hls.hardware.resource_estimate import check_fit
from moesaic.hls.vendor.tool_runs import hls_invocations
from moesaic.hls.vendor.vitis.project import kernel_sources, scripts
from moesaic.hls.vendor.vitis.project import settings as vitis_settings
from moesaic.hls.vendor.vivado.workspace import workspace_files
from moesaic.spec.board import board_of
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.vendor_tools import VITIS_HLS, VITIS_RUN, VIVADO

MANIFEST = "project.json"
FORMAT, VERSION = "moesaic vivado project", 1
KERNEL = "kernel"
"""Folder of the Vitis HLS project in a project of the engine hls."""
RESULTS = "results"


@dataclass(frozen=True)
class ProjectOptions:
    """engine: "rtl" or "hls". clock_mhz: asked for. jobs: most processes that Vivado may start. floorplan: whether the array is kept
    to clock regions of its own. board_files: folder of board files, or "" for those that Vivado brings.
    """

    engine: str
    clock_mhz: float
    jobs: int
    floorplan: bool = False
    board_files: str = ""


@dataclass(frozen=True)
class Project:
    """What a project folder says of itself. sources_sha256: of all of the accelerator's sources."""

    configuration: HardwareConfiguration
    board: dict
    engine: str
    clock_mhz: float
    sources_sha256: str


def _kernel_files(configuration: HardwareConfiguration, clock_mhz: float) -> dict[str, bytes]:
    """The Vitis HLS project that exports the kernel as an IP, below KERNEL."""
    files = {f"src/{name}": text for name, text in kernel_sources(configuration).items()}
    files |= {**scripts(), "settings.tcl": vitis_settings(configuration, clock_mhz)}
    return {f"{KERNEL}/{name}": text.encode() for name, text in files.items()}


def _sources_hash(sources: Mapping[str, bytes]) -> str:
    return sha256_of(b"".join(f"{name}\0{sha256_of(content)}\n".encode() for name, content in sorted(sources.items())))


def commands(engine: str) -> list[str]:
    """What to enter in the project folder, one after the other."""
    run = hls_invocations()[VITIS_RUN.range]
    return [*([f"{run} {KERNEL}/export.tcl"] if engine == "hls" else []), "vivado -mode batch -source vivado.tcl"]


def _readme(configuration: HardwareConfiguration, options: ProjectOptions) -> str:
    board = board_of(configuration)
    run, classic = (hls_invocations()[tool.range] for tool in (VITIS_RUN, VITIS_HLS))
    command = " && ".join(commands(options.engine))
    hls = [
        f"- Vitis HLS: `{VITIS_RUN.program}`, {VITIS_RUN.range}; in {VITIS_HLS.range} also `{VITIS_HLS.program}`,",
        f"  with `{classic}` in place of `{run}`",
    ]
    lines = [
        f"# {configuration.name} for the {board.title}",
        "",
        f"A project for Vivado: engine {options.engine}, {options.clock_mhz:g} MHz, fingerprint {configuration.fingerprint}.",
        "Nothing in this folder names another place, so it may lie anywhere, in a path without spaces. Neither Python nor moesaic",
        "is needed to run it. Here:",
        "",
        f"    {command}",
        "",
        "It leaves `results/` with `accel.bit`, `accel.hwh` and the reports, or ends with a line that begins with `ERROR:`.",
        "Brought back to where moesaic is, the folder becomes a bitstream that `moesaic deploy` finds, if its timing is met:",
        "",
        "    moesaic bitstream --collect FOLDER",
        "",
        "## What it needs",
        "",
        f"- Vivado {VIVADO.range}, with a licence for {board.part}",
        *(hls if options.engine == "hls" else []),
        f"- its board files for `{board.board_part}`; others than Vivado's own are named as `board_files` in `settings.tcl`",
        "",
        "## What is in it",
        "",
        "| file | what |",
        "|---|---|",
        "| `settings.tcl` | all that differs between configurations, boards and engines: clock, ports, addresses, strategies, jobs |",
        "| `rtl/` | SystemVerilog, and the Verilog wrapper that is packaged as an IP |",
        *(["| `kernel/` | the Vitis HLS project of the kernel |"] if options.engine == "hls" else []),
        "| `vivado.tcl` | runs the scripts below |",
        "| `board_files.tcl` | finds the board's preset |",
        "| `package_ip.tcl` | packages the RTL |",
        "| `block_design.tcl` | processing system, clocks, interconnect, addresses |",
        "| `implementation.tcl` | synthesis, implementation, bitstream, reports |",
        "| `constraints.tcl` | a timing exception |",
        "| `before_placement.tcl`, `before_routing.tcl` | a margin that placement has to keep and routing may use |",
        f"| `floorplan.tcl` | a pblock for the array, {'in use' if options.floorplan else 'not in use'} (`floorplan` in `settings.tcl`) |",
        f"| `{MANIFEST}` | configuration, board with the sources of its data, hashes of all files |",
        "",
        "No Vivado had run these scripts when they were written; see docs/bitstreams.md of moesaic for what has been shown without it.",
    ]  # fmt: skip
    return "\n".join([*lines, ""])


def write_project(configuration: HardwareConfiguration, options: ProjectOptions, directory: Path) -> None:
    """Write the project folder, whole or not at all; an earlier one there is replaced, and the tools' own files in it stay.

    UserError if the configuration has no board or does not fit its device, or the folder is another's.
    """
    board = board_of(configuration)
    check_fit(configuration)
    files = workspace_files(
        configuration, board, options.engine, options.clock_mhz, options.jobs, options.floorplan, options.board_files
    )
    if options.engine == "hls":
        files |= _kernel_files(configuration, options.clock_mhz)
    files["README.md"] = _readme(configuration, options).encode()
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "configuration": configuration.to_dict(),
        "fingerprint": configuration.fingerprint,
        "board": board.to_dict(),
        "engine": options.engine,
        "clock_mhz": options.clock_mhz,
        "floorplan": options.floorplan,
        "sources_sha256": _sources_hash(accelerator_sources(configuration)),
    }
    write_directory(directory, MANIFEST, manifest, files)


def read_project(directory: Path) -> Project:
    """What a project folder was written for. UserError if it is none, or its record was altered."""
    remedy = "name a folder that `moesaic bitstream --project-only` wrote"
    manifest = read_manifest(directory, MANIFEST, FORMAT, VERSION, remedy)
    return Project(
        HardwareConfiguration.from_dict(manifest["configuration"]),
        manifest["board"],
        manifest["engine"],
        manifest["clock_mhz"],
        manifest["sources_sha256"],
    )
