"""A netlist of cells as one module of one-bit nets, in the form that Icarus Verilog is fast with.

Flip-flops of the same control signals become one vector, so that a few hundred processes wake at a clock edge instead of one for each of
them, and none costs much while its enable is low. Each lookup table becomes a primitive, each other gate the expressions of Yosys' model.
Unknown values take the same ways as through the models of the cells.

Nets are of one bit: of a vector that many cells drive a bit of, as Yosys writes them, Icarus resolves all drivers anew when a bit changes.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from moesaic.caches import cache_directory
from moesaic.errors import InternalError
from moesaic.files import write_file
from moesaic.sim.measurements.netlist_run.lookup_tables import primitive
from moesaic.sim.measurements.netlist_run.probes import is_handshake, probe
from moesaic.sim.measurements.synthesis import yosys

_WORD_BITS = 64
"""Vectors up to this size cost Icarus no allocation."""
_SCOPE_NETS = 256
"""The time in which Icarus compiles is quadratic in the nets of a scope."""
_FORMAT = "1"
"""Of what is kept; part of its hash."""
_CLOCK = "clk_i"

_Bits = list[int | str]


def flattened(netlist: str, top: str, bench: str) -> str:
    """Verilog of the module `top` without modules below it but cells, in which a handshake that becomes unknown is printed.

    The result is kept and reused. Of flip-flops, lookup tables, multiplexers, carry chains and shift registers nothing is left; the other
    cells are instantiated.

    Args:
        netlist: Verilog as Yosys writes it, one instance a line.
        top: a module of it, with an input clk_i.
        bench: name of the top module of the simulation, whose signal `judged` says from when on handshakes are looked at.

    Raises:
        UserError: Yosys is missing.
        InternalError: Yosys fails, or a cell has a mode that is not modelled.
    """
    key = "\n".join((yosys.version(), _FORMAT, top, bench, netlist))
    kept = cache_directory("netlists") / f"flat-{hashlib.sha256(key.encode()).hexdigest()[:24]}.v"
    if not kept.exists():
        write_file(kept, verilog(_read(netlist, top), top, bench).encode())
    return kept.read_text(encoding="utf-8")


def _read(netlist: str, top: str) -> dict:
    """The module `top` as Yosys writes it in JSON when everything below it is flattened."""
    with tempfile.TemporaryDirectory(prefix="moesaic-") as directory:
        source, result = Path(directory) / "netlist.v", Path(directory) / "flat.json"
        source.write_text(netlist, encoding="utf-8")
        commands = ["read_verilog -lib +/xilinx/cells_sim.v +/xilinx/cells_xtra.v", f'read_verilog "{source}"']
        commands += [
            f"hierarchy -top {top}",
            "flatten -noscopeinfo",
            f"select {top}",
            f'write_json -selected "{result}"',
        ]
        yosys.run(commands)
        return json.loads(result.read_text(encoding="utf-8"))["modules"][top]


def verilog(module: Mapping, top: str, bench: str) -> str:
    """The same as `flattened` for a module of cells as Yosys writes it in JSON."""
    kinds: dict[str, list[_Cell]] = defaultdict(list)
    for name, cell in module["cells"].items():
        kinds[cell["type"]].append(_Cell(name, cell))
    primitives: dict[str, str] = {}
    lines: list[str] = []
    for kind, cells in kinds.items():
        if kind.startswith("LUT"):
            lines += (_lookup(cell, primitives) for cell in cells)
        elif kind in _GATES:
            lines += (_GATES[kind](cell) for cell in cells)
        elif kind in ("FDRE", "FDSE"):
            lines += _registers(kind, cells)
        elif kind == "SRL16E":
            lines += _shift_registers(cells)
        elif kind.startswith("$"):
            raise InternalError(f"the netlist has {kind}, which is no cell of the device")
        else:
            lines += (_instance(kind, cell) for cell in cells)
    handshakes = _handshakes(module["netnames"])
    if handshakes:
        lines.append(probe(handshakes, _net(module["ports"][_CLOCK]["bits"][0]), bench))
    return "".join(primitives.values()) + _shell(module, top, lines)


class _Cell:
    """A cell: its name, parameters and nets.

    parameters: as Yosys writes them, bits as text. pins: name to the net of each bit, lowest first.
    """

    def __init__(self, name: str, cell: Mapping) -> None:
        self.name, self.parameters = name, cell["parameters"]
        self.pins: Mapping[str, _Bits] = cell["connections"]

    def net(self, pin: str, bit: int = 0) -> str:
        """A net of the cell as Verilog spells it."""
        return _net(self.pins[pin][bit]) if self.pins.get(pin) else "1'bz"

    def driven(self, pin: str, value: str, bit: int = 0) -> str:
        """Verilog that lets a pin have a value; nothing if nothing is connected to it."""
        return f"  assign {self.net(pin, bit)} = {value};\n" if self.pins.get(pin) else ""

    def require_plain(self) -> None:
        """InternalError if a pin is inverted."""
        for name, value in self.parameters.items():
            if name.startswith("IS_") and "1" in value:
                raise InternalError(f"the netlist has {self.name} with {name}, which is not modelled")


def _net(bit: int | str) -> str:
    return f"{_scope(bit)}.n{bit}" if isinstance(bit, int) else f"1'b{bit}"


def _scope(bit: int) -> str:
    return f"nets{bit // _SCOPE_NETS}"


def _vector(nets: Iterable[str]) -> str:
    """Nets as a vector, lowest bit first."""
    return "{" + ", ".join(reversed(list(nets))) + "}"


def _lookup(cell: _Cell, primitives: dict[str, str]) -> str:
    inputs = sorted(pin for pin in cell.pins if pin != "O")
    table = cell.parameters["INIT"].rjust(1 << len(inputs), "0")
    name = f"lookup{len(inputs)}_{int(table, 2):x}"
    if name not in primitives:
        primitives[name] = primitive(name, table)
    return f"  {name} ({', '.join(cell.net(pin) for pin in ['O', *inputs])});\n"


def _carry(cell: _Cell) -> str:
    into = f"{cell.net('CI')} | {cell.net('CYINIT')}"
    lines = []
    for n in range(4):
        select = cell.net("S", n)
        lines.append(cell.driven("O", f"{select} ^ ({into})", n))
        lines.append(cell.driven("CO", f"{select} ? {into} : {cell.net('DI', n)}", n))
        into = cell.net("CO", n)
    return "".join(lines)


def _multiplexer(cell: _Cell) -> str:
    return cell.driven("O", f"{cell.net('S')} ? {cell.net('I1')} : {cell.net('I0')}")


def _inverter(cell: _Cell) -> str:
    return cell.driven("O", f"~{cell.net('I')}")


_GATES = {"CARRY4": _carry, "MUXF7": _multiplexer, "MUXF8": _multiplexer, "INV": _inverter}


def _words(cells: Iterable[_Cell], pins: Iterable[str]) -> Iterable[list[_Cell]]:
    """Cells with the same nets at the pins, up to as many as a word has bits."""
    groups: dict[tuple[str, ...], list[_Cell]] = defaultdict(list)
    for cell in cells:
        cell.require_plain()
        groups[tuple(cell.net(pin) for pin in pins)].append(cell)
    for group in groups.values():
        for start in range(0, len(group), _WORD_BITS):
            yield group[start : start + _WORD_BITS]


def _enabled(enable: str, value: str, held: str) -> str:
    return value if enable == "1'b1" else f"{enable} ? {value} : {held}"


def _registers(kind: str, cells: Iterable[_Cell]) -> Iterable[str]:
    reset_pin, reset_value = ("R", "0") if kind == "FDRE" else ("S", "1")
    for number, word in enumerate(_words(cells, ("C", "CE", reset_pin))):
        first, name, bits = word[0], f"{kind.lower()}{number}", len(word)
        data, value = _data(name, word)
        value = _enabled(first.net("CE"), value, name)
        if first.net(reset_pin) != "1'b0":
            value = f"{first.net(reset_pin)} ? {{{bits}{{1'b{reset_value}}}}} : {value}"
        start = "".join(cell.parameters["INIT"] for cell in reversed(word))
        outputs = "".join(cell.driven("Q", f"{name}[{n}]") for n, cell in enumerate(word))
        yield (
            f"  reg [{bits - 1}:0] {name} = {bits}'b{start};\n{data}"
            f"  always @(posedge {first.net('C')}) {name} <= {value};\n{outputs}"
        )


def _data(name: str, word: list[_Cell]) -> tuple[str, str]:
    """A declaration, if any, and the vector of the data of cells with the same enable.

    Of a register that is always enabled, a net follows what changes of the data; of others they are looked at when they are enabled.
    """
    data = _vector(cell.net("D") for cell in word)
    if word[0].net("CE") != "1'b1":
        return "", data
    return f"  wire [{len(word) - 1}:0] {name}_d = {data};\n", f"{name}_d"


def _shift_registers(cells: Iterable[_Cell]) -> Iterable[str]:
    """Shift registers of a fixed length, a vector for each step; their contents start unknown."""
    for number, word in enumerate(_words(cells, ("CLK", "CE", "A0", "A1", "A2", "A3"))):
        first, bits = word[0], len(word)
        address = [first.pins[f"A{n}"][0] for n in range(4)]
        if not set(address) <= {"0", "1"}:
            yield from (_instance("SRL16E", cell) for cell in word)
            continue
        data, value = _data(f"srl{number}", word)
        steps = [f"srl{number}_{n}" for n in range(1 + sum(int(bit) << n for n, bit in enumerate(address)))]
        moves = "".join(
            f"    {step} <= {_enabled(first.net('CE'), before, step)};\n"
            for step, before in zip(steps, [value, *steps], strict=False)
        )
        yield (
            f"  reg [{bits - 1}:0] {', '.join(steps)};\n{data}"
            f"  always @(posedge {first.net('CLK')}) begin\n{moves}  end\n"
            + "".join(cell.driven("Q", f"{steps[-1]}[{n}]") for n, cell in enumerate(word))
        )


def _instance(kind: str, cell: _Cell) -> str:
    parameters = ", ".join(f".{name}({_parameter(value)})" for name, value in cell.parameters.items())
    pins = ", ".join(f".{name}({_vector(map(_net, bits))})" for name, bits in cell.pins.items() if bits)
    given = f"#({parameters}) " if parameters else ""
    return f"  {kind} {given}\\{cell.name}  ({pins});\n"


def _parameter(value: str) -> str:
    # Yosys marks a text that could be taken for bits by a space after it.
    bits = set(value) <= set("01xz")
    return f"{len(value)}'b{value}" if bits else json.dumps(value[:-1] if value.endswith(" ") else value)


def _handshakes(nets: Mapping[str, Mapping]) -> dict[str, str]:
    """The net of each bit of a handshake to its shortest name."""
    names: dict[str, str] = {}
    for name in sorted(nets, key=lambda name: (len(name), name)):
        bits: _Bits = nets[name]["bits"]
        if is_handshake(name):
            for n, bit in enumerate(bits):
                if isinstance(bit, int):
                    names.setdefault(_net(bit), name if len(bits) == 1 else f"{name}[{n}]")
    return names


def _shell(module: Mapping, top: str, lines: Iterable[str]) -> str:
    ports = module["ports"]
    nets = {bit for cell in module["cells"].values() for bits in cell["connections"].values() for bit in bits}
    nets |= {bit for port in ports.values() for bit in port["bits"]}
    scopes: dict[str, list[str]] = defaultdict(list)
    for bit in sorted(bit for bit in nets if isinstance(bit, int)):
        scopes[_scope(bit)].append(f"n{bit}")
    declarations = [
        f"  if (1) begin : {scope}\n    wire {', '.join(names)};\n  end\n" for scope, names in scopes.items()
    ]
    for name, port in ports.items():
        bits = _vector(map(_net, port["bits"]))
        declarations.append(f"  {port['direction']} [{len(port['bits']) - 1}:0] {name};\n")
        declarations.append(
            f"  assign {bits} = {name};\n" if port["direction"] == "input" else f"  assign {name} = {bits};\n"
        )
    return f"module {top}({', '.join(ports)});\n{''.join(declarations)}{''.join(lines)}endmodule\n"
