"""Mutants that Yosys makes of the elaborated design: single bits of cells' ports inverted, stuck, or disturbed by another bit.

They reach what source-level operators do not, such as single bits of a register or of a port. `mutate` spreads its sample over modules,
cells and lines of the sources. All mutants of a design are in it at once, each behind a comparison with the selected number.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from moesaic.caches import cache_directory
from moesaic.errors import InternalError
from moesaic.files import write_file
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY, rtl_parameters
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.measurements.synthesis import yosys
from tests.verify.mutation import schemata
from tests.verify.mutation.operators import ASSERTION_MODULES, Mutation
from tests.verify.mutation.workload import configuration

_TOP = "moesaic_accelerator"
_CONTROL, _BITS = "moesaic_mutant", 16
_MODE = re.compile(r"-mode (\S+)")
_MODULE = re.compile(r"-module (\S+)")
_BASE = re.compile(r"moesaic_[a-z0-9_]+")
_LINE = re.compile(r"\.sv:(\d+)\.")
_SOURCE = re.compile(r" -src \S+")
_WIRE = re.compile(rf"^  wire \[{_BITS - 1}:0\] {_CONTROL};$", re.MULTILINE)
_HEADER = re.compile(rf"^module {_TOP}\(", re.MULTILINE)


def sample(count: int, seed: int) -> list[Mutation]:
    """So many mutants of the accelerator in the mutants' configuration, drawn by Yosys. Raises InternalError or UserError as yosys.run."""
    design = _elaborated()
    path = cache_directory("netlists") / f"{design.stem}-{count}-{seed}.txt"
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="moesaic-") as scratch:
            found = Path(scratch) / "mutants.txt"  # mutate takes quotes for part of the name
            initial = "select * */t:$meminit* %d"  # a memory's first contents have to stay constant
            yosys.run([f'read_rtlil "{design}"', initial, f"mutate -list {count} -seed {seed} -o {found}"])
            write_file(path, found.read_bytes())
    return [_mutation(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_design(directory: Path, numbered: Mapping[int, Mutation]) -> None:
    """Make a directory with the elaborated design, these mutants in it, by number from 1, and what its surroundings use."""
    directory.mkdir()
    for path in (*RTL_DIRECTORY.glob("*_pkg.sv"), *(RTL_DIRECTORY / f"{name}.sv" for name in ASSERTION_MODULES)):
        (directory / path.name).write_bytes(path.read_bytes())
    applied = [f"{each.replacement} -ctrl {_CONTROL} {_BITS} {number}" for number, each in numbered.items()]
    with tempfile.TemporaryDirectory(prefix="moesaic-") as scratch:
        result = Path(scratch) / "mutants.v"
        yosys.run(
            [
                f'read_rtlil "{_elaborated()}"',
                *applied,
                f"delete -input {_TOP}/w:{_CONTROL}",
                f'write_verilog -noattr "{result}"',
            ]
        )
        text = result.read_text(encoding="utf-8")
    parameters = ", ".join(f"parameter {name} = 0" for name in rtl_parameters(configuration()))
    text, tops = _HEADER.subn(f"module {_TOP} #({parameters}) (", text)
    if tops != 1:
        raise InternalError(f"{tops} modules of Yosys' Verilog are called {_TOP}")
    own = directory / f"{_TOP}.sv"
    own.write_text(_with_top_last(text), encoding="utf-8")  # so that the selector goes into the top
    schemata.add_selector(directory)


def original_and_changed(mutation: Mutation) -> tuple[list[str], list[str], str]:
    """Commands of Yosys that read the elaborated design without this mutant and with it, and the mutant's module as it is called there."""
    module = _MODULE.search(mutation.replacement)
    assert module is not None, mutation.replacement  # _mutation has found it
    read = f'read_rtlil "{_elaborated()}"'
    return [read], [read, mutation.replacement], module[1]


def _with_top_last(text: str) -> str:
    """The same modules; the top, which hands the number to those below it, gets it from the selector."""
    start = text.index(f"module {_TOP} #(")
    end = text.index("endmodule", start) + len("endmodule")
    top = _WIRE.sub(f"  wire [{_BITS - 1}:0] {_CONTROL} = {_BITS}'({schemata.SELECTED});", text[start:end])
    return f"{text[:start]}{text[end:]}\n{top}\n"


def _elaborated() -> Path:
    """The RTLIL file of the accelerator without its assertions, made or found in the cache. Names in it have no directories."""
    sources, parameters = source_closure(_TOP, [RTL_DIRECTORY]), rtl_parameters(configuration())
    digest = hashlib.sha256(f"{yosys.version()} {sorted(parameters.items())}".encode())
    for path in sources:
        digest.update(path.read_bytes())
    final = cache_directory("netlists") / f"elaborated-{digest.hexdigest()[:24]}.il"
    if not final.exists():
        with tempfile.TemporaryDirectory(prefix="moesaic-") as scratch:
            made = Path(scratch) / "design.il"
            yosys.run(
                [
                    "read_verilog -sv " + " ".join(f'"{path}"' for path in sources),
                    f"chparam{''.join(f' -set {name} {value}' for name, value in sorted(parameters.items()))} {_TOP}",
                    f"hierarchy -check -top {_TOP}",
                    "chformal -remove",
                    "proc",
                    "opt_clean",
                    f'write_rtlil "{made}"',
                ]
            )
            write_file(final, made.read_bytes().replace(f"{RTL_DIRECTORY}/".encode(), b""))
    return final


def _mutation(command: str) -> Mutation:
    """What a line of `mutate -list` asks for; the command without its sources is what is applied."""
    mode, module, line = _MODE.search(command), _MODULE.search(command), _LINE.search(command)
    base = _BASE.search(module[1]) if module else None
    if mode is None or base is None:
        raise InternalError(f"mutate lists what this cannot read: {command}")
    short = _SOURCE.sub("", command)
    return Mutation(base[0], f"bit {mode[1]}", 0, 0, int(line[1]) if line else 0, "", short)
