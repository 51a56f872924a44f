"""Run tests on a mutant of a Python file, in a process forked from one that has imported what takes long."""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from moesaic.caches import cache_directory
from moesaic.campaign.kept_results import kept_result
from moesaic.errors import InternalError
from moesaic.sim.measurements.benchmark.source_hashes import content_hash
from tests.verify.python_mutation.samples import PythonMutant
from tests.verify.python_sources import REPOSITORY, python_sources

_IMPORTED = ("numpy", "pytest", "hypothesis", "torch", "scipy")
_PASSED, _FAILED = 0, 1
_PATIENCE, _SLACK = 5, 20
"""Tests that take so many times their CPU seconds, and so many more, do not end."""


def try_mutant(mutant: PythonMutant, tests: tuple[str, ...]) -> dict[str, Any]:
    """How the first test file that notices the mutant ended, "" if none does."""
    for test in tests:
        how, _ = outcome(mutant, [test], seconds_of(test))
        if how:
            return {"by": test, "how": how}
    return {"by": "", "how": ""}


@functools.cache
def seconds_of(test: str) -> float:
    """CPU seconds of a test file without a mutant, kept until Python that it imports changes. InternalError if it fails already."""

    def measured() -> float:
        how, seconds = outcome(None, [test], None)
        if how:
            raise InternalError(f"{test} fails without a mutant already: {how}")
        return seconds

    digest = content_hash(python_sources([REPOSITORY / test]))
    return kept_result(cache_directory("python_mutants") / f"{Path(test).stem}-{digest[:16]}.json", measured)


def outcome(mutant: PythonMutant | None, tests: Sequence[str], seconds: float | None) -> tuple[str, float]:
    """How the tests ended on a mutant, None for none: "" if all passed; and the CPU seconds that they took.

    tests: files. seconds: that they take without a mutant, None if that is not known.
    """
    for name in _IMPORTED:
        importlib.import_module(name)
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = os.fork()
    if process == 0:
        _child(mutant, tests, seconds)
    _, status = os.waitpid(process, 0)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    if os.WIFSIGNALED(status):
        killer = signal.Signals(os.WTERMSIG(status)).name
        return ("no end" if killer == "SIGXCPU" else killer), took
    code = os.WEXITSTATUS(status)
    return {_PASSED: "", _FAILED: "a test failed"}.get(code, "an error before the tests"), took


def _child(mutant: PythonMutant | None, tests: Sequence[str], seconds: float | None) -> None:
    """Does not return."""
    code = 3
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        if seconds is not None:
            limit = int(_PATIENCE * seconds + _SLACK)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        if mutant is not None:
            _use(mutant)
        import pytest

        words = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist"]
        code = int(pytest.main([*words, *tests]))
    finally:
        os._exit(code)


def _use(mutant: PythonMutant) -> None:
    """From here on, importing the mutant's file executes the mutant. Forgets what has been imported of this project."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("moesaic", "tests")]:
        if not name.startswith("tests.verify.python_mutation"):
            del sys.modules[name]
    file, source = REPOSITORY / mutant.file, mutant.source()
    code = compile(source, str(file), "exec")
    plain = importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, fullname: str) -> CodeType | None:
        same = Path(self.path).resolve() == file
        return code if same else plain(self, fullname)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
