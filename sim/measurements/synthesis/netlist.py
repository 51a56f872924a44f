"""Synthesise modules for UltraScale+ and keep their netlists under a hash of all inputs."""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moesaic.errors import InternalError
from moesaic.files import write_file
from moesaic.sim.measurements.synthesis import yosys
from moesaic.sim.measurements.synthesis.elaboration import Module

FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")
CLOCKS = ("C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK", "CLKA", "CLKB")
"""Clock pins of flip-flops, memories and DSPs."""
SYNTHESIS = "synth_xilinx -family xcup -noiopad -noclkbuf -top batch"
_BATCH_BYTES = 300_000
_FORMAT = "2"
"""Of what is kept; part of its hash."""
_SLICE, _REGISTERS = "DSP48E2", ("AREG", "BREG", "MREG", "PREG")


@dataclass(frozen=True)
class Netlist:
    """A synthesised module.

    ports: name to (direction, bits). cells: (name, type, port to bits), where a type is a primitive or a module; unconnected ports
    are left out. names: bit to the name of its signal, in the sources or, failing that, in Yosys. Bits are integers, or "0", "1"
    and "x" for constants. registers: name of a DSP48E2 to the numbers of registers that its parameters AREG,
    BREG, MREG and PREG ask for.
    """

    ports: Mapping[str, tuple[str, list[int | str]]]
    cells: list[tuple[str, str, dict[str, list[int | str]]]]
    names: Mapping[int, str]
    registers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the netlist as gzip-compressed JSON."""
        names = {str(bit): name for bit, name in self.names.items()}
        return gzip.compress(
            json.dumps([self.ports, self.cells, names, self.registers]).encode(), compresslevel=3, mtime=0
        )

    @staticmethod
    def decode(data: bytes) -> Netlist:
        """Return the netlist that `encode` turned into `data`."""
        ports, cells, names, registers = json.loads(gzip.decompress(data))
        bits = {int(bit): name for bit, name in names.items()}
        return Netlist(ports, [tuple(cell) for cell in cells], bits, registers)


def keys(modules: Mapping[str, Module]) -> dict[str, str]:
    """Module name to the hash under which its netlist is kept, 24 hex digits. Raises UserError if Yosys is missing."""
    shape = f"{yosys.version()}\n{SYNTHESIS}\n{_FORMAT}\n"
    return {
        name: hashlib.sha256(
            (shape + module.text + "".join(sorted({modules[below].interface for below in module.instances}))).encode()
        ).hexdigest()[:24]
        for name, module in modules.items()
    }


def path_of(cache: Path, module: Module, key: str) -> Path:
    """Return the file in which a module's netlist is kept; it need not exist."""
    return cache / f"{module.base}-{key}.json.gz"


def batches(modules: Mapping[str, Module], missing: Iterable[str]) -> list[list[str]]:
    """Group modules so that each group is worth a process: starting Yosys takes as long as synthesising a small module."""
    groups: list[list[str]] = []
    size = _BATCH_BYTES
    for name in missing:
        length = len(modules[name].text)
        if size + length > _BATCH_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += length
    return groups


def batch_source(modules: Mapping[str, Module], batch: Sequence[str]) -> str:
    """The modules of a batch in RTLIL, under a module `batch` that keeps them all. Modules below them are black boxes."""
    below = {name for module in batch for name in modules[module].instances} - set(batch)
    cells = "".join(f"  attribute \\keep 1\n  cell {name} \\u{index}\n  end\n" for index, name in enumerate(batch))
    return (
        "".join(modules[name].interface for name in sorted(below))
        + "".join(modules[name].text for name in batch)
        + f"module \\batch\n{cells}end\n"
    )


def synthesise(modules: Mapping[str, Module], batch: Iterable[str]) -> dict[str, Netlist]:
    """Netlists of the modules in a batch by name. Modules below them are black boxes, and nothing is optimised across boundaries.

    Raises:
        InternalError: Yosys fails, or leaves a cell that is not a primitive.
    """
    batch = list(batch)
    with tempfile.TemporaryDirectory(prefix="moesaic-") as directory:
        source, result = Path(directory) / "batch.il", Path(directory) / "batch.json"
        source.write_text(batch_source(modules, batch), encoding="utf-8")
        yosys.run([f'read_rtlil "{source}"', SYNTHESIS, f'write_json "{result}"'])
        written = json.loads(result.read_text(encoding="utf-8"))["modules"]
    # JSON omits the backslash of a public name.
    return {name: _netlist(written[name.removeprefix("\\")]) for name in batch}


def _netlist(module: dict) -> Netlist:
    names: dict[int, str] = {}
    for name, net in module["netnames"].items():
        for index, bit in enumerate(net["bits"]):
            label = name if len(net["bits"]) == 1 else f"{name}[{index + net.get('offset', 0)}]"
            if isinstance(bit, int) and (bit not in names or (names[bit][0] == "$") > (label[0] == "$")):
                names[bit] = label
    ports = {name: (port["direction"], port["bits"]) for name, port in module["ports"].items()}
    cells = [
        (name, cell["type"], {pin: bits for pin, bits in cell["connections"].items() if bits})
        for name, cell in module["cells"].items()
    ]
    internal = sorted(
        {kind for _, kind, _ in cells if kind[0] == "$" and not kind.startswith("$paramod")} - {"$scopeinfo"}
    )
    if internal:
        raise InternalError(f"synthesis left {', '.join(internal)}")
    registers = {
        name: {key: int(cell["parameters"][key], 2) for key in _REGISTERS}
        for name, cell in module["cells"].items()
        if cell["type"] == _SLICE and all(key in cell["parameters"] for key in _REGISTERS)
    }
    return Netlist(ports, [cell for cell in cells if cell[1] != "$scopeinfo"], names, registers)


def load(cache: Path, module: Module, key: str) -> Netlist:
    """The netlist kept for a module. Raises FileNotFoundError if there is none."""
    return Netlist.decode(path_of(cache, module, key).read_bytes())


def store(cache: Path, module: Module, key: str, netlist: Netlist) -> None:
    """Keep a module's netlist. Raises UserError if its file cannot be written."""
    write_file(path_of(cache, module, key), netlist.encode())
