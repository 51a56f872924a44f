"""Makes `bitstreams/<configuration>-<fingerprint>/`: runs AMD's tools in project folders and keeps what they produce."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from moesaic.errors import UserError
from moesaic.files import require_writable, write_directory
from moesaic.hls.hardware.resource_estimate import check_fit, estimate_resources
from moesaic.hls.vendor.tool_runs import absence, hls_absence, hls_command, require_plain_path, run_script, usable
from moesaic.hls.vendor.vivado.clock_search import Attempt, next_clock
from moesaic.hls.vendor.vivado.project import KERNEL, RESULTS, Project, ProjectOptions, read_project, write_project
from moesaic.hls.vendor.vivado.reports import (
    Timing,
    parse_hierarchy,
    parse_power,
    parse_timing,
    parse_utilization,
    user_uncertainty_ns,
)
from moesaic.spec.board import board_of
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.vendor_tools import VIVADO

FORMAT, VERSION = "moesaic bitstream", 1
MANIFEST = "build.json"
BITSTREAM, DESCRIPTION = "accel.bit", "accel.hwh"
_REPORTS = (
    "timing_summary.rpt", "utilization.rpt", "utilization_hierarchical.rpt", "power.rpt", "drc.rpt", "failfast.rpt",
    "qor_assessment.rpt", "control_sets.rpt", "high_fanout_nets.rpt",
)  # fmt: skip
_FIGURES = ("vivado_version.txt", "clock_hz.txt")
_INSTANCES = {"rtl": ("accelerator",), "hls": ("accelerator", "kernel")}
_KERNEL_IP = Path("kernel_project/solution/impl/ip/component.xml")


def folder_name(configuration: HardwareConfiguration) -> str:
    """Name of the folder below bitstreams/ in which the host looks for a configuration's bitstream."""
    return f"{configuration.name}-{configuration.fingerprint}"


def find_tools(engine: str) -> dict[str, list[str]]:
    """The commands of the tools that an engine needs: "vivado" and, for the engine "hls", also "hls".

    Raises UserError, naming every tool that is missing.
    """
    vivado, missing = usable(VIVADO), []
    if vivado is None:
        missing.append(absence(VIVADO))
    commands = {"vivado": [str(vivado), "-mode", "batch", "-nojournal", "-log", "vivado.log", "-source"]}
    if engine == "hls":
        command = hls_command()
        if command is None:
            missing.append(hls_absence())
        else:
            commands["hls"] = command
    if missing:
        raise UserError(
            f"a bitstream with engine {engine} needs {' and '.join(missing)}, which PATH does not have; "
            "install AMD Vivado and Vitis and source their settings64.sh, run on the emulator or the RTL simulation, or write the "
            "project for another machine with --project-only DIR"
        )
    return commands


def _comparison(engine: str, estimated: dict[str, int], used: dict[str, float]) -> dict[str, dict[str, float]]:
    """Resources of the accelerator alone: what Vivado used and, for the RTL, the estimate and the ratio of the two.

    The estimate, made before place and route, is for the RTL: it says nothing about what Vitis HLS makes of the C++.
    """
    if engine != "rtl":
        return {name: {"used": used[name]} for name in estimated}
    return {
        name: {
            "estimated": amount,
            "used": used[name],
            **({"used_per_estimated": round(used[name] / amount, 3)} if amount else {}),
        }
        for name, amount in estimated.items()
    }


def describe(project: Project, timing: Timing, results: Path, attempts: Sequence[Attempt]) -> dict:
    """Content of a bitstream's build.json, from the reports of a finished run.

    timing: of the run. results: the folder of the reports. attempts: all runs that led here.

    Raises InternalError if a report lacks a figure.
    """
    used = parse_hierarchy(
        (results / "utilization_hierarchical.rpt").read_text(encoding="utf-8"), _INSTANCES[project.engine]
    )
    made_mhz = float((results / "clock_hz.txt").read_text(encoding="utf-8")) / 1e6
    return {
        "format": FORMAT,
        "version": VERSION,
        "configuration": project.configuration.to_dict(),
        "fingerprint": project.configuration.fingerprint,
        "engine": project.engine,
        "sources_sha256": project.sources_sha256,
        "board": project.board,
        "vivado": (results / "vivado_version.txt").read_text(encoding="utf-8").strip(),
        "clock_mhz": project.clock_mhz,
        "clock_made_mhz": round(made_mhz, 3),
        "highest_clock_mhz": round(timing.highest_clock_mhz(made_mhz), 1),
        "clocks_tried": [attempt.to_dict() for attempt in attempts],
        "timing": timing.to_dict(),
        "utilization": parse_utilization((results / "utilization.rpt").read_text(encoding="utf-8")),
        "accelerator": _comparison(project.engine, estimate_resources(project.configuration).to_dict(), used),
        "power_estimated_by_vivado_w": parse_power((results / "power.rpt").read_text(encoding="utf-8")),
    }


def _timing_of(results: Path) -> Timing:
    """The timing of a finished run. UserError if a file is missing, or the margin of placement is still in the report."""
    for name in (BITSTREAM, DESCRIPTION, *_FIGURES, *_REPORTS):
        if not (results / name).is_file():
            raise UserError(f"Vivado left no {name} in {results}; see what it printed in {results.parent}")
    text = (results / "timing_summary.rpt").read_text(encoding="utf-8")
    margin = user_uncertainty_ns(text)
    if margin:
        raise UserError(
            f"{results}/timing_summary.rpt has {margin:g} ns of user uncertainty, which before_routing.tcl should have taken back; "
            "its slacks are not the design's; run the project again"
        )
    return parse_timing(text)


def _missed(clock_mhz: float, timing: Timing, report: Path) -> UserError:
    """Which of setup, hold and pulse width fail, and the remedy: a slower clock helps only if setup fails."""
    worst = {"setup": timing.setup_worst, "hold": timing.hold_worst, "pulse width": timing.pulse_worst}
    slacks = ", ".join(f"{slack:g} ns in {kind}" for kind, slack in worst.items() if slack < 0)
    slower = f"ask for a clock of {timing.highest_clock_mhz(clock_mhz) - 1:.0f} MHz or auto, or " * (worst["setup"] < 0)
    return UserError(
        f"timing is not met at {clock_mhz:g} MHz: the worst slack is {slacks}; the bitstream is not kept; {slower}read {report}"
    )


def collect(directory: Path, output: Path, attempts: Sequence[Attempt] = ()) -> Path:
    """Keep the results of a project folder as `output/<configuration>-<fingerprint>/`, whole or not at all, and return that.

    attempts: the runs that led to this one; none for this one alone.

    Raises UserError if the folder is no project or holds no results, or if timing is not met.
    """
    project, results = read_project(directory), directory / RESULTS
    timing = _timing_of(results)
    if not timing.met:
        raise _missed(project.clock_mhz, timing, results / "timing_summary.rpt")
    tried = attempts or [Attempt(project.clock_mhz, timing.setup_worst)]
    target = output / folder_name(project.configuration)
    kept = {name: (results / name).read_bytes() for name in (BITSTREAM, DESCRIPTION)}
    kept |= {f"reports/{name}": (results / name).read_bytes() for name in _REPORTS}
    write_directory(target, MANIFEST, describe(project, timing, results, tried), kept)
    return target


def _run(
    configuration: HardwareConfiguration, options: ProjectOptions, tools: dict[str, list[str]], directory: Path
) -> Timing:
    """Write the project of one clock, run the tools on it and return its timing."""
    write_project(configuration, options, directory)
    shutil.rmtree(directory / RESULTS, ignore_errors=True)
    if options.engine == "hls":
        run_script(tools["hls"], "export.tcl", directory / KERNEL, "vitis_hls.log")
        if not (directory / KERNEL / _KERNEL_IP).is_file():
            raise UserError(
                f"Vitis HLS left no IP: {directory / KERNEL / _KERNEL_IP} is missing; see {directory / KERNEL}/export.tcl.out"
            )
    run_script(tools["vivado"], "vivado.tcl", directory, "vivado.log")
    return _timing_of(directory / RESULTS)


def make_bitstream(
    configuration: HardwareConfiguration, options: ProjectOptions, search: bool, output: Path, work: Path
) -> Path:
    """Run the flow and return `output/<configuration>-<fingerprint>/`, which appears complete or not at all.

    search: whether other clocks are tried after that of the options, until the highest one that is met is found.
    work: where the tools' projects and logs stay.

    Raises UserError if a tool is missing, fails or cannot work in `work`; if the configuration has no board or does not fit its
    device; or if timing is not met.
    """
    board_of(configuration)
    check_fit(configuration)
    tools = find_tools(options.engine)
    require_writable(output / folder_name(configuration))
    top = (work / f"{folder_name(configuration)}-{options.engine}").resolve()
    require_plain_path(top)
    attempts: list[Attempt] = []
    clock_mhz: float | None = options.clock_mhz
    while clock_mhz is not None:
        directory = top / f"{clock_mhz:g}-mhz"
        timing = _run(configuration, dataclasses.replace(options, clock_mhz=clock_mhz), tools, directory)
        attempts.append(Attempt(clock_mhz, timing.setup_worst))
        if min(timing.hold_worst, timing.pulse_worst) < 0 <= timing.setup_worst or not (timing.met or search):
            raise _missed(clock_mhz, timing, directory / RESULTS / "timing_summary.rpt")
        clock_mhz = next_clock(attempts) if search else None
        if search:
            then = "no other clock is tried" if clock_mhz is None else f"next: {clock_mhz:g} MHz"
            print(f"{attempts[-1].clock_mhz:g} MHz: worst setup slack {timing.setup_worst:g} ns; {then}", flush=True)
    met = [attempt.clock_mhz for attempt in attempts if attempt.met]
    if not met:
        tried = ", ".join(f"{attempt.clock_mhz:g} MHz ({attempt.slack_ns:g} ns)" for attempt in attempts)
        raise UserError(
            f"timing is met at none of the clocks tried: {tried}; ask for one below them, or read the reports in {top}"
        )
    return collect(top / f"{max(met):g}-mhz", output, attempts)
