"""The memories of a design before they are mapped to blocks: their sizes, and whether their read data goes to a register at once.

A vendor tool moves a register that takes nothing but a memory's read data into the block RAM or UltraRAM itself (AMD UG901, UG573). With
anything between, a multiplexer say, the block's own slow output begins the path.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from moesaic.hls.hardware.resource_estimate import power_of_two
from moesaic.sim.measurements.synthesis import yosys
from moesaic.sim.measurements.synthesis.elaboration import Module

_MEMORY = re.compile(r"^  memory ", re.MULTILINE)
_STYLES = ("block", "ultra")
_REGISTERS = (
    "$dff",
    "$dffe",
    "$sdff",
    "$sdffe",
    "$sdffce",
    "$adff",
    "$adffe",
    "$dffsr",
    "$dffsre",
    "$aldff",
    "$aldffe",
)
_SHAPES = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))
"""Widths and depths of a block RAM of 18 Kb with a read and a write port (AMD UG573, simple dual port)."""


@dataclass(frozen=True)
class Memory:
    """A memory in block RAM or UltraRAM.

    name: of the signal. style: "block" or "ultra". width, depth: in bits and words. registered: whether all its read data goes to the data
    pins of registers and nowhere else. bytewise: whether bytes of a word are written apart, so that the ninth bit of each is lost.
    """

    name: str
    style: str
    width: int
    depth: int
    registered: bool
    bytewise: bool

    @property
    def rounding(self) -> int:
        """Block RAMs of 18 Kb that it takes more if its depth is rounded up to a power of two, as Vivado may do."""
        if self.style != "block":
            return 0
        width = -(-self.width // 8) * 9 if self.bytewise else self.width
        return _blocks(width, power_of_two(self.depth)) - _blocks(width, self.depth)


def _blocks(width: int, depth: int) -> int:
    return min(-(-width // wide) * -(-depth // deep) for wide, deep in _SHAPES)


def find(modules: Mapping[str, Module]) -> dict[str, list[Memory]]:
    """Module name to the memories that its own text has, for those that have any in block RAM or UltraRAM.

    Raises InternalError if Yosys fails.
    """
    holders = [name for name, module in modules.items() if _MEMORY.search(module.text)]
    if not holders:
        return {}
    below = {name for holder in holders for name in modules[holder].instances} - set(holders)
    text = "".join(modules[name].interface for name in sorted(below)) + "".join(modules[name].text for name in holders)
    with tempfile.TemporaryDirectory(prefix="moesaic-") as directory:
        source, result = Path(directory) / "memories.il", Path(directory) / "memories.json"
        source.write_text(text, encoding="utf-8")
        commands = (
            "opt_expr",
            "opt_clean",
            "opt_merge",
            "opt_dff",
            "opt_clean",
            "memory_dff",
            "opt_reduce",
            "opt_clean",
        )
        yosys.run([f'read_rtlil "{source}"', *commands, f'write_json "{result}"'])
        written = json.loads(result.read_text(encoding="utf-8"))["modules"]
    found = {name: _of_module(written[name.removeprefix("\\")]) for name in holders}
    return {name: memories for name, memories in found.items() if memories}


def _of_module(module: dict) -> list[Memory]:
    loads: dict[int, set[str]] = defaultdict(set)
    for cell in module["cells"].values():
        for pin, bits in cell["connections"].items():
            # Yosys does not know the pins of an instantiated DSP48E2; none of its outputs is a memory's data.
            if cell.get("port_directions", {}).get(pin) != "output":
                use = "register" if cell["type"] in _REGISTERS and pin == "D" else "other"
                for bit in bits:
                    loads[bit].add(use)
    for port in module["ports"].values():
        if port["direction"] == "output":
            for bit in port["bits"]:
                loads[bit].add("other")
    memories = []
    for name, memory in module.get("memories", {}).items():
        style = memory["attributes"].get("ram_style", "")
        if style not in _STYLES:
            continue
        data = [
            bit
            for cell in module["cells"].values()
            if cell["type"] in ("$memrd", "$memrd_v2") and cell["parameters"]["MEMID"].lstrip("\\") == name.lstrip("\\")
            for bit in cell["connections"]["DATA"]
            if isinstance(bit, int)
        ]
        registered = all(loads[bit] <= {"register"} for bit in data)
        memories.append(Memory(name, style, memory["width"], memory["size"], registered, _bytewise(module, name)))
    return memories


def _bytewise(module: dict, name: str) -> bool:
    """Whether a memory's write enables, of all its write ports, have a byte that the bits beside it do not share."""
    enables = [
        cell["connections"]["EN"]
        for cell in module["cells"].values()
        if cell["type"] in ("$memwr", "$memwr_v2") and cell["parameters"]["MEMID"].lstrip("\\") == name.lstrip("\\")
    ]
    runs = [len(list(bits)) for _, bits in groupby(zip(*enables))]
    return len(runs) > 1 and min(runs) == 8
