"""build/verify/report.json, and its table in docs/verification.md: what was asked, and what the runs gave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moesaic.campaign.kept_results import read_result
from moesaic.errors import InternalError
from tests.verify.parts import PARTS

HEADING = "## Figures"
"""Of the section that `make verify` writes."""


def collect(directory: Path) -> dict[str, dict[str, Any]]:
    """The figures of every part that has a result in the directory, by its entry in report.json."""
    results = {part.entry: (part, read_result(directory / part.file)) for part in PARTS.values()}
    return {entry: part.figures(result) for entry, (part, result) in results.items() if result is not None}


def failures(report: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What must not be: failures of fuzz and stress, failed properties, in a line each."""
    found = [("fuzz", "failures"), ("stress", "failures"), ("properties", "failed")]
    counts = [(entry, name, report[entry][name]) for entry, name in found if entry in report]
    return [f"{entry}: {count} {name}" for entry, name, count in counts if count]


def share_killed(figures: Mapping[str, Any]) -> float:
    """Killed mutants of those that are not equivalent, in percent."""
    return 100 * figures["killed"] / max(figures["run"] - figures["equivalent"], 1)


def figures_table(report: Mapping[str, Mapping[str, Any]], page: str = "") -> str:
    """A row in Markdown for every figure that is asked: the figure, what is asked, and what the runs gave.

    page: has an earlier table, whose figures stand for parts without a result; a dash where there is neither.
    """
    standing = _standing(page)
    rows = ["| figure | asked | found |", "|---|---:|---:|"]
    for what, asked, entry, written in _ROWS:
        rows.append(f"| {what} | {asked} | {written(report[entry]) if entry in report else standing[entry, what]} |")
    return "\n".join(rows)


def _standing(page: str) -> dict[tuple[str, str], str]:
    """What an earlier table gives for each figure, by part and name."""
    rows = dict.fromkeys(((entry, what) for what, _, entry, _ in _ROWS), "–")
    left = list(rows)
    for what, found in re.findall(r"^\| ([^|]*) \| [^|]*\| ([^|]*) \|$", page, re.MULTILINE):
        if left and what == left[0][1]:
            rows[left.pop(0)] = found
    return rows


def _percent(name: str) -> Any:
    return lambda figures: f"{figures[name]:.2f} %"


def _count(name: str) -> Any:
    return lambda figures: f"{figures[name]:,}"


def _killed(figures: Mapping[str, Any]) -> str:
    return f"{share_killed(figures):.1f} %"


_ROWS = (
    ("RTL, lines reached", "100 %", "coverage", _percent("line")),
    ("RTL, branches taken", "100 %", "coverage", _percent("branch")),
    ("RTL, bits moved at least three times", "97 %", "coverage", _percent("toggle")),
    ("plan of the instruction set", "100 %", "coverage", _percent("plan")),
    ("RTL mutants run", "1,000", "mutants", _count("run")),
    ("of them shown to be equivalent", "", "mutants", _count("equivalent")),
    ("killed, of the others", "95 %", "mutants", _killed),
    ("Python mutants run", "", "python_mutants", _count("run")),
    ("killed, of those that are not equivalent", "90 %", "python_mutants", _killed),
    ("properties proved for all cycles and inputs", "", "properties", _count("proved")),
    ("properties proved to a depth", "", "properties", _count("bounded")),
    ("properties that fail", "0", "properties", _count("failed")),
    ("programs on reference and C++ with sanitizers", "100,000", "fuzz", _count("programs")),
    ("programs on the RTL", "5,000", "fuzz", _count("rtl_programs")),
    ("damaged files through commands", "20,000", "fuzz", _count("files")),
    ("failures of these", "0", "fuzz", _count("failures")),
    ("episodes of stress, each with the run after it", "", "stress", _count("episodes")),
    ("frames back to back", "", "stress", _count("frames")),
    ("cycles of RTL compared in both", "millions", "stress", _count("cycles")),
    ("failures of these", "0", "stress", _count("failures")),
)


def with_figures(page: str, report: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with the table of `figures_table` as the section under HEADING, where figures of parts without a result stay.

    InternalError if it has no such section.
    """
    section = re.compile(rf"^{HEADING}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if not section.search(page):
        raise InternalError(f"the page has no section {HEADING!r}")
    return section.sub(lambda old: f"{HEADING}\n\n{figures_table(report, old[0])}\n\n", page, count=1)
