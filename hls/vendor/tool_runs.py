"""Runs AMD's tools: which ones are usable, how they are called, and what to tell the user if one is missing or fails."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from moesaic.errors import UserError
from moesaic.vendor_tools import VITIS_HLS, VITIS_RUN, VendorTool, find_tool, is_supported, tool_version

TAKES_TURNS = "the units of engine hls take turns instead of overlapping: about eight times the cycles of engine rtl, the same integers"
"""What to know before choosing between the two engines."""


def usable(tool: VendorTool) -> Path | None:
    """Path of a tool's program if it is on PATH in a version that the flows support, else None."""
    path = find_tool(tool)
    return path if path is not None and is_supported(tool, tool_version(path)) else None


def absence(tool: VendorTool) -> str:
    """What to report as missing: the tool's program, with the supported range if another version was found."""
    path = find_tool(tool)
    version = None if path is None else tool_version(path)
    return tool.program if version is None else f"{tool.program} ({tool.range}; {'{}.{}'.format(*version)} was found)"


def hls_command() -> list[str] | None:
    """The command that runs a Vitis HLS Tcl script, to which the script is appended; None if no such tool is usable."""
    run, classic = usable(VITIS_RUN), usable(VITIS_HLS)
    if run is not None:
        return [str(run), "--mode", "hls", "--tcl"]
    return None if classic is None else [str(classic), "-f"]


def hls_invocations() -> dict[str, str]:
    """The versions of Vitis in words, to the command that runs a Vitis HLS Tcl script there, to which the script is appended."""
    return {
        VITIS_RUN.range: f"{VITIS_RUN.program} --mode hls --tcl",
        VITIS_HLS.range: f"{VITIS_HLS.program} -f",
    }


def require_plain_path(directory: Path) -> None:
    """Raises UserError unless AMD's tools can work in a directory.

    They pass paths on unquoted, in Tcl lists and on shell command lines.
    """
    special = re.search(r"[^\w./+@:,=~-]", str(directory.resolve()))
    if special:
        raise UserError(
            f"AMD's tools cannot work in {directory.resolve()}: the path has a {special[0]!r};"
            " name a directory whose path has only letters, digits and . _ - + @ : , = ~"
        )


def hls_absence() -> str:
    """What to report as missing if neither program that runs Vitis HLS is usable."""
    return f"{absence(VITIS_RUN)} or {absence(VITIS_HLS)}"


def run_script(command: Sequence[str], script: str, directory: Path, log: str) -> None:
    """Run a tool on a script in `directory`. Raises UserError with the first error that it logged if it fails.

    command: the program with the options that precede the script.
    log: name of the log file that the tool writes; its output goes to `<script>.out`.
    """
    print(f"{Path(command[0]).name} {script}: log in {directory / log}", flush=True)
    with open(directory / f"{script}.out", "w", encoding="utf-8") as output:
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
