"""Makes `bitstreams/<configuration>-<fingerprint>/`: runs AMD's tools in a workspace and keeps what they produce."""

from __future__ import annotations

import shutil
from pathlib import Path

from moesaic.errors import UserError
from moesaic.files import require_writable, sha256_of, write_directory
from moesaic.hls.hardware.accelerator_sources import accelerator_sources
from moesaic.hls.hardware.resource_estimate import check_fit
from moesaic.hls.vendor.parts import board_part
from moesaic.hls.vendor.tool_runs import absence, hls_absence, hls_command, require_plain_path, run_script, usable
from moesaic.hls.vendor.vitis.project import kernel_sources, scripts
from moesaic.hls.vendor.vitis.project import settings as vitis_settings
from moesaic.hls.vendor.vivado.reports import parse_hierarchy, parse_power, parse_timing, parse_utilization
from moesaic.hls.vendor.vivado.workspace import workspace_files
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.vendor_tools import VIVADO

FORMAT, VERSION = "moesaic bitstream", 1
MANIFEST = "build.json"
BITSTREAM, DESCRIPTION = "accel.bit", "accel.hwh"
_WORKSPACE_MANIFEST = "workspace.json"
_REPORTS = ("timing_summary.rpt", "utilization.rpt", "utilization_hierarchical.rpt", "power.rpt", "drc.rpt")
_INSTANCES = {"rtl": ("accelerator",), "hls": ("accelerator", "kernel")}
_KERNEL_IP = Path("kernel_project/solution/impl/ip")


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
            "install AMD Vivado and Vitis and source their settings64.sh, or run on the emulator or the RTL simulation"
        )
    return commands


def _make_kernel(configuration: HardwareConfiguration, clock_mhz: float, command: list[str], directory: Path) -> None:
    """Make the kernel's IP from its C++ with Vitis HLS, in `<workspace>/kernel_ip`."""
    project = directory / "kernel"
    files = {f"src/{name}": text for name, text in kernel_sources(configuration).items()}
    files |= {**scripts(), "settings.tcl": vitis_settings(configuration, clock_mhz)}
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    run_script(command, "export.tcl", project, "vitis_hls.log")
    component = project / _KERNEL_IP / "component.xml"
    if not component.is_file():
        raise UserError(f"Vitis HLS left no IP: {component} is missing; see {project}/export.tcl.out")
    shutil.rmtree(directory / "kernel_ip", ignore_errors=True)
    shutil.copytree(project / _KERNEL_IP, directory / "kernel_ip")


def _comparison(engine: str, estimated: dict[str, int], used: dict[str, float]) -> dict[str, dict[str, float]]:
    """Resources of the accelerator alone: what Vivado used and, for the RTL, the estimate and the ratio of the two.

    The estimate, made before place and route, is for the RTL: it says nothing about what Vitis HLS makes of the C++.
    """
    if engine != "rtl":
        return {name: {"used": used[name]} for name in estimated}
    return {
        name: {"estimated": amount, "used": used[name], "used_per_estimated": round(used[name] / amount, 3)}
        for name, amount in estimated.items()
    }


def describe(configuration: HardwareConfiguration, engine: str, clock_mhz: float, results: Path) -> dict:
    """Content of a bitstream's build.json, from the reports of a finished run.

    results: the folder of the reports.

    Raises InternalError if a report lacks a figure.
    """
    timing = parse_timing((results / "timing_summary.rpt").read_text(encoding="utf-8"))
    used = parse_hierarchy((results / "utilization_hierarchical.rpt").read_text(encoding="utf-8"), _INSTANCES[engine])
    sources = sorted(accelerator_sources(configuration).items())
    return {
        "format": FORMAT,
        "version": VERSION,
        "configuration": configuration.to_dict(),
        "fingerprint": configuration.fingerprint,
        "engine": engine,
        "sources_sha256": sha256_of(b"".join(f"{name}\0{sha256_of(content)}\n".encode() for name, content in sources)),
        "board": board_part(configuration),
        "vivado": (results / "vivado_version.txt").read_text(encoding="utf-8").strip(),
        "clock_mhz": clock_mhz,
        "highest_clock_mhz": round(timing.highest_clock_mhz(clock_mhz), 1),
        "timing": timing.to_dict(),
        "utilization": parse_utilization((results / "utilization.rpt").read_text(encoding="utf-8")),
        "accelerator": _comparison(engine, check_fit(configuration).to_dict(), used),
        "power_estimated_by_vivado_w": parse_power((results / "power.rpt").read_text(encoding="utf-8")),
    }


def _missed(manifest: dict, report: Path) -> str:
    """Which of setup, hold and pulse width fail, and the remedy: a slower clock helps only if setup fails."""
    timing = manifest["timing"]
    kinds = {"setup": "setup", "hold": "hold", "pulse": "pulse width"}
    failing = [kind for kind in kinds if timing[f"{kind}_worst"] < 0]
    slacks = ", ".join(f"{timing[f'{kind}_worst']:g} ns in {kinds[kind]}" for kind in failing)
    slower = f"ask for a clock of {manifest['highest_clock_mhz'] - 1:.0f} MHz or " if "setup" in failing else ""
    return (
        f"timing is not met at {manifest['clock_mhz']:g} MHz: the worst slack is {slacks}; the bitstream is not kept;"
        f" {slower}read {report}"
    )


def make_bitstream(
    configuration: HardwareConfiguration, engine: str, clock_mhz: float, jobs: int, output: Path, work: Path
) -> Path:
    """Run the flow and return `output/<configuration>-<fingerprint>/`, which appears complete or not at all.

    engine: "rtl" or "hls".
    jobs: most processes that Vivado may start.
    work: where the tools' projects and logs stay.

    Raises UserError if a tool is missing, fails or cannot work in `work`; if the configuration has no board or does not fit its
    device; or if timing is not met.
    """
    board_part(configuration)
    check_fit(configuration)
    commands = find_tools(engine)
    target = output / folder_name(configuration)
    require_writable(target)
    directory = (work / f"{folder_name(configuration)}-{engine}").resolve()
    require_plain_path(directory)
    files = workspace_files(configuration, engine, clock_mhz, jobs)
    write_directory(directory, _WORKSPACE_MANIFEST, {"fingerprint": configuration.fingerprint}, files)
    results = directory / "results"
    shutil.rmtree(results, ignore_errors=True)
    if engine == "hls":
        _make_kernel(configuration, clock_mhz, commands["hls"], directory)
    run_script(commands["vivado"], "vivado.tcl", directory, "vivado.log")
    for name in (BITSTREAM, DESCRIPTION, "vivado_version.txt", *_REPORTS):
        if not (results / name).is_file():
            raise UserError(f"Vivado left no {name} in {results}; see {directory}/vivado.tcl.out")
    manifest = describe(configuration, engine, clock_mhz, results)
    if not manifest["timing"]["met"]:
        raise UserError(_missed(manifest, results / "timing_summary.rpt"))
    kept = {name: (results / name).read_bytes() for name in (BITSTREAM, DESCRIPTION)}
    kept |= {f"reports/{name}": (results / name).read_bytes() for name in _REPORTS}
    write_directory(target, MANIFEST, manifest, kept)
    return target
