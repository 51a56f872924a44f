"""A workload as a case of a campaign: its tests run on simulators that count."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key
from moesaic.campaign.progress import say
from moesaic.errors import UserError
from moesaic.sim.machines.coverage_data import PROGRAMS_SUFFIX, VARIABLE, WITHOUT
from moesaic.spec.isa import INSTRUCTION_BYTES
from tests.verify.coverage.plan import points_of_programs
from tests.verify.coverage.points import Counts, accelerator_modules, read_counts
from tests.verify.coverage.workloads import Workload
from tests.verify.python_sources import REPOSITORY, python_sources

_DESIGN = ("hls/hardware/rtl", "sim/machines", "sim/bench_kit", "configs")
"""What simulators are made of."""
_STARTS, _INSIDE = "sim/machines/rtl_executor.py", "sim/machines/rtl_server.py"
"""The one starts the other inside of a simulator, by its name."""
_COUNTING = ("points.py", "plan.py")
_LOG_TAIL_LINES = 20


def case_of(workload: Workload) -> Case:
    """The workload as a case: its result is kept for as long as neither the design changes nor any module that its tests import."""
    settings = {"sources": _sources(workload), "tests": list(workload.tests), "keyword": workload.keyword}
    if workload.without:
        settings["without"] = list(workload.without)
    return Case(content_key(settings), workload.name, measure, (workload,))


def _sources(workload: Workload) -> str:
    design = [
        path
        for folder in _DESIGN
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in (".sv", ".f", ".cpp", ".hpp", ".toml", ".vlt")
    ]
    tests = [REPOSITORY / test.partition("::")[0] for test in workload.tests]
    counting = [Path(__file__).with_name(name) for name in _COUNTING]
    modules = python_sources([*tests, *counting])
    if REPOSITORY / _STARTS in modules:
        modules = python_sources([*modules, REPOSITORY / _INSIDE])
    digest = hashlib.sha256()
    for path in sorted({*design, *modules}):
        digest.update(f"{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def measure(workload: Workload) -> dict[str, Any]:
    """Run a workload's tests on simulators that count.

    Returns "counts" (Counts, packed), "plan" (point to number of cycles), "programs" (points of the instruction table) and "simulations".

    Raises:
        UserError: a test fails, or none of them ran a simulator.
    """
    with tempfile.TemporaryDirectory(prefix="moesaic-coverage-") as scratch:
        directory = Path(scratch)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *workload.tests]
        if workload.keyword:
            command += ["-k", workload.keyword]
        say("simulating")
        process = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, VARIABLE: scratch, WITHOUT: " ".join(workload.without)},
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode:
            tail = "\n".join(process.stdout.splitlines()[-_LOG_TAIL_LINES:])
            raise UserError(f"the tests of '{workload.name}' end with status {process.returncode}:\n{tail}")
        say("reading what was counted")
        return collected(directory, workload.name)


def collected(directory: Path, name: str) -> dict[str, Any]:
    """What the simulators of a workload have left in a directory, as `measure` returns it. UserError if they left nothing."""
    modules = accelerator_modules()
    counts, plan, instructions = Counts(), Counter[str](), set[bytes]()
    files = [path for path in sorted(directory.glob("*.dat")) if path.stat().st_size]
    if not files:
        raise UserError(f"'{name}' ran no simulator that counts: look at its tests' selection")
    for path in files:
        counts.add(read_counts(path, modules))
    for path in directory.glob("*.plan"):
        for line in path.read_text().splitlines():
            point, _, count = line.rpartition(" ")
            plan[point] += int(count)
    for path in directory.glob(f"*{PROGRAMS_SUFFIX}"):
        content = path.read_bytes()
        instructions |= {content[at : at + INSTRUCTION_BYTES] for at in range(0, len(content), INSTRUCTION_BYTES)}
    return {
        "counts": counts.packed(),
        "plan": {point: count for point, count in sorted(plan.items()) if count},
        "programs": sorted(points_of_programs(instructions)),
        "simulations": len(files),
    }
