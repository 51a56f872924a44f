"""Verilog of a design as Yosys reads it, and as it synthesises it; earlier results are kept and reused."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from moesaic.caches import cache_directory
from moesaic.files import write_file
from moesaic.sim.measurements.synthesis import yosys
from moesaic.sim.measurements.synthesis.elaboration import elaborate
from moesaic.sim.measurements.synthesis.netlist import SYNTHESIS

_UNKNOWN_CONTENTS = re.compile(r"^ *\.INITP?_[0-9A-F]{2}\(256'hx+\),\n", re.MULTILINE)
"""Parameters of block RAMs that say what a memory without initial contents has anyhow."""


def read_by_yosys(top: str, sources: Sequence[Path], parameters: Mapping[str, int | str]) -> Path:
    """The Verilog file of `top` and all modules below it as Yosys elaborates them, before anything is optimised or mapped.

    The module `top` of the file has no parameters, and pins of plain bits; multipliers are DSP48E2. Arguments: see
    moesaic.sim.measurements.synthesis.elaboration.elaborate.

    Raises:
        UserError: Yosys is missing.
        InternalError: Yosys fails.
    """
    return _verilog(top, sources, parameters, "")


def synthesised(top: str, sources: Sequence[Path], parameters: Mapping[str, int | str]) -> Path:
    """The same as `read_by_yosys`, but each module synthesised on its own for UltraScale+, as `moesaic resources` does."""
    return _verilog(top, sources, parameters, SYNTHESIS)


def _verilog(top: str, sources: Sequence[Path], parameters: Mapping[str, int | str], synthesis: str) -> Path:
    modules = elaborate(top, sources, parameters)
    *_, last = modules
    wrapper = f"module \\batch\n  attribute \\keep 1\n  cell {last} \\u0\n  end\nend\n"
    text = "".join(module.text for module in modules.values()) + wrapper
    key = hashlib.sha256(f"{yosys.version()}\n{synthesis}\n{text}".encode()).hexdigest()[:24]
    path = cache_directory("netlists") / f"{top}-{key}.v"
    if not path.exists():
        naming = [] if last == f"\\{top}" else [f"rename {last} {top}"]
        with tempfile.TemporaryDirectory(prefix="moesaic-") as directory:
            source, result = Path(directory) / "batch.il", Path(directory) / "batch.v"
            source.write_text(text, encoding="utf-8")
            mapping = [synthesis] if synthesis else []
            yosys.run(
                [
                    f'read_rtlil "{source}"',
                    *mapping,
                    "delete =batch",
                    *naming,
                    "opt_clean",
                    f'write_verilog -noattr "{result}"',
                ]
            )
            write_file(path, _UNKNOWN_CONTENTS.sub("", result.read_text(encoding="utf-8")).encode())
    return path
