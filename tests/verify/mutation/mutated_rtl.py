"""A plugin of pytest: module tests run on the RTL in the directory MOESAIC_MUTATED_RTL, wherever that has a file, with MOESAIC_MUTANT.

Tests that need no file of it are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from moesaic.sim.bench_kit import runner
from moesaic.sim.machines import verilator
from moesaic.sim.machines.cocotb_process import simulator_arguments

_mutated, _mutant = Path(os.environ["MOESAIC_MUTATED_RTL"]), os.environ["MOESAIC_MUTANT"]
_defaults = runner.run_module_test.__kwdefaults__
assert _defaults is not None
_defaults["rtl_directories"] = (_mutated, *_defaults["rtl_directories"])


def _build(top: str, sources: Sequence[Path], **others: Any) -> Path:
    if not any(path.parent == _mutated for path in sources):
        pytest.skip(f"{top} has no mutant in it")
    return verilator.build(top, sources, **others)


def _arguments(seed: int, plusargs: Mapping[str, object] | None = None) -> list[str]:
    return simulator_arguments(seed, {**(plusargs or {}), "moesaic_mutant": _mutant})


runner.build, runner.simulator_arguments = _build, _arguments
