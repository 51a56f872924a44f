"""Whether a mutant is the design in other words: Yosys proves its module equal to the original, by induction over two steps.

A proof of the module, with every set of parameters that it has in the design, is enough. It is tried with the modules below cut away first:
what they take has to be equal, and what they give may be anything, for both. No proof decides nothing.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.measurements.synthesis.yosys import PROGRAM
from tests.verify.mutation.operators import Mutation, parameter_sets
from tests.verify.mutation.workload import configuration

TOP = "moesaic_accelerator"
_SECONDS = 60.0
_CUT = ("blackbox * {top} %d", "expose -evert {top}/c:*", "delete * {top} %d")
_WHOLE = ("flatten",)


@functools.cache
def _parameters() -> dict[str, list[dict[str, str]]]:
    return parameter_sets(TOP, source_closure(TOP, [RTL_DIRECTORY]), rtl_parameters(configuration()))


def proved_equivalent(mutation: Mutation) -> bool:
    """Whether the changed module does the same as the original on all inputs, for each of its sets of parameters."""
    sets = _parameters().get(mutation.module, [])
    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
        changed = Path(scratch)
        path = changed / f"{mutation.module}.sv"
        path.write_bytes(mutation.apply((RTL_DIRECTORY / path.name).read_bytes()))
        return bool(sets) and all(
            _equal(mutation.module, changed, parameters, _CUT) or _equal(mutation.module, changed, parameters, _WHOLE)
            for parameters in sets
        )


def _equal(module: str, changed: Path, parameters: dict[str, str], below: tuple[str, ...]) -> bool:
    """below: commands that deal with the modules below, once the top has the name in them."""
    commands: list[str] = []
    for name, directories in (("gold", [RTL_DIRECTORY]), ("gate", [changed, RTL_DIRECTORY])):
        files = " ".join(f'"{path}"' for path in source_closure(module, directories))
        overrides = "".join(f" -chparam {key} {value}" for key, value in sorted(parameters.items()))
        commands += [
            f"read_verilog -sv {files}",
            f"hierarchy -check -top {module}{overrides}",
            "chformal -remove",
            "proc",
            f"rename -top {name}",
            *(command.format(top=name) for command in below),
            "memory_map",
            "opt_clean",
            f"design -stash {name}",
        ]
    commands += [
        "design -copy-from gold gold",
        "design -copy-from gate gate",
        "equiv_make gold gate equal",
        "hierarchy -top equal",
        "opt_clean",
        "equiv_simple -undef -seq 2",
        "equiv_induct -undef -seq 2",
        "equiv_status -assert",
    ]
    try:
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=json.dumps(commands),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return process.returncode == 0
