"""What a simulator counted, read from its data file; and the sum over many of them."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY

_POINT = re.compile(rb"C '([^']*)' (\d+)")
_TOGGLE = re.compile(
    rb"C '\x01f\x02(?:[^\x01]*/)?(\w+)\.sv\x01l\x02(\d+)\x01n\x02\d+\x01t\x02toggle\x01page\x02([^\x01]*)"
    rb"\x01o\x02([^\x01]*):(?:0->1|1->0)\x01h\x02([^'\x01]*)' (\d+)"
)
"""Module, line, page, signal, instance, count: nearly every point is one of these."""
_WHOLE = 1 << 20


@dataclass(frozen=True, order=True)
class Block:
    """A piece of code that runs as a whole, or one side of a condition; it begins at `line` of `module`'s file.

    kind: what Verilator calls it, "if", "else", "case", "block", "cond_then" and so on. column: where it begins. lines: as Verilator lists
    them, such as "12-14,16".
    """

    module: str
    line: int
    column: int
    kind: str
    lines: str

    @property
    def branch(self) -> bool:
        """Whether it is one of several ways."""
        return self.kind != "block"

    def covered_lines(self) -> Iterator[int]:
        """The numbers of its lines."""
        for part in self.lines.split(","):
            first, _, last = part.partition("-")
            yield from range(int(first), int(last or first) + 1)


@dataclass(frozen=True, order=True)
class Bit:
    """A bit of a signal. name: as Verilator spells it, with its index."""

    module: str
    line: int
    name: str


@dataclass
class Counts:
    """How often blocks ran, in all instances and simulations together; how often, at most, a bit moved in one instance of one simulation.

    A signal that only goes from what it held at power-up to its value and stays there moves in every simulation, and would have
    moved often enough if simulations were added up.
    """

    blocks: dict[Block, int] = field(default_factory=dict)
    bits: dict[Bit, int] = field(default_factory=dict)

    def add(self, other: Counts) -> None:
        """Take in another simulation."""
        for block, count in other.blocks.items():
            self.blocks[block] = self.blocks.get(block, 0) + count
        for bit, moves in other.bits.items():
            self.bits[bit] = max(self.bits.get(bit, 0), moves)

    def packed(self) -> str:
        """As a text that JSON can hold."""
        content = {
            "blocks": [[b.module, b.line, b.column, b.kind, b.lines, count] for b, count in self.blocks.items()],
            "bits": [[b.module, b.line, b.name, moves] for b, moves in self.bits.items()],
        }
        return base64.b85encode(zlib.compress(json.dumps(content).encode())).decode()

    @staticmethod
    def unpacked(text: str) -> Counts:
        """What `packed` made a text of."""
        content = json.loads(zlib.decompress(base64.b85decode(text)))
        return Counts(
            {Block(*values): count for *values, count in content["blocks"]},
            {Bit(*values): moves for *values, moves in content["bits"]},
        )


def accelerator_modules(directory: Path = RTL_DIRECTORY) -> frozenset[str]:
    """The modules and packages of the accelerator: a file has the name of its module."""
    return frozenset(path.stem for path in directory.glob("*.sv"))


def read_counts(path: Path, modules: frozenset[str]) -> Counts:
    """The points of these modules in a data file of Verilator, of a simulation that told instances apart.

    Modules with different parameters are one. Raises OSError if the file cannot be read.
    """
    blocks: dict[Block, int] = defaultdict(int)
    moves: dict[tuple[bytes, ...], int] = defaultdict(int)
    with path.open("rb") as stream:
        for text in stream:
            if toggle := _TOGGLE.match(text):
                *instance, count = toggle.groups()
                moves[tuple(instance)] += min(int(count), _WHOLE)
            elif (point := _POINT.match(text)) and (block := _block(point[1].decode(), modules)):
                blocks[block] += min(int(point[2]), _WHOLE)
    most: dict[tuple[bytes, ...], int] = defaultdict(int)
    for (module, line, _, signal, _), number in moves.items():
        most[module, line, signal] = max(most[module, line, signal], number)
    counts = Counts(dict(blocks))
    for (module, line, signal), number in most.items():
        if module.decode() in modules:
            counts.bits[Bit(module.decode(), int(line), signal.decode())] = number
    return counts


def _block(content: str, modules: frozenset[str]) -> Block | None:
    """The block of a point, None if it is in none of these modules."""
    values = dict(part.split("\x02", 1) for part in content.split("\x01") if part)
    module = values["f"].rpartition("/")[2].removesuffix(".sv")
    if module not in modules:
        return None
    return Block(module, int(values["l"]), int(values["n"]), values["o"], values.get("S", values["l"]))
