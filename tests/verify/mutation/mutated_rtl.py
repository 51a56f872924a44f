"""A plugin of pytest: tests of modules run on mutants.

MOESAIC_MUTATED_RTL is a directory whose files replace others of their names, MOESAIC_MUTATED_MUTANT the number of a mutant. Tests that
need no file of it are skipped, and those whose design has no such instance as MOESAIC_MUTATED_INSTANCES asks for, parameters by module.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from moesaic.sim.bench_kit import runner
from moesaic.sim.machines import verilator
from moesaic.sim.machines.cocotb_process import simulator_arguments
from tests.verify.mutation.operators import parameter_sets

_mutated, _mutant = Path(os.environ["MOESAIC_MUTATED_RTL"]), os.environ["MOESAIC_MUTATED_MUTANT"]
_instances: dict[str, dict[str, str]] = json.loads(os.environ["MOESAIC_MUTATED_INSTANCES"])
_defaults = runner.run_module_test.__kwdefaults__
assert _defaults is not None
_defaults["rtl_directories"] = (_mutated, *_defaults["rtl_directories"])


def _build(top: str, sources: Sequence[Path], *, parameters: Mapping[str, int | str] | None, **others: Any) -> Path:
    there = any(path.parent == _mutated for path in sources)
    if there and _instances:
        found = parameter_sets(top, sources, parameters or {})
        there = any(values in found.get(module, []) for module, values in _instances.items())
    if not there:
        pytest.skip(f"{top} has no mutant in it")
    return verilator.build(top, sources, parameters=parameters, **others)


def _arguments(seed: int, plusargs: Mapping[str, object] | None = None) -> list[str]:
    return simulator_arguments(seed, {**(plusargs or {}), "moesaic_mutant": _mutant})


runner.build, runner.simulator_arguments = _build, _arguments
