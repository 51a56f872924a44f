"""Measure coverage as a campaign, and write its report."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import tomllib
from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.workers import OpenWorkers, in_this_process
from moesaic.files import write_file
from tests.verify.coverage.exclusions import load_exclusions
from tests.verify.coverage.figures import by_module
from tests.verify.coverage.measurement import case_of
from tests.verify.coverage.page import as_json, as_markdown, summary
from tests.verify.coverage.plan import LIST, load_plan, seen_rows, spelled_out
from tests.verify.coverage.points import Counts
from tests.verify.coverage.workloads import TINY, Workload, chosen
from tests.verify.python_sources import REPOSITORY

OUTPUT = REPOSITORY / "build" / "verify"
_CACHE = REPOSITORY / "build" / "test-cache"


def run(
    workloads: list[Workload] | None = None,
    *,
    machine: str = TINY,
    workers: OpenWorkers | None = None,
    output: Path = OUTPUT,
    console: Console | None = None,
) -> dict[str, float]:
    """Run what has no result yet, write JSON and page (`report_name`) below `output`, and return {"line", "branch", "toggle", "plan"}.

    workloads: None for all of the machine. The plan is of the tiny one: another has no "plan". Percentages are 0 to 100, of what was
    run; a workload whose tests fail is named in the report and adds nothing. workers: None for this process.
    """
    console = console or Console()
    os.environ.setdefault("XDG_CACHE_HOME", str(_CACHE))
    counts, plan, programs, outcomes = Counts(), Counter[str](), set[str](), dict[str, Any]()
    cases = [case_of(workload) for workload in (chosen([], machine) if workloads is None else workloads)]
    for outcome in run_campaign(
        cases,
        workers or in_this_process(),
        kept=output / "coverage",
        console=console,
        title="coverage",
        total=len(cases),
    ):
        if outcome.error is not None:
            outcomes[outcome.case.title] = f"failed: {outcome.error}"
            console.print(f"{outcome.case.title}: {outcome.error}", markup=False, highlight=False)
            continue
        result = outcome.result
        counts.add(Counts.unpacked(result["counts"]))
        plan.update(result["plan"])
        programs |= set(result["programs"])
        outcomes[outcome.case.title] = f"{result['simulations']} simulations"
        console.print(f"{outcome.case.title}: {outcomes[outcome.case.title]}", markup=False, highlight=False)
    exclusions, rows = load_exclusions(machine), load_plan() if machine == TINY else []
    modules, seen = by_module(counts, exclusions), seen_rows(rows, plan, programs)
    name = report_name(machine)
    write_file(output / f"{name}.json", json.dumps(as_json(modules, rows, seen, outcomes), indent=1).encode())
    page = as_markdown(modules, rows, seen, outcomes, exclusions, impossible_points())
    write_file(output / f"{name}.md", page.encode())
    return summary(modules, rows, seen)


def report_name(machine: str) -> str:
    """The name of a machine's report, without its suffix."""
    return "coverage" if machine == TINY else f"coverage-{machine}"


def impossible_points() -> dict[str, str]:
    """Points of the simulator that the plan leaves out, to the reason."""
    entries = tomllib.loads(LIST.read_text(encoding="utf-8"))["impossible"]
    return {
        point: entry["reason"] for entry in entries for pattern in entry["points"] for point in spelled_out(pattern)
    }
