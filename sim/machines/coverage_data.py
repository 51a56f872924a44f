"""Whether simulators count coverage, and where each leaves what it counted."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

VARIABLE = "MOESAIC_RTL_COVERAGE"
"""Environment variable: an existing directory in which every simulator leaves a file when it ends; unset for none."""


def coverage_directory() -> Path | None:
    """Where coverage is collected, None if it is not."""
    directory = os.environ.get(VARIABLE)
    return Path(directory).resolve() if directory else None


def coverage_arguments() -> list[str]:
    """Command-line arguments of a simulator that make it write a file of its own there; none if coverage is not collected."""
    directory = coverage_directory()
    return [] if directory is None else [f"+verilator+coverage+file+{directory / uuid.uuid4().hex}.dat"]
