"""`ModelGraph.build`: runs AMD's tools on the Vitis HLS project of a model, and reports under hls4ml's names."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from moesaic.errors import UserError
from moesaic.hls.vendor.tool_runs import hls_absence, hls_command, run_script
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
    """Write the project into `directory`, run its scripts, and return hls4ml's report: "CSynthesisReport" if csynth is a step.

    steps: from csim, csynth, cosim and export, in order.
    clock_period: ns.
    seed: of the picture of the golden vectors.

    Raises UserError if no tool that can run them is found, or if one fails.
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
    """Figures of a Vitis HLS synthesis report, by hls4ml's names, as text.

    They are the clock periods (ns), the resources used and, as "Available...", those of the device. The kernel runs for as long as
    its program says, so the report has no latency. Raises UserError if the report cannot be read.
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
