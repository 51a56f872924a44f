"""The tests of single modules, on mutants that the workload has let pass.

All mutants of a module stand in one copy of its file (schemata), so each bench is compiled once for all of them.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from moesaic.errors import InternalError
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_directories import RTL_DIRECTORIES
from moesaic.sim.machines.source_closure import source_closure
from tests.verify.mutation.operators import Mutation
from tests.verify.mutation.schemata import SELECTED, combined

REPOSITORY = Path(__file__).resolve().parents[3]
_CALL = re.compile(r'run_module_test\(\s*"(\w+)"')
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_SECONDS = 1800.0
_PACKAGE_NAME, _VARIABLE = SELECTED.split("::")
_PACKAGE = f"""// The mutant that the simulator's arguments name; 0 for none.
package {_PACKAGE_NAME};
  function automatic int named();
    named = 0;
    if (!$value$plusargs("moesaic_mutant=%d", named)) named = 0;
  endfunction
  int {_VARIABLE} = named();
endpackage
"""


@functools.cache
def tests_of(module: str) -> tuple[str, ...]:
    """Test files that simulate this module alone or in a bench, those of the fewest modules first."""
    found: list[tuple[int, str]] = []
    for path in sorted((REPOSITORY / "tests" / "sim").glob("test_*.py")):
        for top in set(_CALL.findall(path.read_text(encoding="utf-8"))):
            names = {source.stem for source in source_closure(top, RTL_DIRECTORIES)}
            if module in names:
                found.append((len(names), path.relative_to(REPOSITORY).as_posix()))
    return tuple(dict.fromkeys(path for _, path in sorted(found)))


def failing_test(path: str, mutants: Sequence[Mutation], number: int) -> str:
    """The first test of the file `path` that fails with the mutant of this number, from 1; "" if none does.

    mutants: of one module; the benches are compiled with all of them.

    Raises InternalError if the test fails without any mutant, too.
    """
    module = mutants[number - 1].module
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        mutated = Path(scratch)
        (mutated / f"{_PACKAGE_NAME}.sv").write_text(_PACKAGE, encoding="utf-8")
        text = combined((RTL_DIRECTORY / f"{module}.sv").read_bytes(), list(enumerate(mutants, 1)))
        (mutated / f"{module}.sv").write_bytes(text)
        output = _failure(path, mutated, number)
        if output is None:
            return f"{path}: no end"
        failed = _FAILED.search(output)
        if not output:
            return ""
        if not failed or _failure(failed[1], mutated, 0):
            raise InternalError(
                f"{failed[1] if failed else path} fails without a mutant of {module}:\n{output[-2000:]}"
            )
        return failed[1]


def _failure(tests: str, mutated: Path, number: int) -> str | None:
    """What pytest says of tests that fail on the RTL in `mutated`, "" if none does; None if they do not end."""
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider",
        "-p", "tests.verify.mutation.mutated_rtl", tests,
    ]  # fmt: skip
    try:
        process = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "MOESAIC_MUTATED_RTL": str(mutated), "MOESAIC_MUTANT": str(number)},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return process.stdout + process.stderr if process.returncode else ""
