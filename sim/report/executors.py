"""The simulated machines of a build directory, opened when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sim.csim import CACHE
from sim.rtl_executor import RtlExecutor
from spec.configuration import HardwareConfiguration
from spec.emulator import Emulator
from spec.errors import UserError
from spec.executor import Executor

SIMULATED = ("csim", "rtl")


def simulated_executors(
    directory: Path, configuration: HardwareConfiguration, names: Sequence[str] = SIMULATED
) -> dict[str, Callable[[], Executor]]:
    """Executor name to a function that opens it from the sources that lie in a build directory."""
    known: dict[str, Callable[[], Executor]] = {
        "csim": lambda: Emulator(directory / "cpp", configuration, cache=CACHE),
        "rtl": lambda: RtlExecutor(directory / "rtl", configuration),
    }
    for name in names:
        if name not in known:
            raise UserError(f"unknown executor {name!r}; a report compares reference with {', '.join(known)}")
    return {name: known[name] for name in names}
