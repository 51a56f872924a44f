"""Compile a bench of Verilog that makes its own clock: with Icarus Verilog for four states, with Verilator for two."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from moesaic.caches import cache_directory
from moesaic.errors import InternalError, UserError
from moesaic.sim.machines import verilator
from moesaic.sim.machines.cocotb_process import simulator_arguments

STATES = (2, 4)
_TAIL_LINES = 20
_CLOCKED = re.compile(r"^  input clk_i;\n", re.MULTILINE)
_CLOCK_PIN = re.compile(r"(?<=[A-Z]\()clk_i(?=\))")


def require_simulator(states: int) -> None:
    """Do nothing if the simulator for two or for four states is installed.

    Raises:
        UserError: it, or a program that it calls, is missing.
    """
    if states == 4:
        _icarus()
    else:
        verilator.find_verilator()


def simulator_command(
    states: int,
    top: str,
    sources: Mapping[str, str],
    parameters: Mapping[str, int],
    seed: int,
    plusargs: Mapping[str, object],
) -> list[str]:
    """The command that simulates a bench once, which is compiled before unless the cache has it.

    Args:
        states: 4, and everything starts unknown; 2, and everything starts with random contents.
        top: module of the bench, which has no ports and ends the simulation by itself.
        sources: name of a file to its text. parameters: of the bench.
        seed: of the random contents. plusargs: name to value.

    Raises:
        UserError: a tool is missing.
        InternalError: the sources do not compile.
    """
    if states == 4:
        return ["vvp", str(_compiled_by_icarus(top, sources, parameters)), *(f"+{k}={v}" for k, v in plusargs.items())]
    with tempfile.TemporaryDirectory(prefix="moesaic-netlist-") as directory:
        paths = [Path(directory) / name for name in sources]
        for path, text in zip(paths, sources.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        executable = verilator.build_self_clocked(top, paths, parameters=parameters)
    return [str(executable), *simulator_arguments(seed, plusargs)]


def with_clock_buffers(netlist: str) -> str:
    """The netlist with the clock pins of cells behind a buffer in each module, as Icarus needs time quadratic in the loads of a net.

    netlist: Verilog as Yosys writes it; `clk_i` is the clock of each module. Flip-flops still change together, since an assignment to
    their outputs waits until all buffers have switched.
    """
    buffer = "  input clk_i;\n  wire clk_buffered;\n  assign clk_buffered = clk_i;\n"
    return _CLOCK_PIN.sub("clk_buffered", _CLOCKED.sub(buffer, netlist))


def _icarus() -> str:
    found = shutil.which("iverilog")
    if found is None:
        raise UserError("iverilog is missing: a run in four states needs it; get it with: apt-get install iverilog")
    return found


def _compiled_by_icarus(top: str, sources: Mapping[str, str], parameters: Mapping[str, int]) -> Path:
    digest = hashlib.sha256(repr((top, sorted(parameters.items()), sorted(sources.items()))).encode()).hexdigest()
    final = cache_directory("simulators") / f"netlist-{digest[:16]}.vvp"
    if not final.exists():
        with tempfile.TemporaryDirectory(prefix=".netlist-", dir=final.parent) as scratch:
            work = Path(scratch)
            for name, text in sources.items():
                (work / name).write_text(text, encoding="utf-8")
            overrides = [f"-P{top}.{name}={value}" for name, value in parameters.items()]
            command = [_icarus(), "-g2012", "-s", top, *overrides, "-o", "simulator", *sources]
            process = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
            if process.returncode:
                tail = "\n".join((process.stdout + process.stderr).splitlines()[-_TAIL_LINES:])
                raise InternalError(f"Icarus cannot compile the netlist (exit status {process.returncode}):\n{tail}")
            (work / "simulator").rename(final)
    return final
