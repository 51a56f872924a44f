"""The tests of single modules, on mutants that the workload has let pass.

All mutants of a module from one source stand in one copy of its file, so each bench is compiled once for all of them.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from moesaic.errors import InternalError
from moesaic.sim.machines.rtl_directories import RTL_DIRECTORIES
from moesaic.sim.machines.source_closure import source_closure
from tests.verify.mutation import netlist_mutants
from tests.verify.mutation.designs import module_with
from tests.verify.mutation.operators import Mutation
from tests.verify.mutation.schemata import SELECTED
from tests.verify.python_sources import REPOSITORY

_CALL = re.compile(r'run_module_test\(\s*"(\w+)"')
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_SECONDS = 1800.0
_NONE_FAILED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
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


def failing_test(path: str, source: str, mutants: Sequence[Mutation], number: int) -> str:
    """The first test of the file `path` that fails with the mutant of this number, from 1, and not without it; "" if none does.

    mutants: of one module, from one of SOURCES; the benches are compiled with all of them. A test that looks at what a netlist has under
    another name, or not at all, fails without a mutant, and says nothing. Raises InternalError if any other test does.
    """
    mutant = mutants[number - 1]
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        mutated = Path(scratch)
        (mutated / f"{_PACKAGE_NAME}.sv").write_text(_PACKAGE, encoding="utf-8")
        (mutated / f"{mutant.module}.sv").write_bytes(module_with(source, mutants))
        instances = {mutant.module: netlist_mutants.parameters_of(mutant)} if source == "netlist" else {}
        run = functools.partial(_failure, mutated=mutated, instances=instances)
        blind: list[str] = []
        while output := run(path, number=number, without=blind):
            failed = _FAILED.search(output)
            if failed and not run(failed[1], number=0):
                return failed[1]
            if not failed or source != "netlist" or failed[1] in blind:
                raise InternalError(
                    f"{failed[1] if failed else path} fails without a mutant of {mutant.module}:\n{output[-2000:]}"
                )
            blind.append(failed[1])
        return f"{path}: no end" if output is None else ""


def _failure(
    tests: str, *, mutated: Path, instances: Mapping[str, Mapping[str, str]], number: int, without: Sequence[str] = ()
) -> str | None:
    """What pytest says of tests that fail on the RTL in `mutated`, "" if none does; None if they do not end.

    instances: where a module has its mutants by its parameters, otherwise everywhere. without: tests that are left out.
    """
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider",
        "-p", "tests.verify.mutation.mutated_rtl", *(f"--deselect={test}" for test in without), tests,
    ]  # fmt: skip
    chosen = {"RTL": str(mutated), "INSTANCES": json.dumps(instances), "MUTANT": str(number)}
    try:
        process = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **{f"MOESAIC_MUTATED_{name}": value for name, value in chosen.items()}},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return "" if process.returncode in _NONE_FAILED else process.stdout + process.stderr
