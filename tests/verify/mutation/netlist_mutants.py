"""Mutants that Yosys makes of elaborated modules: single bits of cells' ports inverted, stuck, or disturbed by another bit.

They reach what source-level operators do not, such as single bits of a register or of a port. `mutate` spreads its sample of a module
over cells and lines of the source. A mutant's module is simulated as Yosys writes it, all others from their sources: the whole design as
Yosys writes it simulates, and compiles, a hundred times as slowly. A module with several sets of parameters has mutants of several.
"""

from __future__ import annotations

import hashlib
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moesaic.caches import cache_directory
from moesaic.errors import InternalError
from moesaic.files import write_file
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_directories import SYSTEM_DIRECTORY
from moesaic.sim.machines.source_closure import source_closure
from moesaic.sim.measurements.synthesis import yosys
from tests.verify.mutation import schemata
from tests.verify.mutation.operators import Mutation

Parameters = Mapping[str, str]
"""Of one instance of a module: values by name, as both Yosys and SystemVerilog read them."""

_CONTROL, _BITS = "moesaic_mutant", 16
_SPLIT = "splitnets -driver"
"""Takes nets apart of which one driver drives a part; simulators would see combinational loops in them."""
_MODE = re.compile(r"-mode (\S+)")
_LINE = re.compile(r"\.sv:(\d+)\.")
_SIMPLER = ("opt -full", "wreduce", "opt -full")
"""Constant bits and values that nothing asks for would make most mutants equivalent; memories would have an enable for each bit."""
_BENCH = SYSTEM_DIRECTORY / "testbench.sv"
_PIECE = re.compile(r"^  wire (?:\[\d+:\d+\] )?(\\(\w+)\[(\d+)(?::\d+)?\]) ;$", re.MULTILINE)
_SOURCE = re.compile(r" -src \S+")
_SET = re.compile(r" -set (\S+) (\S+)")
_WIRE = re.compile(rf"^  wire \[{_BITS - 1}:0\] {_CONTROL};$", re.MULTILINE)
_DYNAMIC = "setattr -mod -set dynports 1 =A:blackbox"
"""Widths of their ports follow from parameters; Yosys does not notice it where a port has several dimensions."""


@dataclass(frozen=True)
class _Netlist:
    """A module as Yosys writes it. parameters: those that it was elaborated with. ports: their names. rest: what follows these."""

    parameters: Parameters
    ports: str
    rest: str

    def as_module(self, name: str) -> str:
        return f"module {name}({self.ports}{self.rest}"


def module_sample(module: str, sets: Sequence[Parameters], count: int, seed: int) -> list[Mutation]:
    """So many mutants of a module, in equal parts of the sets of its parameters, drawn by Yosys; fewer if it has no more.

    What replaces a mutant's source is two lines for Yosys: the first sets the parameters, if any, the second makes the change. Raises
    InternalError or UserError as yosys.run.
    """
    shares = [count // len(sets) + (index < count % len(sets)) for index in range(len(sets))]
    chosen = random.Random(f"{seed} {module}").sample(sets, len(sets))
    return [
        mutant for parameters, share in zip(chosen, shares) if share for mutant in _of(module, parameters, share, seed)
    ]


def combined(text: bytes, numbered: Sequence[tuple[int, Mutation]]) -> bytes:
    """A module's file with all of these mutants of it, to be selected as in `schemata`. Raises what module_sample raises."""
    module = numbered[0][1].module
    alike: dict[str, list[tuple[int, Mutation]]] = defaultdict(list)
    for number, mutation in numbered:
        alike[mutation.replacement.splitlines()[0]].append((number, mutation))
    netlists = [_netlist(module, here) for here in alike.values()]
    if module == schemata.TOP:
        return _in_place(module, *netlists).encode()
    return _chosen_by_parameters(module, text.decode(), netlists).encode()


def parameters_of(mutation: Mutation) -> dict[str, str]:
    """Those of the instances that have the mutant."""
    return dict(_SET.findall(mutation.replacement.splitlines()[0]))


def original_and_changed(mutation: Mutation) -> tuple[list[str], list[str]]:
    """Commands of Yosys that read the mutant's module without the change and with it, and the modules below it."""
    change = mutation.replacement.splitlines()[1]
    read = f'read_rtlil "{_elaborated(mutation.module, parameters_of(mutation))}"'
    files = [path for path in source_closure(mutation.module, [RTL_DIRECTORY]) if path.stem != mutation.module]
    below = [
        "delete =A:blackbox",
        *([f"read_verilog -sv {_quoted(files)}"] if files else []),
        f"hierarchy -check -top {mutation.module}",
        "chformal -remove",
        "proc",
    ]
    return [read, *below], [read, change, *below]


def _of(module: str, parameters: Parameters, count: int, seed: int) -> list[Mutation]:
    design = _elaborated(module, parameters)
    path = design.with_name(f"{design.stem}-{count}-{seed}.txt")
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="moesaic-") as scratch:
            found = Path(scratch) / "mutants.txt"  # mutate takes quotes for part of the name
            initial = "select * */t:$meminit* %d"  # a memory's first contents have to stay constant
            yosys.run([f'read_rtlil "{design}"', initial, f"mutate -list {count} -seed {seed} -o {found}"])
            write_file(path, found.read_bytes())
    setting = " ".join(yosys.set_parameters(module, parameters))
    return [_mutation(module, setting, line) for line in path.read_text(encoding="utf-8").splitlines()]


def _mutation(module: str, setting: str, command: str) -> Mutation:
    """What a line of `mutate -list` asks for; the command without its sources is what is applied."""
    mode, line = _MODE.search(command), _LINE.search(command)
    if mode is None:
        raise InternalError(f"mutate lists what this cannot read: {command}")
    change = f"{setting}\n{_SOURCE.sub('', command)}"
    return Mutation(module, f"bit {mode[1]}", 0, 0, int(line[1]) if line else 0, "", change)


def _netlist(module: str, numbered: Sequence[tuple[int, Mutation]]) -> _Netlist:
    """A module with mutants that have the same parameters."""
    parameters = parameters_of(numbered[0][1])
    changes = [(number, mutation.replacement.splitlines()[1]) for number, mutation in numbered]
    with tempfile.TemporaryDirectory(prefix="moesaic-") as scratch:
        result = Path(scratch) / "mutants.v"
        yosys.run(
            [
                f'read_rtlil "{_elaborated(module, parameters)}"',
                *(f"{change} -ctrl {_CONTROL} {_BITS} {number}" for number, change in changes),
                f"delete -input {module}/w:{_CONTROL}",
                _SPLIT,
                f'write_verilog -noattr "{result}"',
            ]
        )
        text = result.read_text(encoding="utf-8")
    text, wires = _WIRE.subn(f"  wire [{_BITS - 1}:0] {_CONTROL} = {_BITS}'({schemata.SELECTED});", text)
    found = re.fullmatch(rf".*?^module {module}\((.*?)(\);$.*)", text, re.MULTILINE | re.DOTALL)
    if found is None or wires != 1:
        raise InternalError(f"Yosys' Verilog of {module} has {wires} selectors, or no such module")
    return _Netlist(parameters, found[1], found[2])


def _in_place(module: str, netlist: _Netlist) -> str:
    """A file with the netlist under the module's name, of which there is one instance, with its parameters.

    The test bench looks at nets in it; those that were taken apart are put together for it.
    """
    taken = ", ".join(f"parameter {name} = 0" for name in netlist.parameters)
    text = netlist.as_module(f"{module} #({taken}) ")
    seen = set(re.findall(r"\bu_accelerator\.(\w+)", _BENCH.read_text(encoding="utf-8")))
    parts: dict[str, dict[int, str]] = defaultdict(dict)
    for piece, name, index in _PIECE.findall(text):
        parts[name][int(index)] = piece
    for name in sorted(seen & parts.keys()):
        pieces = [piece for _, piece in sorted(parts[name].items(), reverse=True)]
        whole = f"  wire [$bits({{{' , '.join(pieces)} }})-1:0] {name} = {{{' , '.join(pieces)} }};\n"
        text = text.replace("endmodule\n", f"{whole}endmodule\n", 1)
    return text


def _chosen_by_parameters(module: str, source: str, netlists: Sequence[_Netlist]) -> str:
    """A file in which the module is a netlist where it has the parameters of one, and its source elsewhere."""
    header = re.search(rf"^module {module}\b.*?^\);$", source, re.MULTILINE | re.DOTALL)
    if header is None:
        raise InternalError(f"the header of {module} does not end in a line of its own")
    original = f"{module}_original"
    modules = [re.sub(rf"^module {module}\b", f"module {original}", source, flags=re.MULTILINE)]
    branches: list[str] = []
    for index, netlist in enumerate(netlists):
        name = f"{module}_netlist_{index}"
        modules.append(netlist.as_module(name))
        condition = " && ".join(f"{key} == {value}" for key, value in netlist.parameters.items()) or "1"
        connections = _by_name(netlist.ports.split(", "))
        branches.append(f"if ({condition}) begin : gen_{index}\n    {name} u_netlist ({connections});\n  end else ")
    values = f"#({_by_name(netlists[0].parameters)}) " if netlists[0].parameters else ""
    branches.append(f"begin : gen_original\n    {original} {values}u_original (.*);\n  end")
    return "\n".join([*modules, header[0], f"  {''.join(branches)}", "endmodule\n"])


def _by_name(names: Iterable[str]) -> str:
    return ", ".join(f".{name}({name})" for name in names)


def _elaborated(module: str, parameters: Parameters) -> Path:
    """The RTLIL file of a module without its assertions, those below it as black boxes, made or found in the cache.

    Names in it have no directories.
    """
    sources = source_closure(module, [RTL_DIRECTORY])
    digest = hashlib.sha256(f"{yosys.version()} {module} {sorted(parameters.items())}".encode())
    for path in (*sources, Path(__file__)):
        digest.update(path.read_bytes())
    final = cache_directory("netlists") / f"elaborated-{digest.hexdigest()[:24]}.il"
    if not final.exists():
        packages = [path for path in sources if path.stem.endswith("_pkg")]
        below = [path for path in sources if path not in packages and path.stem != module]
        with tempfile.TemporaryDirectory(prefix="moesaic-") as scratch:
            made = Path(scratch) / "design.il"
            yosys.run(
                [
                    *([f"read_verilog -sv -lib {_quoted([*packages, *below])}", _DYNAMIC] if below else []),
                    f"read_verilog -sv {_quoted([*packages, RTL_DIRECTORY / f'{module}.sv'])}",
                    *yosys.set_parameters(module, parameters),
                    f"hierarchy -check -top {module}",
                    "chformal -remove",
                    "proc",
                    *([f"setattr -set keep 1 {module}/w:*"] if module == schemata.TOP else []),
                    *_SIMPLER,
                    _SPLIT,
                    "opt_clean",
                    f'write_rtlil "{made}"',
                ]
            )
            write_file(final, made.read_bytes().replace(f"{RTL_DIRECTORY}/".encode(), b""))
    return final


def _quoted(paths: Sequence[Path]) -> str:
    return " ".join(f'"{path}"' for path in paths)
