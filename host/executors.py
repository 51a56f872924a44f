"""The machines on which a build can be opened, by name: those of the runtime, and those that other parts add; and what they must be.

Others are found through the entry-point group `moesaic.executors`, so that no part has to import another: an entry point leads to a
function of the build's directory and configuration that returns a moesaic.spec.executor.Executor.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import numpy as np

from moesaic.emulator import Emulator
from moesaic.errors import UserError
from moesaic.host.bitstream import find_bitstream, require_bitstream
from moesaic.host.board import BoardExecutor
from moesaic.host.pynq_interface import board_missing
from moesaic.spec.build import Build
from moesaic.spec.executor import MAX_CYCLES, Executor
from moesaic.spec.machine import ReferenceMachine

GROUP = "moesaic.executors"
_OWN = ("board", "emulator", "reference")
_LARGEST_MAX_CYCLES = (1 << 32) - 1


def executor_names() -> tuple[str, ...]:
    """The names that make_executor knows."""
    return (*_OWN, *sorted({entry.name for entry in entry_points(group=GROUP)} - set(_OWN)))


def make_executor(name: str, directory: Path, build: Build) -> Executor:
    """Open an executor, one of executor_names, for a build in a directory. UserError if something that it needs is missing."""
    if name == "board":
        return BoardExecutor(require_bitstream(directory, build.configuration))
    if name == "emulator":
        return Emulator(directory / "cpp", build.configuration)
    if name == "reference":
        return ReferenceMachine(build.configuration)
    (entry,) = {entry.value: entry for entry in entry_points(group=GROUP) if entry.name == name}.values()
    return entry.load()(directory, build.configuration)


def choose_executor(directory: Path, build: Build) -> tuple[str, str]:
    """The executor that auto takes, and why: the board if PYNQ finds one and there is a bitstream for it, otherwise the emulator."""
    if missing := board_missing():
        return "emulator", missing
    bitstream = find_bitstream(directory, build.configuration)
    if bitstream is None:
        return (
            "emulator",
            f"PYNQ finds a board, but there is no bitstream for configuration {build.configuration.name} (fingerprint "
            f"{build.fingerprint})",
        )
    return "board", f"PYNQ finds a board, and {bitstream} is for this configuration"


def require_fingerprint(executor: Executor, name: str, build: Build) -> None:
    """Raises UserError unless the executor is of the build's configuration. name: of the executor."""
    if executor.fingerprint != build.fingerprint:
        raise UserError(
            f"build {build.name} has fingerprint {build.fingerprint}, the {name} has {executor.fingerprint}; "
            "generate the build for the configuration of that machine, or load the bitstream of the build"
        )


def checked_max_cycles(value: object) -> int:
    """The value as an int, numpy's integers too. UserError if it is none or does not fit the accelerator's register."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 1 <= value <= _LARGEST_MAX_CYCLES:
        return int(value)
    raise UserError(
        f"max_cycles is {value!r}; it takes an integer from 1 to {_LARGEST_MAX_CYCLES}, and {MAX_CYCLES} by default"
    )
