"""Parses Vivado's reports: timing summary, utilisation and power."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from moesaic.errors import InternalError

_TIMING = (
    "wns",
    "tns",
    "tns_failing",
    "tns_total",
    "whs",
    "ths",
    "ths_failing",
    "ths_total",
    "wpws",
    "tpws",
    "tpws_failing",
)
_SITES = {"CLB LUTs": "lut", "CLB Registers": "ff", "Block RAM Tile": "bram36", "URAM": "uram", "DSPs": "dsp"}
_NUMBER = r"-?\d+(?:\.\d+)?"


@dataclass(frozen=True)
class Timing:
    """Worst and total slacks in ns, and numbers of failing endpoints, for setup, hold and pulse width."""

    setup_worst: float
    setup_total: float
    setup_failing: int
    hold_worst: float
    hold_total: float
    hold_failing: int
    pulse_worst: float
    pulse_failing: int

    @property
    def met(self) -> bool:
        """Whether no slack is negative."""
        return min(self.setup_worst, self.hold_worst, self.pulse_worst) >= 0

    def highest_clock_mhz(self, clock_mhz: float) -> float:
        """The clock at which setup would just be met if only the period changed. clock_mhz: the clock of the report."""
        return 1000 / (1000 / clock_mhz - self.setup_worst)

    def to_dict(self) -> dict:
        """The fields and `met`, for a manifest."""
        return {**asdict(self), "met": self.met}


def parse_timing(text: str) -> Timing:
    """The slacks in the table `Design Timing Summary` of report_timing_summary.

    Raises InternalError if the table is missing or a slack is NA (the design has no constrained path).
    """
    section = text.partition("Design Timing Summary")[2]
    row = re.search(rf"^\s+WNS\(ns\).*\n[\s-]+\n((?:\s+(?:{_NUMBER}|NA))+)\s*$", section, re.MULTILINE)
    if row is None:
        raise InternalError("the timing report has no table `Design Timing Summary`")
    words = row[1].split()
    if "NA" in words[: len(_TIMING)]:
        raise InternalError("the timing report has a slack of NA: the design has no constrained path")
    value = dict(zip(_TIMING, map(float, words)))
    return Timing(
        setup_worst=value["wns"],
        setup_total=value["tns"],
        setup_failing=int(value["tns_failing"]),
        hold_worst=value["whs"],
        hold_total=value["ths"],
        hold_failing=int(value["ths_failing"]),
        pulse_worst=value["wpws"],
        pulse_failing=int(value["tpws_failing"]),
    )


def user_uncertainty_ns(text: str) -> float:
    """The largest uncertainty that set_clock_uncertainty added to a path in report_timing_summary, ns; 0 if none did."""
    found = re.findall(rf"User Uncertainty\s*\(UU\):\s*({_NUMBER})ns", text)
    return max(map(float, found), default=0.0)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def parse_utilization(text: str) -> dict[str, dict[str, float]]:
    """The resources of a whole design from report_utilization: lut, ff, bram36, uram, dsp, each "used" and "available".

    Raises InternalError if one of them is missing.
    """
    found: dict[str, dict[str, float]] = {}
    header: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            continue
        cells = _cells(line)
        if cells[0] == "Site Type":
            header = cells
        name = _SITES.get(cells[0].rstrip("*"))
        if name and name not in found and len(cells) == len(header):
            row = dict(zip(header, cells))
            found[name] = {"used": float(row["Used"]), "available": float(row["Available"])}
    missing = sorted(set(_SITES.values()) - set(found))
    if missing:
        raise InternalError(f"the utilisation report says nothing of {', '.join(missing)}")
    return found


def parse_hierarchy(text: str, instances: tuple[str, ...]) -> dict[str, float]:
    """The resources that the named instances use together, from report_utilization -hierarchical: lut, those of them that are
    memories or shift registers, ff, bram36, uram, dsp.

    Raises InternalError if an instance is missing.
    """
    total: dict[str, float] = dict.fromkeys(("lut", "lut_memory", "ff", "bram36", "uram", "dsp"), 0.0)
    header: list[str] = []
    wanted = set(instances)
    for line in text.splitlines():
        if not line.startswith("|"):
            continue
        cells = _cells(line)
        if cells[0] == "Instance":
            header = cells
        elif cells[0] in wanted and len(cells) == len(header):
            wanted.remove(cells[0])
            row = dict(zip(header, cells))
            total["lut"] += float(row["Total LUTs"])
            total["lut_memory"] += float(row["LUTRAMs"]) + float(row["SRLs"])
            total["ff"] += float(row["FFs"])
            total["bram36"] += float(row["RAMB36"]) + float(row["RAMB18"]) / 2
            total["uram"] += float(row["URAM"])
            total["dsp"] += float(row["DSP Blocks"] if "DSP Blocks" in row else row["DSP48 Blocks"])
    if wanted:
        raise InternalError(f"the hierarchical utilisation report has no instance {', '.join(sorted(wanted))}")
    return total


def parse_power(text: str) -> float:
    """Total on-chip power in W from report_power: Vivado's estimate, without measured activity.

    Raises InternalError if the report lacks it.
    """
    found = re.search(rf"^\|\s*Total On-Chip Power \(W\)\s*\|\s*({_NUMBER})", text, re.MULTILINE)
    if found is None:
        raise InternalError("the power report has no line `Total On-Chip Power (W)`")
    return float(found[1])
