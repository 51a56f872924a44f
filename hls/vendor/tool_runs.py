"""Starting AMD's tools: which of them can be used, how they are called, and what is told when one is missing or fails."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from moesaic.errors import UserError
from moesaic.vendor_tools import VITIS_HLS, VITIS_RUN, VendorTool, find_tool, is_supported, tool_version


def usable(tool: VendorTool) -> Path | None:
    """The program of a tool if PATH has it in a version that the flows were written for."""
    path = find_tool(tool)
    return path if path is not None and is_supported(tool, tool_version(path)) else None


def absence(tool: VendorTool) -> str:
    """How a tool is missing: not there, or in a version that the flows were not written for."""
    path = find_tool(tool)
    version = None if path is None else tool_version(path)
    return tool.program if version is None else f"{tool.program} ({tool.range}; {'{}.{}'.format(*version)} was found)"


def hls_command() -> list[str] | None:
    """What runs a Tcl script of Vitis HLS, to be followed by the script; None if no such tool can be used."""
    run, classic = usable(VITIS_RUN), usable(VITIS_HLS)
    if run is not None:
        return [str(run), "--mode", "hls", "--tcl"]
    return None if classic is None else [str(classic), "-f"]


def hls_invocations() -> tuple[str, str]:
    """How a user calls each of the two programs that run a Tcl script of Vitis HLS, to be followed by the script."""
    return f"{VITIS_HLS.program} -f", f"{VITIS_RUN.program} --mode hls --tcl"


def require_plain_path(directory: Path) -> None:
    """UserError unless AMD's tools can work in a directory: they hand paths on unquoted, in lists of Tcl and lines of a shell."""
    special = re.search(r"[^\w./+@:,=~-]", str(directory.resolve()))
    if special:
        raise UserError(
            f"AMD's tools cannot work in {directory.resolve()}: the path has a {special[0]!r};"
            " name a directory whose path has only letters, digits and . _ - + @ : , = ~"
        )


def hls_absence() -> str:
    """How both programs that could run Vitis HLS are missing."""
    return f"{absence(VITIS_RUN)} or {absence(VITIS_HLS)}"


def run_script(command: Sequence[str], script: str, directory: Path, log: str) -> None:
    """Run a tool on a script in `directory`; a UserError with the first error that it logged if it fails."""
    print(f"{Path(command[0]).name} {script}: log in {directory / log}", flush=True)
    with open(directory / f"{script}.out", "w") as output:
        process = subprocess.run(
            [*command, script], cwd=directory, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if process.returncode != 0:
        text = (directory / f"{script}.out").read_text(errors="replace")
        first = re.search(r"^(?:ERROR|\w+ failed).*$", text, re.MULTILINE)
        reason = first[0] if first else "it says no error"
        raise UserError(
            f"{Path(command[0]).name} exits {process.returncode} on {script}: {reason}; see {directory / script}.out"
        )
