"""Get resources and longest paths of every module from the sources; earlier results are kept and reused."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moesaic.files import write_file
from moesaic.sim.measurements.synthesis import counting, loads, memories, netlist, path_delays, slices
from moesaic.sim.measurements.synthesis.elaboration import Module, elaborate


@dataclass(frozen=True)
class Result(path_delays.Timed):
    """One module with fixed parameters.

    module: its name in the sources. instances: number in the whole design. own: resources of one instance without the modules below
    it. total: the same with them. paths: the longest paths between registers through the module's own logic, longest first; see
    `path_delays.Model`. loops: number of combinational loops that its own logic closes. memories: its own in block RAM and UltraRAM.
    unregistered: of its own DSP slices, how many lack each register; see `slices.missing`.
    """

    module: str
    instances: int
    own: Counter[str]
    total: Counter[str]
    paths: tuple[path_delays.Path, ...]
    loops: int
    memories: tuple[memories.Memory, ...] = ()
    unregistered: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A design.

    results: from the leaves up, the last one for the top module. nets: the net with most loads for each of loads.KINDS, and for "net" by
    loads.Net.counted. control_sets: their number.
    """

    results: tuple[Result, ...]
    nets: Mapping[str, loads.Net]
    control_sets: int


def measure(
    top: str,
    sources: Sequence[Path],
    parameters: Mapping[str, int | str],
    cache: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> Measured:
    """Synthesise a design module by module.

    Args:
        top: name of the top module.
        sources: SystemVerilog files, packages first.
        parameters: of the top module.
        cache: directory of netlists and timing models, each kept under a hash of its inputs.
        progress: called with one line about each step.

    Raises:
        InternalError: Yosys is missing or fails, or leaves a cell that cannot be counted; `yosys.version` checks beforehand.
    """
    modules, keys = _synthesised(top, sources, parameters, cache, progress)
    analyses = _analyses(modules, keys, cache, progress)
    own = {name: analysis.own for name, analysis in analyses.items()}
    instances, totals = counting.instances(modules), counting.sums(modules, own)
    progress("memories")
    held = memories.find(modules)
    nets, control_sets = loads.whole(analyses[list(modules)[-1]].loads)
    results = tuple(
        Result(
            module.base,
            instances[name],
            own[name],
            totals[name],
            analyses[name].timing.paths,
            analyses[name].timing.loops,
            tuple(held.get(name, ())),
            analyses[name].unregistered,
        )
        for name, module in modules.items()
    )
    return Measured(results, nets, control_sets)


def count_resources(
    top: str,
    sources: Sequence[Path],
    parameters: Mapping[str, int | str],
    cache: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> Counter[str]:
    """The resources of a whole design by kind (`counting.RESOURCES`), without paths and nets; arguments and errors: see `measure`."""
    modules, keys = _synthesised(top, sources, parameters, cache, progress)
    own = {name: counting.count(netlist.load(cache, module, keys[name]), modules) for name, module in modules.items()}
    return counting.sums(modules, own)[list(modules)[-1]]


def _synthesised(
    top: str,
    sources: Sequence[Path],
    parameters: Mapping[str, int | str],
    cache: Path,
    progress: Callable[[str], None],
) -> tuple[dict[str, Module], dict[str, str]]:
    """The modules of a design, all of whose netlists are in the cache, and their keys there."""
    progress(f"elaborating {top}")
    modules = elaborate(top, sources, parameters)
    keys = netlist.keys(modules)
    missing = [name for name in modules if not netlist.path_of(cache, modules[name], keys[name]).exists()]
    groups = netlist.batches(modules, missing)
    progress(f"{len(modules)} modules, {len(modules) - len(missing)} of them synthesised before")
    done = len(modules) - len(missing)
    for group in groups:
        started = time.monotonic()
        for name, result in netlist.synthesise(modules, group).items():
            netlist.store(cache, modules[name], keys[name], result)
        done += len(group)
        names = ", ".join(dict.fromkeys(modules[name].base for name in group))
        progress(f"{done}/{len(modules)} synthesised: {names} ({time.monotonic() - started:.0f} s)")
    return modules, keys


@dataclass(frozen=True)
class _Analysis:
    own: Counter[str]
    timing: path_delays.Model
    loads: loads.Loads
    unregistered: dict[str, int]


_RULES = ("counting.py", "path_delays.py", "loads.py", "slices.py")


def _analyses(
    modules: Mapping[str, Module], keys: Mapping[str, str], cache: Path, progress: Callable[[str], None]
) -> dict[str, _Analysis]:
    rules = b"".join(Path(__file__).with_name(name).read_bytes() for name in _RULES)
    found: dict[str, _Analysis] = {}
    timed: dict[str, path_delays.Model] = {}
    loaded: dict[str, loads.Loads] = {}
    chained: dict[str, str] = {}
    for name, module in modules.items():
        # Paths and nets cross module boundaries, so a model depends on all modules below.
        text = keys[name] + "".join(sorted({chained[below] for below in module.instances}))
        chained[name] = hashlib.sha256(rules + text.encode()).hexdigest()[:24]
        path = cache / f"{module.base}-{chained[name]}.model.gz"
        if path.exists():
            counts, fields, nets, unregistered = json.loads(gzip.decompress(path.read_bytes()))
            found[name] = _Analysis(Counter(counts), _decode(fields), loads.decode(nets), unregistered)
        else:
            progress(f"longest paths and largest nets of {module.base}")
            written = netlist.load(cache, module, keys[name])
            found[name] = analysis = _Analysis(
                counting.count(written, modules),
                path_delays.analyse(written, timed),
                loads.analyse(written, loaded),
                slices.missing(written),
            )
            kept = [analysis.own, _encode(analysis.timing), loads.encode(analysis.loads), analysis.unregistered]
            write_file(path, gzip.compress(json.dumps(kept).encode(), compresslevel=3, mtime=0))
        plain = name.removeprefix("\\")
        timed[plain], loaded[plain] = found[name].timing, found[name].loads
    return found


def _encode(model: path_delays.Model) -> list:
    def bits(paths: Mapping[tuple[str, int], path_delays.Path]) -> list:
        return [[port, index, *dataclasses.astuple(path)] for (port, index), path in paths.items()]

    through = [[port, index, bits(paths)] for (port, index), paths in model.through.items()]
    return [
        [dataclasses.astuple(path) for path in model.paths],
        bits(model.to_output),
        bits(model.from_input),
        through,
        model.loops,
    ]


def _decode(fields: list) -> path_delays.Model:
    def bits(rows: list) -> dict[tuple[str, int], path_delays.Path]:
        return {(row[0], row[1]): path_delays.Path(*row[2:]) for row in rows}

    paths, to_output, from_input, through, loops = fields
    return path_delays.Model(
        tuple(path_delays.Path(*path) for path in paths),
        bits(to_output),
        bits(from_input),
        {(port, index): bits(rows) for port, index, rows in through},
        loops,
    )
