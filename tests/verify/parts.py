"""The parts of a verification run. Each is a program of its own, which resumes where it stopped and leaves a JSON file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """A part.

    module: run with `python -m`; it takes --workers and --cluster. file: its result, in build/verify. entry: its key in
    report.json. figures: what it contributes there, from its result.
    """

    module: str
    file: str
    entry: str
    figures: Callable[[dict[str, Any]], dict[str, Any]]


def _chosen(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda result: {name: result[name] for name in names}


def _mutants(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("run", "killed", "equivalent")} | {"survived": len(result["survived"])}


def _stress(result: dict[str, Any]) -> dict[str, Any]:
    episodes, failures = sum(result["episodes"].values()), len(result["failures"])
    return {"episodes": episodes, "frames": result["frames"], "cycles": result["cycles"], "failures": failures}


PARTS = {
    "coverage": Part("tests.verify.coverage", "coverage.json", "coverage", _chosen("line", "branch", "toggle", "plan")),
    "stress": Part("tests.verify.stress", "stress.json", "stress", _stress),
    "fuzz": Part("tests.verify.fuzz", "fuzz.json", "fuzz", _chosen("programs", "rtl_programs", "files", "failures")),
    "formal": Part("tests.verify.formal", "formal.json", "properties", _chosen("proved", "bounded", "failed")),
    "mutants": Part("tests.verify.mutation", "mutants.json", "mutants", _mutants),
    "python-mutants": Part("tests.verify.python_mutation", "python_mutants.json", "python_mutants", _mutants),
}
