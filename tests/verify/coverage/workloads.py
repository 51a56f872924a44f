"""What is run for coverage: parts of the RTL suite and whole tiny frames, each a case of a campaign."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key
from moesaic.campaign.progress import say
from moesaic.errors import UserError
from moesaic.sim.machines.coverage_data import PROGRAMS_SUFFIX, VARIABLE
from moesaic.spec.isa import INSTRUCTION_BYTES
from tests.verify.coverage.plan import points_of_programs
from tests.verify.coverage.points import Counts, accelerator_modules, read_counts

REPOSITORY = Path(__file__).resolve().parents[3]
_SOURCES = (
    "hls/hardware/rtl",
    "hls/compiler",
    "spec",
    "sim/machines",
    "sim/bench_kit",
    "tests/sim",
    "tests/verify/coverage",
    "configs",
)
_LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class Workload:
    """A selection of tests.

    what: for people. tests: files or test ids. keyword: of pytest's -k, "" for all. full_size: the zcu104 machine.
    """

    name: str
    what: str
    tests: tuple[str, ...]
    keyword: str = ""
    full_size: bool = False


_INSTRUCTIONS = "tests/sim/test_instructions.py"
_ACCELERATOR = "tests/sim/test_accelerator.py"
_TINY = "rtl-tiny"
_UNITS = (
    "control", "kernel_control", "fetch", "issue", "semaphores", "load", "store", "matmul", "vector", "route", "memories", "gelu_table",
    "isqrt", "reciprocal", "requantise", "packed_dot", "exp2", "dsp48_mac", "round_robin", "read_ports",
)  # fmt: skip

WORKLOADS = (
    Workload("plan points", "what the plan asks and random programs do not do", ("tests/sim/test_plan_points.py",)),
    Workload("frames, one expert", "a whole frame with one expert", ("tests/hls/test_one_expert.py",), "rtl"),
    Workload("frames, 4-bit experts", "whole frames, experts of 4 and of 8 bits", ("tests/system/test_expert_bits.py",), "rtl"),
    Workload("random programs", "all units at once", (f"{_ACCELERATOR}::test_random_program",)),
    Workload(
        "bus errors", "every kind of error on the bus",
        (f"{_ACCELERATOR}::test_bus_errors", f"{_ACCELERATOR}::test_windows_are_not_left"),
    ),
    Workload(
        "stops", "timeouts and stops at random moments",
        (f"{_ACCELERATOR}::test_stopped_at_any_moment", f"{_ACCELERATOR}::test_stopped_by_the_host_at_any_moment"),
    ),
    Workload("limits", "both sides of every limit of every field", (f"{_INSTRUCTIONS}::test_both_sides_of_every_limit",), _TINY),
    Workload("faults", "every fault that a program can be the cause of", (f"{_INSTRUCTIONS}::test_fault",), _TINY),
    Workload("instructions", "random fields and operands of each instruction", (f"{_INSTRUCTIONS}::test_instruction",), _TINY),
    Workload(
        "other instructions", "shared memory, degenerate routes, overlapping units, shifts",
        (_INSTRUCTIONS,), f"{_TINY} and not test_instruction and not test_both_sides and not test_fault",
    ),
    *(Workload(f"unit {name}", "a module in its own bench", (f"tests/sim/test_{name}.py",), "not zcu104") for name in _UNITS),
    Workload("full-size frames", "whole frames on the zcu104 machine", ("tests/system/test_full_size.py",), full_size=True),
)  # fmt: skip


def chosen(names: list[str], full_size: bool) -> list[Workload]:
    """The workloads of these names, or all of the tiny or of the full-size machine. UserError for an unknown name."""
    by_name = {workload.name: workload for workload in WORKLOADS}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise UserError(f"unknown workload {', '.join(unknown)}; known: {', '.join(by_name)}")
    return [by_name[name] for name in names] or [w for w in WORKLOADS if w.full_size == full_size]


def case_of(workload: Workload) -> Case:
    """The workload as a case: its result is kept for as long as neither the design nor the tests change."""
    settings = {"sources": _sources(), "tests": list(workload.tests), "keyword": workload.keyword}
    return Case(content_key(settings), workload.name, measure, (workload,))


def _sources() -> str:
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in (".sv", ".py", ".cpp", ".hpp", ".toml", ".vlt") and "__pycache__" not in path.parts:
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
            command, cwd=REPOSITORY, env={**os.environ, VARIABLE: scratch}, capture_output=True, text=True, check=False
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
