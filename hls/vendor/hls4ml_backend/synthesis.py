"""`ModelGraph.build`: the Vitis HLS project of a model, run by AMD's tools, and their report in hls4ml's words."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from moesaic.errors import UserError
from moesaic.hls.vendor.flow import hls_absence, hls_command, run_script
from moesaic.hls.vendor.vitis.project import write_project
from moesaic.spec.build import Build

_REPORT = Path("kernel_project/solution/syn/report/kernel_csynth.xml")
_FIGURES = {
    "TargetClockPeriod": "UserAssignments/TargetClockPeriod",
    "EstimatedClockPeriod": "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod",
}


def run_vitis(
    build: Build, tasks: list[str], directory: Path, clock_period: float, steps: list[str], seed: int
) -> dict:
    """Write the project into `directory` and run its scripts; what hls4ml's reports have: "CSynthesisReport" after csynth.

    steps: of csim, csynth, cosim, export, in order. clock_period: ns. seed: of the picture of the golden vectors. UserError if
    no tool that runs them is there, or one fails.
    """
    command = hls_command()
    if command is None:
        raise UserError(
            f"build() needs {hls_absence()}, which PATH does not have; install AMD Vitis and source its settings64.sh,"
            " or stay with compile() and predict(), which need none"
        )
    write_project(build, tasks, seed, directory, 1000 / clock_period)
    for step in steps:
        run_script(command, f"{step}.tcl", directory, "vitis_hls.log")
    return {"CSynthesisReport": parse_csynth(directory / _REPORT)} if "csynth" in steps else {}


def parse_csynth(path: Path) -> dict[str, str]:
    """Clock periods (ns), resources used and "Available..." of a synthesis report of Vitis HLS, by hls4ml's names, as text.

    The kernel runs as long as its program says, so the report has no latency.
    """
    try:
        root = ElementTree.parse(path).getroot()
        figures = {name: _text(_element(root, place)) for name, place in _FIGURES.items()}
        used, available = (_element(root, f"AreaEstimates/{name}") for name in ("Resources", "AvailableResources"))
        figures |= {amount.tag: _text(amount) for amount in used}
        return figures | {f"Available{amount.tag}": _text(amount) for amount in available}
    except (OSError, ElementTree.ParseError, LookupError) as error:
        raise UserError(
            f"the synthesis report {path} cannot be read ({error}); see csynth.tcl.out of the project"
        ) from None


def _element(root: ElementTree.Element, place: str) -> ElementTree.Element:
    found = root.find(place)
    if found is None:
        raise LookupError(f"it has no {place}")
    return found


def _text(element: ElementTree.Element) -> str:
    if element.text is None:
        raise LookupError(f"{element.tag} is empty")
    return element.text
