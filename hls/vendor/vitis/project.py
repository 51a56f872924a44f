"""Writes a Vitis HLS project: src/ (the kernel for one configuration), tb/ (test bench), vectors/ (golden vectors), *.tcl."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from moesaic.files import require_writable, write_directory
from moesaic.hls.compiler.arena import round_up
from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.hls.vendor.tool_runs import require_plain_path
from moesaic.hls.vendor.vitis.testbench_data import GoldenRun, golden_run, random_picture
from moesaic.spec.board import board_of
from moesaic.spec.build import Build
from moesaic.spec.clock import CLOCK_MHZ
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.dram_timing import BEAT_BYTES
from moesaic.spec.executor import WINDOW_ALIGNMENT

MANIFEST = "vitis.json"
FORMAT, VERSION = "moesaic vitis project", 1
_CLOCK_UNCERTAINTY_NS = 0.4
"""Margin for routing: 12 % of the period, of the order of the Vitis HLS default (27 %) and of what a placed array needs."""
_TOP = "kernel.cpp"
STEPS = ("csim", "csynth", "cosim", "export")
"""The steps of the flow; each has a script, `<step>.tcl`."""
_SCRIPTS = ("hls_project.tcl", *(f"{step}.tcl" for step in STEPS))
_NOT_OF_THE_KERNEL = ("emulator.cpp",)


def kernel_sources(configuration: HardwareConfiguration, memory_beats: int | None = None) -> dict[str, str]:
    """The kernel's C++ sources: file name to text.

    memory_beats: depth of the kernel's memory ports in co-simulation, in beats of 16 bytes; None if there is no co-simulation.
    """
    sources = {}
    for path, content in accelerator_sources(configuration).items():
        folder, name = path.split("/")
        if folder == "cpp" and name not in _NOT_OF_THE_KERNEL:
            sources[name] = content.decode()
    if memory_beats is not None:
        header = sources["memory_depth.hpp"]
        sources["memory_depth.hpp"] = re.sub(r"(MEMORY_BEATS = )[^;]+;", rf"\g<1>{memory_beats};", header)
    return sources


def settings(configuration: HardwareConfiguration, clock_mhz: float = CLOCK_MHZ) -> str:
    """Text of settings.tcl, what the scripts need to know about a configuration. Raises UserError for an unknown board."""
    return (
        f"# configuration {configuration.name}, fingerprint {configuration.fingerprint}\n"
        f"set part {board_of(configuration).part}\n"
        f"set clock_period {1000 / clock_mhz:.3f}\n"
        f"set clock_uncertainty {_CLOCK_UNCERTAINTY_NS}\n"
    )


def scripts() -> dict[str, str]:
    """The Tcl scripts, which are the same for every project: file name to text."""
    folder = resources.files("moesaic.hls.vendor").joinpath("tcl")
    return {name: folder.joinpath(name).read_text(encoding="utf-8") for name in _SCRIPTS}


def _cases(build: Build, runs: Sequence[GoldenRun], bases: tuple[int, int]) -> str:
    """Text of cases.hpp: sizes, addresses and the counter values that each run must reach."""
    numbers = (
        ("uint64_t", "CONSTANT_BASE", bases[0]),
        ("uint32_t", "CONSTANT_BYTES", build.constants.size),
        ("uint64_t", "FRAME_BASE", bases[1]),
        ("uint32_t", "FRAME_BYTES", build.frame_bytes),
        ("int", "CASES", len(runs)),
    )
    lines = [f"// Generated from build {build.name}; do not edit.", "#ifndef CASES_HPP", "#define CASES_HPP", ""]
    lines += ["#include <cstdint>", "", *(f"const {type_} {name} = {value};" for type_, name, value in numbers)]
    names = ("program_offset", "program_size", "instructions", "matmul_array", "read_beats", "write_beats")
    lines += ["", "struct Case {", "  const char *name;", *(f"  uint32_t {name};" for name in names), "};", ""]
    lines.append("const Case CASE[CASES] = {")
    for run in runs:
        counted = (run.counters[name] for name in names[2:])
        values = ", ".join(str(value) for value in (run.program.offset, run.program.size, *counted))
        lines.append(f'    {{"{run.task}", {values}}},')
    return "\n".join([*lines, "};", "", "#endif", ""])


def project_files(build: Build, runs: Sequence[GoldenRun], clock_mhz: float = CLOCK_MHZ) -> dict[str, bytes]:
    """Every file of the project: path to content.

    runs: golden runs of this build, at least one; co-simulation uses the first.
    clock_mhz: target clock.
    """
    constant_base = WINDOW_ALIGNMENT  # a guard page below it
    frame_base = constant_base + round_up(build.constants.size, WINDOW_ALIGNMENT)
    memory_beats = (frame_base + build.frame_bytes) // BEAT_BYTES
    bench = resources.files("moesaic.hls.vendor").joinpath("vitis", "testbench.cpp").read_text(encoding="utf-8")
    files = {f"src/{name}": text for name, text in kernel_sources(build.configuration, memory_beats).items()}
    files |= {"tb/testbench.cpp": bench, "tb/cases.hpp": _cases(build, runs, (constant_base, frame_base))}
    files |= {**scripts(), "settings.tcl": settings(build.configuration, clock_mhz)}
    vectors = {"vectors/constants.bin": build.constants.tobytes()}
    for run in runs:
        vectors[f"vectors/{run.task}.before.bin"] = run.before.tobytes()
        vectors[f"vectors/{run.task}.after.bin"] = run.after.tobytes()
    return {**{path: text.encode() for path, text in files.items()}, **vectors}


def manifest(build: Build, runs: Sequence[GoldenRun]) -> dict:
    """Content of vitis.json: the build, configuration and tasks for which the project was made."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "build": build.name,
        "configuration": build.configuration.to_dict(),
        "fingerprint": build.fingerprint,
        "tasks": [run.task for run in runs],
    }


def write_project(build: Build, tasks: Sequence[str], seed: int, directory: Path, clock_mhz: float = CLOCK_MHZ) -> None:
    """Write a project with golden vectors for these tasks (or TASK@ALTERNATIVE) on the random picture of a seed.

    Raises UserError, before anything is run, for an unknown task, or for a directory that cannot be written or that AMD's tools
    cannot work in.
    """
    for task in tasks:
        build.task(task)
    require_plain_path(directory)
    require_writable(directory)
    image = random_picture(build, seed)
    runs = [golden_run(build, task, image) for task in tasks]
    write_directory(directory, MANIFEST, manifest(build, runs), project_files(build, runs, clock_mhz))
