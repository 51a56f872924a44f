"""Verilog of a design as Yosys reads it, and as it synthesises it; earlier results are kept and reused."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from moesaic.caches import cache_directory
from moesaic.files import write_file
from moesaic.sim.measurements.synthesis import yosys
from moesaic.sim.measurements.synthesis.elaboration import Module, elaborate
from moesaic.sim.measurements.synthesis.netlist import SYNTHESIS, batch_source, batches, keys

_UNKNOWN_CONTENTS = re.compile(r"^ *\.INITP?_[0-9A-F]{2}\(256'hx+\),\n", re.MULTILINE)
"""Parameters of block RAMs that say what a memory without initial contents has anyhow."""


def read_by_yosys(top: str, sources: Sequence[Path], parameters: Mapping[str, int | str]) -> str:
    """Verilog of `top` and all modules below it as Yosys elaborates them, before anything is optimised or mapped.

    The module `top` has no parameters, and pins of plain bits; multipliers are DSP48E2. Arguments: see
    moesaic.sim.measurements.synthesis.elaboration.elaborate.

    Raises:
        UserError: Yosys is missing.
        InternalError: Yosys fails.
    """
    return _whole(top, elaborate(top, sources, parameters), "", lambda line: None)


def synthesised(
    top: str,
    sources: Sequence[Path],
    parameters: Mapping[str, int | str],
    progress: Callable[[str], None] = lambda line: None,
) -> str:
    """The same as `read_by_yosys`, but each module synthesised on its own for UltraScale+, as `moesaic resources` does.

    progress: called with one line about each step.
    """
    return _whole(top, elaborate(top, sources, parameters), SYNTHESIS, progress)


def _whole(top: str, modules: Mapping[str, Module], synthesis: str, progress: Callable[[str], None]) -> str:
    """Verilog of all modules, of which the last one becomes `top`."""
    hashes = {
        name: hashlib.sha256(f"{synthesis}\n{key}".encode()).hexdigest()[:24] for name, key in keys(modules).items()
    }
    kept = {name: cache_directory("netlists") / f"{modules[name].base}-{hashes[name]}.v" for name in modules}
    missing = [name for name in modules if not kept[name].exists()]
    done = len(modules) - len(missing)
    for batch in batches(modules, missing):
        for name, text in _verilog(modules, batch, synthesis).items():
            write_file(kept[name], text.encode())
        done += len(batch)
        progress(f"{done}/{len(modules)} modules written by Yosys, the last one {modules[batch[-1]].base}")
    texts = {name: path.read_text(encoding="utf-8") for name, path in kept.items()}
    *_, last = modules
    texts[last] = re.sub(r"^module \S+?(?= ?\()", f"module {top}", texts[last], count=1, flags=re.MULTILINE)
    return "".join(texts.values())


def _verilog(modules: Mapping[str, Module], batch: Iterable[str], synthesis: str) -> dict[str, str]:
    """Verilog of each module of a batch. Modules below them are black boxes."""
    batch = list(batch)
    with tempfile.TemporaryDirectory(prefix="moesaic-") as directory:
        source = Path(directory) / "batch.il"
        source.write_text(batch_source(modules, batch), encoding="utf-8")
        results = {name: Path(directory) / f"{index}.v" for index, name in enumerate(batch)}
        commands = [f'read_rtlil "{source}"', *([synthesis] if synthesis else []), "delete =batch", "opt_clean"]
        for name, path in results.items():
            commands += [f"select {name}", f'write_verilog -noattr -selected "{path}"', "select -clear"]
        yosys.run(commands)
        return {name: _UNKNOWN_CONTENTS.sub("", path.read_text(encoding="utf-8")) for name, path in results.items()}
