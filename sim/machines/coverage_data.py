"""Whether simulators count coverage, and where each leaves what it counted."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from moesaic.spec.isa import INSTRUCTION_BYTES

VARIABLE = "MOESAIC_RTL_COVERAGE"
"""Environment variable: an existing directory in which every simulator leaves a file when it ends; unset for none."""

WITHOUT = "MOESAIC_RTL_COVERAGE_WITHOUT"
"""Environment variable: names of modules that simulators do not count, separated by spaces: small ones that a large machine has many of."""

PROGRAMS_SUFFIX = ".programs"
"""Of files with the instructions that were run."""


def coverage_directory() -> Path | None:
    """Where coverage is collected, None if it is not."""
    directory = os.environ.get(VARIABLE)
    return Path(directory).resolve() if directory else None


def coverage_configuration() -> str:
    """Lines of a .vlt file for Verilator: which modules are not counted."""
    return "".join(f'coverage_off -file "*/{module}.sv"\n' for module in os.environ.get(WITHOUT, "").split())


def coverage_arguments() -> list[str]:
    """Command-line arguments of a simulator that make it write files of its own there; none if coverage is not collected.

    They are .dat in Verilator's format, instances apart, and .plan as plan_points.sv writes it.
    """
    directory = coverage_directory()
    if directory is None:
        return []
    path = directory / uuid.uuid4().hex
    return ["--coverage-per-instance", f"+verilator+coverage+file+{path}.dat", f"+plan_file={path}.plan"]


def note_program(code: bytes) -> None:
    """Keep the instructions of a program that is about to run, if coverage is collected. code: 64 bytes each."""
    directory = coverage_directory()
    if directory is not None:
        with (directory / f"{os.getpid()}{PROGRAMS_SUFFIX}").open("ab") as stream:
            stream.write(code[: len(code) // INSTRUCTION_BYTES * INSTRUCTION_BYTES])
