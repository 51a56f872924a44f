"""Whether a mutant is the design in other words: Yosys proves its module equal to the original, by induction.

A proof of the module, with every set of parameters that it has in the design, is enough. It is tried with the modules below cut away
first, then with those alone that have memories: what they take has to be equal, and what they give may be anything, for both. Registers,
ports and what memories are given have to stay equal, if they are before; of other signals nothing is asked. What both have from the same
values in the same way is merged before anything is proved, so that only what follows from the change is left. No proof decides nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.measurements.synthesis.yosys import PROGRAM, set_parameters
from tests.verify.mutation import netlist_mutants
from tests.verify.mutation.operators import Mutation
from tests.verify.mutation.samples import module_parameters

_FUNCTION = re.compile(rb"\bfunction automatic [^;(]*?(\w+)\(.*?\bendfunction\b", re.DOTALL)
_LIMIT = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
"""Of processor time, so that a busy machine decides the same."""
_CUT = ("blackbox * {top} %d", "expose -evert {top}/c:*", "delete * {top} %d")
_MEMORIES_CUT = ("blackbox */m:* %m {top} %d", "flatten", "expose -evert {top}/c:*", "delete * {top} %d")

_CLOCKED_ALIKE = (
    "select -assert-none */t:* %ci1:+[CLK] */t:* %d */w:clk_i %d",
    "select -assert-none */r:CLK_POLARITY=0 */t:$memrd* %d",
)
"""What has a clock has clk_i and its rising edge: the solver takes all clocks for the same. Memories are read without one."""


def proved_equivalent(mutation: Mutation) -> bool:
    """Whether the changed module does the same as the original on all inputs, for each of its sets of parameters.

    If it is a package, every module that calls the changed function has to, or every module that names the package.
    """
    modules = [mutation.module] if mutation.module in module_parameters() else _users(mutation)
    with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
        changed = Path(scratch)
        path = changed / f"{mutation.module}.sv"
        path.write_bytes(mutation.apply((RTL_DIRECTORY / path.name).read_bytes()))
        return bool(modules) and all(
            _equal(_source(module, parameters, [RTL_DIRECTORY]), _source(module, parameters, [changed, RTL_DIRECTORY]))
            for module in modules
            for parameters in module_parameters()[module]
        )


def proved_equivalent_in_netlist(mutation: Mutation) -> bool:
    """The same of a mutant of an elaborated module, which has one set of parameters."""
    return _equal(*netlist_mutants.original_and_changed(mutation))


def _users(mutation: Mutation) -> list[str]:
    """Modules of the design that use what a mutation of a package changes, those with the least text first."""
    texts = {module: (RTL_DIRECTORY / f"{module}.sv").read_text(encoding="utf-8") for module in module_parameters()}
    package = (RTL_DIRECTORY / f"{mutation.module}.sv").read_bytes()
    around = [each for each in _FUNCTION.finditer(package) if each.start() <= mutation.start < each.end()]
    if around and len(re.findall(rb"\b%b\(" % around[0][1], package)) == 1:  # not called in the package itself
        used = f"{mutation.module}::{around[0][1].decode()}("
    else:
        used = f"{mutation.module}::"
    return sorted((module for module, text in texts.items() if used in text), key=lambda each: len(texts[each]))


def _source(module: str, parameters: dict[str, str], directories: list[Path]) -> list[str]:
    """Commands that read a module, and make it the top."""
    files = " ".join(f'"{path}"' for path in source_closure(module, directories))
    return [
        f"read_verilog -sv {files}",
        *set_parameters(module, parameters),
        f"hierarchy -check -top {module}",
        "chformal -remove",
        "proc",
    ]


def _equal(original: Sequence[str], changed: Sequence[str]) -> bool:
    """Each of the two is read by commands that make it the top."""
    return any(_equal_above(original, changed, below) for below in (_CUT, _MEMORIES_CUT))


def _equal_above(original: Sequence[str], changed: Sequence[str], below: Sequence[str]) -> bool:
    """below: commands that deal with the modules below, once the top has the name in them."""
    commands: list[str] = []
    for name, read in (("gold", original), ("gate", changed)):
        commands += [
            *read,
            f"rename -top {name}",
            *(command.format(top=name) for command in below),
            "opt_clean -purge",
            *_CLOCKED_ALIKE,
            "memory_collect",
            "opt_clean -purge",
            "select -set registers */t:$*dff* %co1:+[Q] */w:* %i",
            "rename -hide */w:* @registers %d */x:* %d",
            f"design -stash {name}",
        ]
    commands += [
        "design -copy-from gold gold",
        "design -copy-from gate gate",
        "equiv_make gold gate equal",
        "hierarchy -top equal",
        "opt_clean -purge",
        "opt_merge -share_all",
        "opt_clean -purge",
        "equiv_simple -undef -seq 2 -ignore-unknown-cells",
        "equiv_status -assert",
    ]
    process = subprocess.run(
        [sys.executable, "-c", _LIMIT + PROGRAM],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    return process.returncode == 0
