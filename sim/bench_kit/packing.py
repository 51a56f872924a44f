"""Convert between lists of integers and packed vectors, `logic [N-1:0][W-1:0]`, whose element 0 is in the low bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moesaic.sim.machines.dut import Dut


def pack(values: Iterable[int], width: int) -> int:
    """Return `values`, signed or unsigned, packed into `width` bits each.

    Raises:
        ValueError: a value needs more than `width` bits.
    """
    mask = (1 << width) - 1
    word = 0
    for index, value in enumerate(map(int, values)):
        if not -(1 << (width - 1)) <= value <= mask:
            raise ValueError(f"value {value} of element {index} needs more than {width} bits")
        word |= (value & mask) << (index * width)
    return word


def unpack(word: int, width: int, count: int, *, signed: bool) -> list[int]:
    """Return the `count` elements of `width` bits each that are packed in `word`. signed: they are two's complement."""
    mask = (1 << width) - 1
    values = [(word >> (index * width)) & mask for index in range(count)]
    if signed:
        return [value - (1 << width) if value >> (width - 1) else value for value in values]
    return values


class PackedPorts:
    """Presents a design whose ports are packed arrays, `logic [count-1:0][W-1:0] <prefix>_<name>`, as `count` designs.

    `port(i)` has all signals of the design, but those whose names start with the prefix are reduced to element i.
    """

    def __init__(self, dut: Dut, prefix: str, count: int) -> None:
        self.dut = dut
        self.prefix = prefix
        self.count = count
        self.driven: dict[str, int] = {}

    def port(self, index: int) -> PackedPort:
        """Return the design with element `index` of every packed port, 0 to count - 1."""
        return PackedPort(self, index)


class PackedPort:
    """One of the designs that PackedPorts presents."""

    def __init__(self, ports: PackedPorts, index: int) -> None:
        self._ports = ports
        self._index = index

    def __getattr__(self, name: str) -> Any:
        if name.startswith(self._ports.prefix):
            return PackedElement(self._ports, self._index, name)
        return getattr(self._ports.dut, name)


class PackedElement:
    """One element of a packed array signal; its `value` reads and writes like that of a cocotb handle, as an unsigned integer."""

    def __init__(self, ports: PackedPorts, index: int, name: str) -> None:
        self._ports = ports
        self._name = name
        self._handle = getattr(ports.dut, name)
        width = len(self._handle) // ports.count
        self._shift, self._mask = index * width, (1 << width) - 1

    @property
    def value(self) -> int:
        return int(self._handle.value) >> self._shift & self._mask

    @value.setter
    def value(self, value: int) -> None:
        # The signal itself does not yet show what was written to the other elements in this cycle.
        others = self._ports.driven.get(self._name, 0) & ~(self._mask << self._shift)
        self._ports.driven[self._name] = others | (value & self._mask) << self._shift
        self._handle.value = self._ports.driven[self._name]
