"""What every net of a design drives, across module boundaries: the largest fan-out by kind of pin, and the control sets.

Nets are followed through ports, so that an enable which enters a thousand instances counts a thousand times, and through inverters, which
UltraScale+ has at the pins of flip-flops and blocks (AMD UG574). A net that leaves a module by
two output ports counts at its driver once; a control set whose nets are known in a module and above it by different drivers counts twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from moesaic.sim.measurements.synthesis.netlist import CLOCKS, FLIP_FLOPS, Netlist

KINDS = ("data", "logic", "enable", "reset", "address", "dsp")
"""Kinds of pins: data of flip-flops, memories and DSPs; inputs of LUTs, carry chains and multiplexers; clock enables of flip-flops; resets
of anything; addresses, enables and write enables of memories, whether block RAM, UltraRAM or LUTs; enables and modes of DSPs. Clocks count
nowhere."""
_DSP_DATA = ("A", "B", "C", "D", "ACIN", "BCIN", "PCIN", "CARRYIN", "CARRYCASCIN", "MULTSIGNIN")
_OUTPUTS = {
    "DSP48E2": ("P", "PCOUT", "ACOUT", "BCOUT", "CARRYOUT", "CARRYCASCOUT", "MULTSIGNOUT", "XOROUT", "OVERFLOW", "UNDERFLOW",
        "PATTERNDETECT", "PATTERNBDETECT"),
    "CARRY4": ("O", "CO"),
}  # fmt: skip


@dataclass(frozen=True)
class Net:
    """A net with all its loads.

    name: of the signal, relative to the module's instance. registered: whether a flip-flop drives it. loads: number of pins by kind,
    of KINDS.
    """

    name: str
    registered: bool
    loads: Counter[str]

    @property
    def counted(self) -> int:
        """Loads against AMD's limit for a net: all, but not flip-flops' data if a flip-flop drives the net."""
        return self.loads.total() - (self.loads["data"] if self.registered else 0)


@dataclass(frozen=True)
class Loads:
    """The nets of a module and of all below it, as the module above it sees them. Bits are (port, index).

    inputs: loads of each input bit inside the module. outputs: what drives each output bit, with the loads that it has inside. through:
    output bit to the input bit that it is connected to. worst: by kind, and for "net" by `Net.counted`, the net with most loads of those
    that end inside. sets: number of control sets with a net that is driven inside. shared: control sets of input bits alone, as pairs of
    (clock enable, reset), each a bit or a constant.
    """

    inputs: Mapping[tuple[str, int], Counter[str]]
    outputs: Mapping[tuple[str, int], Net]
    through: Mapping[tuple[str, int], tuple[str, int]]
    worst: Mapping[str, Net]
    sets: int
    shared: frozenset[tuple]


def kind_of(cell: str, pin: str) -> str | None:
    """The kind of a primitive's pin, None for an output or a clock."""
    if pin in CLOCKS:
        return None
    if cell in FLIP_FLOPS:
        return {"D": "data", "CE": "enable", "Q": None}.get(pin, "reset")
    if cell == "DSP48E2":
        if pin in _OUTPUTS[cell]:
            return None
        return "data" if pin in _DSP_DATA else "reset" if pin.startswith("RST") else "dsp"
    if cell.startswith(("RAMB", "URAM")):
        if pin.startswith(("DOUT", "CASDOUT", "DBITERR", "SBITERR", "RDACCESS", "CASOUT")):
            return None
        return "data" if pin.startswith(("DIN", "CASDIN")) else "reset" if pin.startswith("RST") else "address"
    if cell.startswith(("RAM", "SRL")):
        if pin.startswith(("DO", "DPO", "SPO", "Q", "O")):
            return None
        return "data" if pin.startswith("D") and not pin.startswith("DPRA") else "address"
    return None if pin in _OUTPUTS.get(cell, ("O",)) else "logic"


def analyse(netlist: Netlist, below: Mapping[str, Loads]) -> Loads:
    """The loads in a module. below: those of the modules below it, under the type names of the netlist's cells."""
    same = _Aliases()
    for _, kind, pins in netlist.cells:
        if kind == "INV":
            same.join(pins["O"][0], pins["I"][0])
        if kind in below:
            for (out, to), (port, index) in below[kind].through.items():
                if out in pins and port in pins:
                    same.join(pins[out][to], pins[port][index])
    loads: dict[int | str, Counter[str]] = defaultdict(Counter)
    drivers: dict[int | str, Net] = {}
    worst: dict[str, Net] = {}
    pairs: set[tuple] = set()
    sets = 0
    for name, kind, pins in netlist.cells:
        if kind in below:
            sets += _instance(name, below[kind], pins, same, loads, drivers, worst, pairs)
            continue
        if kind == "INV":
            continue
        for pin, bits in pins.items():
            use = kind_of(kind, pin)
            for bit in bits:
                if use:
                    loads[same.one(bit)][use] += 1
                elif pin not in CLOCKS and isinstance(bit, int):
                    drivers[bit] = Net(netlist.names.get(bit, "?"), kind in FLIP_FLOPS, Counter())
        if kind in FLIP_FLOPS:
            reset = next((pins[pin][0] for pin in ("R", "S", "CLR", "PRE") if pin in pins), "0")
            pairs.add((same.one(pins.get("CE", ["1"])[0]), same.one(reset)))
    return _closed(netlist, same, loads, drivers, worst, pairs, sets)


class _Aliases:
    """Bits of one module that are the same net, because of an inverter or a module below that connects an input to an output."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def one(self, bit: int | str) -> int | str:
        """The bit that stands for the net."""
        while isinstance(bit, int) and bit in self._parent:
            bit = self._parent[bit]
        return bit

    def join(self, output: int | str, source: int | str) -> None:
        first, second = self.one(output), self.one(source)
        if isinstance(first, int) and isinstance(second, int) and first != second:
            self._parent[first] = second


def _instance(name, model: Loads, pins, same: _Aliases, loads, drivers, worst, pairs) -> int:
    for (port, index), inside in model.inputs.items():
        if port in pins:
            loads[same.one(pins[port][index])].update(inside)
    for (port, index), net in model.outputs.items():
        moved = Net(f"{name}.{net.name}", net.registered, Counter())
        if port in pins and isinstance(bit := pins[port][index], int):
            drivers[bit] = moved
            loads[bit].update(net.loads)
        else:
            _keep(worst, Net(moved.name, net.registered, net.loads))
    for net in model.worst.values():
        _keep(worst, Net(f"{name}.{net.name}", net.registered, net.loads))

    def outer(place) -> int | str:
        return same.one(pins[place[0]][place[1]]) if isinstance(place, tuple) and place[0] in pins else "0"

    pairs.update(tuple(outer(place) if isinstance(place, tuple) else place for place in pair) for pair in model.shared)
    return model.sets


def _keep(worst: dict[str, Net], net: Net) -> None:
    for kind in (*KINDS, "net"):
        amount = net.counted if kind == "net" else net.loads[kind]
        known = worst.get(kind)
        if amount and (known is None or amount > (known.counted if kind == "net" else known.loads[kind])):
            worst[kind] = net


def _closed(netlist: Netlist, same: _Aliases, loads, drivers, worst, pairs, sets: int) -> Loads:
    places = {
        same.one(bit): (port, index)
        for port, (direction, bits) in netlist.ports.items()
        if direction == "input"
        for index, bit in enumerate(bits)
        if isinstance(bit, int)
    }
    outputs: dict[tuple[str, int], Net] = {}
    through: dict[tuple[str, int], tuple[str, int]] = {}
    leaving: set[int | str] = set()
    for port, (direction, bits) in netlist.ports.items():
        if direction != "output":
            continue
        for index, bit in enumerate(bits):
            one = same.one(bit)
            if one in places:
                through[port, index] = places[one]
            elif one in drivers:
                first = one not in leaving
                leaving.add(one)
                driver = drivers[one]
                outputs[port, index] = Net(driver.name, driver.registered, loads[one] if first else Counter())
    for bit, driver in drivers.items():
        one = same.one(bit)
        if one not in leaving and loads.get(one):
            _keep(worst, Net(driver.name, driver.registered, loads[one]))
    shared: set[tuple] = set()
    for pair in pairs:
        known = tuple(places.get(bit, bit) for bit in pair)
        if all(isinstance(place, (tuple, str)) for place in known):
            shared.add(known)
        else:
            sets += 1
    return Loads(
        {places[bit]: loads[bit] for bit in places if loads.get(bit)}, outputs, through, worst, sets, frozenset(shared)
    )


def encode(model: Loads) -> list:
    """The model as JSON takes it."""

    def net(value: Net) -> list:
        return [value.name, value.registered, value.loads]

    return [
        [[*place, counts] for place, counts in model.inputs.items()],
        [[*place, *net(value)] for place, value in model.outputs.items()],
        [[*out, *source] for out, source in model.through.items()],
        {kind: net(value) for kind, value in model.worst.items()},
        model.sets,
        sorted(model.shared, key=repr),
    ]


def decode(fields: list) -> Loads:
    """The model that `encode` turned into `fields`."""
    inputs, outputs, through, worst, sets, shared = fields

    def place(value: list | str) -> tuple | str:
        return value if isinstance(value, str) else tuple(value)

    return Loads(
        {(port, index): Counter(counts) for port, index, counts in inputs},
        {(port, index): Net(name, registered, Counter(counts)) for port, index, name, registered, counts in outputs},
        {(out, to): (port, index) for out, to, port, index in through},
        {kind: Net(name, registered, Counter(counts)) for kind, (name, registered, counts) in worst.items()},
        sets,
        frozenset(tuple(place(value) for value in pair) for pair in shared),
    )


def whole(model: Loads) -> tuple[dict[str, Net], int]:
    """Of a top module: the net with most loads for each kind, and for "net", counting nets that enter it; and its control sets."""
    worst = dict(model.worst)
    for (port, index), inside in model.inputs.items():
        _keep(worst, Net(f"{port}[{index}]", True, inside))
    for net in model.outputs.values():
        _keep(worst, net)
    return worst, model.sets + len(model.shared)
