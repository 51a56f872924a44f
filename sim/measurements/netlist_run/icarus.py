"""Compile a bench of Verilog around a netlist with Icarus Verilog, which simulates four states."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from moesaic.caches import cache_directory
from moesaic.errors import InternalError, UserError

_TAIL_LINES = 20


def find_icarus() -> str:
    """The Icarus Verilog compiler.

    Raises:
        UserError: it is missing.
    """
    found = shutil.which("iverilog")
    if found is None:
        raise UserError("iverilog is missing: a run in four states needs it; get it with: apt-get install iverilog")
    return found


def compiled(top: str, sources: Mapping[str, str], parameters: Mapping[str, int]) -> Path:
    """The file with which `vvp` simulates a bench, made or found in the cache.

    top: module of the bench, which has no ports and ends the simulation by itself. sources: name of a file to its text. parameters: of the
    bench.

    Raises:
        UserError: Icarus Verilog is missing.
        InternalError: the sources do not compile.
    """
    digest = hashlib.sha256(repr((top, sorted(parameters.items()), sorted(sources.items()))).encode()).hexdigest()
    final = cache_directory("simulators") / f"netlist-{digest[:16]}.vvp"
    if not final.exists():
        with tempfile.TemporaryDirectory(prefix=".netlist-", dir=final.parent) as scratch:
            work = Path(scratch)
            for name, text in sources.items():
                (work / name).write_text(text, encoding="utf-8")
            overrides = [f"-P{top}.{name}={value}" for name, value in parameters.items()]
            command = [find_icarus(), "-g2012", "-s", top, *overrides, "-o", "simulator", *sources]
            process = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            if process.returncode:
                tail = "\n".join((process.stdout + process.stderr).splitlines()[-_TAIL_LINES:])
                raise InternalError(f"Icarus cannot compile the netlist (exit status {process.returncode}):\n{tail}")
            (work / "simulator").rename(final)
    return final
