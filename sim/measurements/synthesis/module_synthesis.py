"""Get resources and longest paths of every module from the sources; earlier results are kept and reused."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moesaic.files import write_file
from moesaic.sim.measurements.synthesis import counting, netlist, path_delays
from moesaic.sim.measurements.synthesis.elaboration import Module, elaborate


@dataclass(frozen=True)
class Result(path_delays.Timed):
    """One module with fixed parameters.

    module: its name in the sources. instances: number in the whole design. own: resources of one instance without the modules below
    it. total: the same with them. paths: the longest paths between registers through the module's own logic, longest first; see
    `path_delays.Model`. loops: number of combinational loops that its own logic closes.
    """

    module: str
    instances: int
    own: Counter[str]
    total: Counter[str]
    paths: tuple[path_delays.Path, ...]
    loops: int


def measure(
    top: str,
    sources: Sequence[Path],
    parameters: Mapping[str, int | str],
    cache: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Result]:
    """Synthesise a design module by module; return results from the leaves up, the last one for `top`.

    Args:
        top: name of the top module.
        sources: SystemVerilog files, packages first.
        parameters: of the top module.
        cache: directory of netlists and timing models, each kept under a hash of its inputs.
        progress: called with one line about each step.

    Raises:
        InternalError: Yosys is missing or fails, or leaves a cell that cannot be counted; `yosys.version` checks beforehand.
    """
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
    own, models = _analyses(modules, keys, cache, progress)
    instances, totals = counting.instances(modules), counting.sums(modules, own)
    return [
        Result(module.base, instances[name], own[name], totals[name], models[name].paths, models[name].loops)
        for name, module in modules.items()
    ]


def _analyses(
    modules: Mapping[str, Module], keys: Mapping[str, str], cache: Path, progress: Callable[[str], None]
) -> tuple[dict[str, Counter[str]], dict[str, path_delays.Model]]:
    rules = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("counting.py", "path_delays.py"))
    own: dict[str, Counter[str]] = {}
    models: dict[str, path_delays.Model] = {}
    shown: dict[str, path_delays.Model] = {}
    chained: dict[str, str] = {}
    for name, module in modules.items():
        # Paths cross module boundaries, so a model depends on all modules below.
        text = keys[name] + "".join(sorted({chained[below] for below in module.instances}))
        chained[name] = hashlib.sha256(rules + text.encode()).hexdigest()[:24]
        path = cache / f"{module.base}-{chained[name]}.model.gz"
        if path.exists():
            counts, fields = json.loads(gzip.decompress(path.read_bytes()))
            own[name], models[name] = Counter(counts), _decode(fields)
        else:
            progress(f"longest paths of {module.base}")
            written = netlist.load(cache, module, keys[name])
            own[name], models[name] = counting.count(written, modules), path_delays.analyse(written, shown)
            content = json.dumps([own[name], _encode(models[name])]).encode()
            write_file(path, gzip.compress(content, compresslevel=3, mtime=0))
        shown[name.removeprefix("\\")] = models[name]
    return own, models


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
