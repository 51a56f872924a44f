"""Run Yosys commands in a separate process, because Yosys ends the process that it runs in when it finds an error."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

from moesaic.errors import InternalError, UserError
from moesaic.installation import how_to_install

_LOG_TAIL_LINES = 15
PROGRAM = """
import json, sys
from pyosys import libyosys
design = libyosys.Design()
for command in json.load(sys.stdin):
    libyosys.run_pass(command, design)
"""
"""Runs commands, a JSON list on standard input, on one design; it ends with another status than 0 when Yosys finds an error."""


def version() -> str:
    """The version of the installed Yosys.

    Raises:
        UserError: Yosys is missing.
    """
    if importlib.util.find_spec("pyosys") is None:
        raise UserError(f"pyosys is missing: open synthesis needs it; get it with: {how_to_install('pyosys')}")
    return importlib.metadata.version("pyosys")


def set_parameters(module: str, parameters: Mapping[str, int | str]) -> list[str]:
    """The command that sets parameters of a module that has been read; none without parameters.

    Not as options of hierarchy, which, in Yosys 0.70, makes a top whose instances have parameters of their own twice.
    """
    settings = "".join(f" -set {name} {value}" for name, value in sorted(parameters.items()))
    return [f"chparam{settings} {module}"] if settings else []


def run(commands: Sequence[str]) -> str:
    """Run commands in order on one design and return the log.

    Raises:
        InternalError: a command fails; the message ends with the tail of the log.
    """
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps(list(commands)), capture_output=True, text=True, check=False
    )
    if process.returncode:
        tail = "\n".join((process.stdout + process.stderr).splitlines()[-_LOG_TAIL_LINES:])
        raise InternalError(f"yosys: exit status {process.returncode}\n{tail}")
    return process.stdout
