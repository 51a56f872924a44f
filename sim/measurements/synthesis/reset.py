"""Which registers of a design the reset leaves alone, as Yosys reads the sources."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from moesaic.sim.measurements.synthesis import yosys

_ROUNDS = 12
"""More than there are stages of registers between one that the reset sets and one that follows it, within a module."""

_MODULE = re.compile(r"((?:^attribute [^\n]*\n)*)^module (\S+)\n(.*?)^end$", re.MULTILINE | re.DOTALL)
_HDLNAME = re.compile(r'^attribute \\hdlname "(.*)"$', re.MULTILINE)
_RESET = re.compile(r"^  wire input \d+ \\rst_ni$", re.MULTILINE)
_REGISTER = re.compile(
    r"^  cell \$(?:dff|dffe|sdff|sdffe|sdffce|adff|adffe|aldff|aldffe|dffsr|dffsre) .*?^  end$",
    re.MULTILINE | re.DOTALL,
)
_OUTPUT = re.compile(r"^    connect \\Q (.*)$", re.MULTILINE)
_NAME = re.compile(r"\\(\S+)")
_BLOCK = re.compile(r"\bgen_\w+(?:\[\d+\])?\.")


def registers_without_reset(
    top: str, sources: Sequence[Path], parameters: Mapping[str, int | str]
) -> dict[str, frozenset[str]]:
    """Module to its registers that a reset of some cycles does not bring to one value, whatever they held before.

    A register counts if any of its bits does. The reset is rst_ni, held low; every other input of a module may be anything. Names of
    generate blocks are left out, and so are memories.

    Args: see moesaic.sim.measurements.synthesis.elaboration.elaborate.

    Raises:
        InternalError: Yosys is missing or cannot read the sources.
    """
    with tempfile.TemporaryDirectory(prefix="moesaic-") as directory:
        read, held, rest = (Path(directory) / f"{name}.il" for name in ("read", "held", "rest"))
        yosys.run(
            [
                "read_verilog -lib +/xilinx/cells_xtra.v",
                "read_verilog -sv -D MOESAIC_DSP48E2 " + " ".join(f'"{path}"' for path in sources),
                *yosys.set_parameters(top, parameters),
                f"hierarchy -check -purge_lib -top {top}",
                "chformal -remove",
                "proc",
                f'write_rtlil "{read}"',
            ]
        )
        text = _RESET.sub("  wire \\\\rst_ni\n  connect \\\\rst_ni 1'0", read.read_text(encoding="utf-8"))
        held.write_text(text, encoding="utf-8")
        # Nothing is cleaned away: a register that nobody looks at during the reset would go unseen.
        settle = ["opt_expr", "opt_dff -nosdff -nodffe"] * _ROUNDS
        yosys.run([f'read_rtlil "{held}"', *settle, f'write_rtlil "{rest}"'])
        found = rest.read_text(encoding="utf-8")
    left: dict[str, set[str]] = {}
    for header, name, body in _MODULE.findall(found):
        if "\\blackbox" in header:
            continue
        hdlname = _HDLNAME.search(header)
        module = hdlname.group(1).lstrip("\\") if hdlname else name.lstrip("\\")
        for cell in _REGISTER.findall(body):
            output = _OUTPUT.search(cell)
            # Names with a $ are Yosys' own: ports of memories, and variables of loops.
            names = {
                _BLOCK.sub("", word) for word in _NAME.findall(output.group(1) if output else "") if "$" not in word
            }
            left.setdefault(module, set()).update(names)
    return {module: frozenset(names) for module, names in sorted(left.items()) if names}
