"""Models of the cells that a netlist instantiates: Yosys' own, and those in cells/ of what Yosys only knows the pins of."""

from __future__ import annotations

import importlib.resources
import re
from collections import Counter
from pathlib import Path

from moesaic.errors import InternalError
from moesaic.sim.measurements.synthesis import yosys

CELL_DIRECTORY = Path(__file__).parent / "cells"
"""One file for each cell that Yosys has no model of, written from AMD's user guides, and for what several of them share."""

_MODULE = re.compile(r"^module (\w+)\b.*?^endmodule$", re.MULTILINE | re.DOTALL)
_SPECIFY = re.compile(r"^ *specify\b.*?^ *endspecify\n", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  (\w+) (?:#\(|\\?\S+ +\()", re.MULTILINE)
_SHARED = re.compile(r"^ +(moesaic_\w+) #\(", re.MULTILINE)
_FILLED = re.compile(
    r"^  ((?:SRL|RAM)\w+) #\(\n(?:    \.\w+\(.*\),\n)*?    \.INIT\w*\(\d+'[bdh][0x]*[1-9a-f]", re.MULTILINE
)
"""Shift registers and memories with contents other than zeros, which Yosys writes for unknown ones, or x."""
_DEFINED = re.compile(r"^module (\\\S+|\w+)", re.MULTILINE)
_BODY = re.compile(r"^module (\\\S+|\w+) ?\(.*?\);\n(.*?)^endmodule$", re.MULTILINE | re.DOTALL)
_ANY_INSTANCE = re.compile(r"^  (\\\S+|\w+) +(?:#\(|\S+ +\()", re.MULTILINE)


def cell_counts(netlist: str) -> Counter[str]:
    """The primitive cells of a netlist of many modules by kind, with those of each module as often as it is instantiated.

    netlist: Verilog as Yosys writes it, one instance a line, the top module last.
    """
    bodies = {match[1]: match[2] for match in _BODY.finditer(netlist)}
    totals: dict[str, Counter[str]] = {}
    for name, body in bodies.items():
        own = Counter(_ANY_INSTANCE.findall(body))
        totals[name] = sum((totals[kind] for kind in own.elements() if kind in totals), Counter())
        totals[name] += Counter({kind: number for kind, number in own.items() if kind not in totals})
    return totals[list(bodies)[-1]]


def cell_models(netlist: str) -> str:
    """Verilog text with a model of each primitive cell that a netlist uses, without timing checks.

    netlist: Verilog as Yosys writes it, one instance a line.

    Raises:
        UserError: Yosys is missing.
        InternalError: there is no model of a cell, or a memory has initial contents.
    """
    yosys.version()
    filled = sorted({match[1] for match in _FILLED.finditer(netlist)})
    if filled:
        raise InternalError(f"the netlist has {', '.join(filled)} with initial contents, which the models do not know")
    library = importlib.resources.files("pyosys") / "share" / "xilinx" / "cells_sim.v"
    theirs = {match.group(1): match.group() for match in _MODULE.finditer(library.read_text(encoding="utf-8"))}
    missing = sorted(set(_INSTANCE.findall(netlist)) - set(_DEFINED.findall(netlist)))
    models = []
    for name in missing:
        ours = CELL_DIRECTORY / f"{name}.sv"
        if ours.exists():
            models.append(ours.read_text(encoding="utf-8"))
            missing += sorted(set(_SHARED.findall(models[-1])) - set(missing))
        elif name in theirs:
            models.append(_SPECIFY.sub("", theirs[name]) + "\n")
        else:
            raise InternalError(f"the netlist uses {name}, of which neither Yosys nor {CELL_DIRECTORY} has a model")
    return "\n".join(models)
