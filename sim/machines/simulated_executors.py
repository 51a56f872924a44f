"""The simulated machines that run a build, opened on demand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from moesaic.emulator import Emulator
from moesaic.errors import UserError
from moesaic.installation import how_to_install
from moesaic.sim.machines.rtl_executor import RtlExecutor
from moesaic.sim.machines.verilator import find_verilator
from moesaic.spec.configuration import HardwareConfiguration
from moesaic.spec.executor import Executor

SIMULATED = ("emulator", "rtl")


def simulated_executors(
    directory: Path, configuration: HardwareConfiguration, names: Sequence[str] = SIMULATED
) -> dict[str, Callable[[], Executor]]:
    """Return executor names, each with a function that opens the executor from the sources in a build directory.

    Raises UserError for a name outside SIMULATED.
    """
    known: dict[str, Callable[[], Executor]] = {
        "emulator": lambda: Emulator(directory / "cpp", configuration),
        "rtl": lambda: RtlExecutor(directory / "rtl", configuration),
    }
    for name in names:
        if name not in known:
            raise UserError(f"unknown executor {name!r}; a report compares reference with {', '.join(known)}")
    return {name: known[name] for name in names}


def open_rtl(directory: Path, configuration: HardwareConfiguration) -> RtlExecutor:
    """The RTL of a build directory, simulated; the runtime's executor "rtl". UserError if a tool is missing."""
    require_tools(("rtl",))
    return RtlExecutor(directory / "rtl", configuration)


def require_tools(names: Sequence[str] = SIMULATED) -> None:
    """Raise UserError, naming the first missing program or package, unless this machine has all that these executors need."""
    if "emulator" in names and shutil.which("g++") is None:
        raise UserError("g++ is missing: the emulator needs it; get it with: apt-get install g++")
    if "rtl" in names:
        find_verilator()
        if find_spec("cocotb_tools") is None:
            raise UserError(f"cocotb is missing: RTL simulation needs it; get it with: {how_to_install('cocotb')}")
