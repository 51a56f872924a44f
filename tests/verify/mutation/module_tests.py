"""The tests of single modules, on a mutant that the workload has let pass."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

from moesaic.sim.machines.rtl_directories import RTL_DIRECTORIES
from moesaic.sim.machines.source_closure import source_closure

_REPOSITORY = Path(__file__).resolve().parents[3]
_CALL = re.compile(r'run_module_test\(\s*"(\w+)"')
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_SECONDS = 900.0


@functools.cache
def tests_of(module: str) -> tuple[str, ...]:
    """Test files that simulate this module alone or in a bench, those of the fewest modules first."""
    found: list[tuple[int, str]] = []
    for path in sorted((_REPOSITORY / "tests" / "sim").glob("test_*.py")):
        for top in set(_CALL.findall(path.read_text(encoding="utf-8"))):
            names = {source.stem for source in source_closure(top, RTL_DIRECTORIES)}
            if module in names:
                found.append((len(names), path.relative_to(_REPOSITORY).as_posix()))
    return tuple(dict.fromkeys(path for _, path in sorted(found)))


def failing_test(module: str, mutated: Path) -> str:
    """The first test that fails where the module is the one in this directory; "" if none does.

    mutated: holds the changed file, and may hold others.
    """
    for path in tests_of(module):
        command = [
            sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider",
            "-p", "tests.verify.mutation.mutated_rtl", path,
        ]  # fmt: skip
        try:
            process = subprocess.run(
                command,
                cwd=_REPOSITORY,
                env={**os.environ, "MOESAIC_MUTATED_RTL": str(mutated)},  # for tests.verify.mutation.mutated_rtl
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{path}: no end"
        if process.returncode:
            failed = _FAILED.search(process.stdout)
            return failed[1] if failed else f"{path}: {process.stdout[-200:]}"
    return ""
