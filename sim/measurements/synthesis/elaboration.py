"""Elaborate a design and split it into modules, each as RTLIL text that depends on nothing but the module itself."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moesaic.sim.measurements.synthesis import yosys

MERGED = (
    "moesaic_delay_line",
    "moesaic_dsp48_mac",
    "moesaic_exp2",
    "moesaic_fifo",
    "moesaic_port_buffer",
    "moesaic_row_address",
    "moesaic_skid_buffer",
)
"""Small modules that are flattened into the modules that instantiate them, where constants and unused bits fall away."""

DEFINES = ("MOESAIC_DSP48E2",)
"""Macros defined for the sources. This one makes moesaic_dsp48_mac instantiate its slice: Yosys absorbs no register or adder into one."""

_MODULE = re.compile(r"((?:^attribute [^\n]*\n)*)^module (\S+)\n(.*?)^end$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  cell (\S+) \S+$", re.MULTILINE)
_PORT = re.compile(r"^  wire (?:[a-z]+ (?:\d+ )?)*?(?:input|output|inout) \d+[^\n]*$", re.MULTILINE)
_SOURCE = re.compile(r"^ *attribute \\(?:src|hdlname) [^\n]*\n", re.MULTILINE)
_AUTOMATIC = re.compile(r'(?<=[\s"])[$\\](?!paramod)[^\s"]*(?:\$\d+|\.sv:\d+)[^\s"]*')
_HDLNAME = re.compile(r'^attribute \\hdlname "(.*)"$', re.MULTILINE)


@dataclass(frozen=True)
class Module:
    """One module with fixed parameters.

    name: unique name in Yosys. base: name in the sources. text: its RTLIL. interface: RTLIL of a black box with the same ports.
    instances: names of the modules instantiated in it, one entry per instance.
    """

    name: str
    base: str
    text: str
    interface: str
    instances: tuple[str, ...]


def elaborate(top: str, sources: Sequence[Path], parameters: Mapping[str, int | str]) -> dict[str, Module]:
    """The modules of the design by name, each after those that it instantiates; the last one is `top`.

    sources: SystemVerilog files, packages first. parameters: of the top module.

    Raises:
        InternalError: Yosys is missing or cannot read the sources.
    """
    defines = " ".join(f"-D {name}" for name in DEFINES)
    with tempfile.TemporaryDirectory(prefix="moesaic-") as directory:
        raw, split = Path(directory) / "raw.il", Path(directory) / "split.il"
        yosys.run(
            [
                "read_verilog -lib +/xilinx/cells_xtra.v",
                f"read_verilog -sv {defines} " + " ".join(f'"{path}"' for path in sources),
                *yosys.set_parameters(top, parameters),
                f"hierarchy -check -purge_lib -top {top}",
                "chformal -remove",
                "proc",
                f'write_rtlil "{raw}"',
            ]
        )
        bases = {name: _base(name, header) for header, name, _ in _MODULE.findall(raw.read_text(encoding="utf-8"))}
        kept = [name for name, base in bases.items() if base not in MERGED]
        top_name = next(name for name, base in bases.items() if base == top)
        yosys.run(
            [
                f'read_rtlil "{raw}"',
                *(f"setattr -mod -set keep_hierarchy 1 {name}" for name in kept),
                "flatten",
                f"hierarchy -top {top_name}",
                "opt_clean -purge",
                f'write_rtlil "{split}"',
            ]
        )
        texts = {
            name: body
            for header, name, body in _MODULE.findall(split.read_text(encoding="utf-8"))
            if "\\blackbox" not in header
        }
    modules = {name: _module(name, bases[name], body, texts) for name, body in texts.items()}
    ordered: dict[str, Module] = {}

    def visit(name: str) -> None:
        for below in modules[name].instances:
            if below not in ordered:
                visit(below)
        ordered[name] = modules[name]

    visit(top_name)
    return ordered


def _base(name: str, header: str) -> str:
    found = _HDLNAME.search(header)
    return found.group(1).lstrip("\\") if found else name.lstrip("\\")


def _module(name: str, base: str, body: str, known: Mapping[str, str]) -> Module:
    body = _SOURCE.sub("", body)
    automatic: dict[str, str] = {}

    def rename(match: re.Match[str]) -> str:
        plain = match.group().replace("\\\\", "\\")  # as written outside a string
        return automatic.setdefault(plain, f"$automatic${len(automatic)}")

    # Yosys numbers generated names across the whole design and puts source lines into them.
    body = _AUTOMATIC.sub(rename, body)
    ports = "".join(line + "\n" for line in _PORT.findall(body))
    return Module(
        name,
        base,
        f"attribute \\keep_hierarchy 1\nmodule {name}\n{body}end\n",
        f"attribute \\blackbox 1\nattribute \\keep_hierarchy 1\nmodule {name}\n{ports}end\n",
        tuple(cell for cell in _CELL.findall(body) if cell in known),
    )
