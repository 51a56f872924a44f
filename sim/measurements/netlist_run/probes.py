"""Let the modules of a netlist report handshakes that are unknown, by the names that they kept."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MODULE = re.compile(r"^module (\S+) ?\((.*?)\);\n(.*?)^endmodule$", re.MULTILINE | re.DOTALL)
_WIRE = re.compile(r"^  (?:wire|reg) (?:\[\d+:\d+\] )?(\\\S+ |\w+)(?: = [^;]*)?;$", re.MULTILINE)
_HANDSHAKE = re.compile(r"(?:^|[_.\\])(?:valid|busy|done|empty|completed|accept|halt)(?:_[a-z]{1,2})?$")


def probed(netlist: str, bench: str) -> str:
    """The netlist with a block in each clocked module that prints a line `UNKNOWN ...`, once a signal, when a handshake is unknown.

    netlist: Verilog as Yosys writes it. bench: name of the top module, whose signal `judged` says from when on.
    """
    return _MODULE.sub(lambda match: _with_probes(match, bench), netlist)


def handshakes(body: str) -> list[str]:
    """Names of the signals that say that something is there or has happened: those that end in `valid`, `busy`, `done` and the like.

    A `ready` means nothing while nothing is valid, and may be unknown until then. body: of a module; names as Verilog spells them.
    """
    return [name for name in _WIRE.findall(body) if is_handshake(name.strip())]


def is_handshake(name: str) -> bool:
    """Whether a signal, whose modules stand before it with dots between, says that something is there or has happened; see `handshakes`."""
    return _HANDSHAKE.search(name) is not None


def probe(names: Mapping[str, str], clock: str, bench: str) -> str:
    """Statements of a module that print a line `UNKNOWN ...`, once a net, when it is unknown at a clock edge.

    names: of the nets, one bit each. bench: see `probed`.
    """
    cases = "".join(
        f'          {index}: $display("UNKNOWN {_text(name)}");\n' for index, name in enumerate(names.values())
    )
    return (
        f"  wire [{len(names) - 1}:0] probe_seen = {{{', '.join(reversed(list(names)))}}};\n"
        f"  reg [{len(names) - 1}:0] probe_told = {len(names)}'d0;\n  integer probe_index;\n"
        f"  always @(posedge {clock})\n    if ({bench}.judged && (^(probe_seen & ~probe_told)) === 1'bx)\n"
        f"      for (probe_index = 0; probe_index < {len(names)}; probe_index = probe_index + 1)\n"
        "        if (!probe_told[probe_index] && (^probe_seen[probe_index]) === 1'bx) begin\n"
        f"          probe_told[probe_index] = 1'b1;\n          case (probe_index)\n{cases}          endcase\n        end\n"
    )


def _with_probes(match: re.Match[str], bench: str) -> str:
    body = match.group(3)
    names = handshakes(body)
    if not names or not re.search(r"^  input clk_i;$", body, re.MULTILINE):
        return match.group()
    checks = "".join(
        f"      if (!probe_told[{index}] && (^{name}) === 1'bx) begin\n"
        f'        $display("UNKNOWN %m: {_text(name)}");\n        probe_told[{index}] = 1\'b1;\n      end\n'
        for index, name in enumerate(names)
    )
    probe = (
        f"  reg [{len(names) - 1}:0] probe_told = {len(names)}'d0;\n"
        f"  always @(posedge clk_i)\n    if ({bench}.judged) begin\n{checks}    end\n"
    )
    return match.group().removesuffix("endmodule") + probe + "endmodule"


def _text(name: str) -> str:
    return name.strip().replace("\\", "").replace("%", "%%").replace('"', "")
