"""Longest paths between registers, across module boundaries, with a fixed delay for every level of logic.

The budget follows AMD's own pre-placement check (`report_failfast` of the Vivado Tcl store): 0.300 ns for each LUT including the
net that it drives, on an UltraScale+ part of speed grade -2, and one more level if a path does not start at a flip-flop or does not
end at a flip-flop's data pin. That check leaves out carry chains and memories. AMD's method guide and data sheet price the blocks: a RAM's
data leave it 1.5 ns after the clock, or 0.4 ns if its output register is in use, which it is where nothing but flip-flops take the data
(UG949, "Optimizing Paths with Dedicated Blocks and Macro Primitives"; UG1388 has 1.2 and 0.3 ns for the next generation), and a multiplier
whose product is not registered takes 1.84 ns (DS925: 544 MHz without that register at speed grade -2). UG949 asks for 0.5 ns to spare on
paths that begin or end at a block. A carry chain is assumed to take one level plus a little for its length. No figure includes fan-out,
placement or clock skew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from moesaic.hls.hardware.devices import LEVEL_NS
from moesaic.sim.measurements.synthesis.netlist import CLOCKS, FLIP_FLOPS, Netlist
from moesaic.spec.clock import CLOCK_MHZ

CARRY_ENTRY_NS = 0.300
CARRY_STEP_NS = 0.015
WIDE_MUX_NS = 0.100
RAM_OUTPUT_NS = 1.5
RAM_REGISTER_NS = 0.4
MULTIPLY_NS = 1.84
BLOCK_MARGIN_NS = 0.5
CLOCK_NS = round(1000 / CLOCK_MHZ, 2)
KEPT = 10
"""The most paths reported for a module."""

_RAMS = ("RAMB18E2", "RAMB36E2", "URAM288")
_CARRY_BITS = 4
_RAM, _DSP = "(RAM", "(DSP"
"""How names of starts and ends at blocks are marked."""


@dataclass(frozen=True)
class Path:
    """A path. delay: ns, by the rule above. levels: LUTs on it. start, end: names of signals, relative to the module's instance."""

    delay: float
    levels: int
    start: str
    end: str

    @property
    def at_block(self) -> bool:
        """Whether it begins or ends at a block RAM, an UltraRAM or a DSP."""
        return any(mark in name for name in (self.start, self.end) for mark in (_RAM, _DSP))


class Timed:
    """Something that has `paths`, the longest first."""

    paths: tuple[Path, ...]

    @property
    def worst(self) -> Path | None:
        """The longest of `paths`, None if there are none."""
        return self.paths[0] if self.paths else None


@dataclass(frozen=True)
class Model(Timed):
    """The timing of a module as the module above it sees it. Bits are (port, index).

    paths: the longest paths between registers in the module or below it that pass through its own logic; one for each pair of
    instances in which they start and end, longest first, at most `KEPT`. to_output: the longest path from a register to each output
    bit. from_input: from each input bit to a register. through: from each input bit to output bits. loops: number of combinational
    loops that its own logic closes.
    """

    paths: tuple[Path, ...]
    to_output: dict[tuple[str, int], Path]
    from_input: dict[tuple[str, int], Path]
    through: dict[tuple[str, int], dict[tuple[str, int], Path]]
    loops: int = 0


@dataclass(frozen=True)
class _Arc:
    target: int
    delay: float
    levels: int


@dataclass
class _Graph:
    arcs: dict[int, list[_Arc]]
    starts: dict[int, Path]
    ends: dict[int, Path]


def analyse(netlist: Netlist, below: Mapping[str, Model]) -> Model:
    """The timing of a module. below: models of the modules below it, under the type names of the netlist's cells."""
    graph = _graph(netlist, below)
    order, loops = _topological(graph.arcs)
    position = {bit: index for index, bit in enumerate(order)}
    inputs = [
        ((name, index), bit)
        for name, (direction, bits) in netlist.ports.items()
        if direction == "input"
        for index, bit in enumerate(bits)
        if isinstance(bit, int)
    ]
    outputs: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for name, (direction, bits) in netlist.ports.items():
        if direction == "output":
            for index, bit in enumerate(bits):
                if isinstance(bit, int):
                    outputs[bit].append((name, index))

    arrival = dict(graph.starts)
    for bit in order:
        if bit in arrival:
            _propagate(arrival, graph.arcs.get(bit, ()), arrival[bit])
    longest: dict[tuple[str, str], Path] = {}
    for bit, end in graph.ends.items():
        if bit in arrival:
            path = _joined(arrival[bit], end)
            pair = _instance_of(path.start), _instance_of(path.end)
            if pair not in longest or path.delay > longest[pair].delay:
                longest[pair] = path
    paths = tuple(sorted(longest.values(), key=lambda path: -path.delay)[:KEPT])
    to_output = {place: arrival[bit] for bit, places in outputs.items() if bit in arrival for place in places}

    from_input: dict[tuple[str, int], Path] = {}
    through: dict[tuple[str, int], dict[tuple[str, int], Path]] = {}
    for place, bit in inputs:
        cone = _cone(graph.arcs, bit, position, Path(0.0, 0, "", ""))
        ends = [_joined(path, graph.ends[reached]) for reached, path in cone.items() if reached in graph.ends]
        if ends:
            from_input[place] = max(ends, key=lambda path: path.delay)
        passed = {out: path for reached, path in cone.items() if reached in outputs for out in outputs[reached]}
        if passed:
            through[place] = passed
    return Model(paths, to_output, from_input, through, loops)


def _instance_of(name: str) -> str:
    return name.partition(".")[0] if "." in name else ""


def _joined(first: Path, second: Path) -> Path:
    return Path(first.delay + second.delay, first.levels + second.levels, first.start or second.start, second.end)


def _propagate(arrival: dict[int, Path], arcs, here: Path) -> None:
    for arc in arcs:
        delay = here.delay + arc.delay
        known = arrival.get(arc.target)
        if known is None or delay > known.delay:
            arrival[arc.target] = Path(delay, here.levels + arc.levels, here.start, here.end)


def _cone(arcs: Mapping[int, list[_Arc]], start: int, position: Mapping[int, int], path: Path) -> dict[int, Path]:
    reached, stack = {start}, [start]
    while stack:
        for arc in arcs.get(stack.pop(), ()):
            if arc.target not in reached:
                reached.add(arc.target)
                stack.append(arc.target)
    arrival = {start: path}
    for bit in sorted(reached, key=lambda bit: position.get(bit, -1)):
        if bit in arrival:
            _propagate(arrival, arcs.get(bit, ()), arrival[bit])
    return arrival


def _topological(arcs: dict[int, list[_Arc]]) -> tuple[list[int], int]:
    """Bits, each after those that drive it, and the number of arcs that close a loop; these arcs are removed."""
    white, grey, black = 0, 1, 2
    colour: dict[int, int] = defaultdict(int)
    order: list[int] = []
    loops = 0
    for root in list(arcs):
        if colour[root] != white:
            continue
        colour[root] = grey
        stack = [(root, iter(list(arcs.get(root, ()))))]
        while stack:
            bit, rest = stack[-1]
            for arc in rest:
                if colour[arc.target] == white:
                    colour[arc.target] = grey
                    stack.append((arc.target, iter(list(arcs.get(arc.target, ())))))
                    break
                if colour[arc.target] == grey:
                    arcs[bit].remove(arc)
                    loops += 1
            else:
                colour[bit] = black
                order.append(bit)
                stack.pop()
    order.reverse()
    return order, loops


def _graph(netlist: Netlist, below: Mapping[str, Model]) -> _Graph:
    arcs: dict[int, list[_Arc]] = defaultdict(list)
    starts: dict[int, Path] = {}
    ends: dict[int, Path] = {}

    def start(bit: int | str, delay: float, name: str, levels: int = 0) -> None:
        if isinstance(bit, int) and (bit not in starts or starts[bit].delay < delay):
            starts[bit] = Path(delay, levels, name, "")

    def end(bit: int | str, delay: float, name: str, levels: int = 0) -> None:
        if isinstance(bit, int) and (bit not in ends or ends[bit].delay < delay):
            ends[bit] = Path(delay, levels, "", name)

    def arc(source: int | str, target: int | str, delay: float, levels: int) -> None:
        if isinstance(source, int) and isinstance(target, int):
            arcs[source].append(_Arc(target, delay, levels))

    def named(bit: int | str) -> str:
        return netlist.names.get(bit, "?") if isinstance(bit, int) else str(bit)

    registers = {bit for _, kind, pins in netlist.cells if kind in FLIP_FLOPS for bit in pins["Q"]}
    loads = _loads(netlist)
    held = {bit for bit, pin in _ram_outputs(netlist).items() if loads[bit] - {pin} == {"D"}}  # by the output registers
    for name, kind, pins in netlist.cells:
        if kind in below:
            _instance(name, below[kind], pins, start, end, arc)
        elif kind in FLIP_FLOPS:
            label = named(pins["Q"][0])
            if pins["D"][0] in held:
                start(pins["Q"][0], RAM_REGISTER_NS, f"{label} {_RAM} register)")
            else:
                start(pins["Q"][0], 0.0, label)
            for pin, bits in pins.items():
                if pin not in CLOCKS and pin != "Q":
                    end(bits[0], 0.0 if pin == "D" else LEVEL_NS, label if pin == "D" else f"{label} ({pin})")
        elif kind.startswith("LUT") or kind == "INV":
            for pin, bits in pins.items():
                if pin != "O":
                    arc(bits[0], pins["O"][0], LEVEL_NS, 1)
        elif kind.startswith("MUXF"):
            for pin in ("I0", "I1", "S"):
                arc(pins[pin][0], pins["O"][0], WIDE_MUX_NS, 0)
        elif kind == "CARRY4":
            _carry(pins, arc)
        elif kind.startswith(("RAM32", "RAM64", "RAM128", "RAM256", "RAM512", "SRL")):
            _lut_memory(kind, pins, named, start, end, arc)
        elif kind in _RAMS:
            for pin, bits in pins.items():
                for bit in bits:
                    if pin.startswith(("DOUT", "CASDOUT")):
                        if bit not in held:
                            start(bit, RAM_OUTPUT_NS, f"{named(bit)} {_RAM})")
                    elif pin not in CLOCKS:
                        end(bit, LEVEL_NS, f"{name} {_RAM} {pin})")
        elif kind == "DSP48E2":
            own = any(netlist.registers.get(name, {}).values())
            _slice(name, pins, own, registers, loads, named, start, end, arc)
    return _Graph(arcs, starts, ends)


def _ram_outputs(netlist: Netlist) -> dict[int | str, str]:
    """Bit to the pin of a block RAM or an UltraRAM that drives it."""
    return {
        bit: f"{kind}.{pin}"
        for _, kind, pins in netlist.cells
        if kind in _RAMS
        for pin, bits in pins.items()
        if pin.startswith("DOUT")
        for bit in bits
    }


def _loads(netlist: Netlist) -> dict[int | str, set[str]]:
    """Bit to every pin that it has: "D" for a flip-flop's data pin, "port" for an output port, otherwise "<cell type>.<pin>"."""
    loads: dict[int | str, set[str]] = defaultdict(set)
    for _, kind, pins in netlist.cells:
        for pin, bits in pins.items():
            for bit in bits:
                loads[bit].add("D" if kind in FLIP_FLOPS and pin == "D" else f"{kind}.{pin}")
    for direction, bits in netlist.ports.values():
        if direction == "output":
            for bit in bits:
                loads[bit].add("port")
    return loads


def _instance(name, model, pins, start, end, arc) -> None:
    for (port, index), path in model.to_output.items():
        if port in pins:
            start(pins[port][index], path.delay, f"{name}.{path.start}", path.levels)
    for (port, index), path in model.from_input.items():
        if port in pins:
            end(pins[port][index], path.delay, f"{name}.{path.end}", path.levels)
    for (port, index), targets in model.through.items():
        for (out, place), path in targets.items():
            if port in pins and out in pins:
                arc(pins[port][index], pins[out][place], path.delay, path.levels)


def _carry(pins, arc) -> None:
    for place in range(_CARRY_BITS):
        for source in (pins["S"][place], pins["DI"][place]):
            for later in range(place, _CARRY_BITS):
                arc(source, pins["CO"][later], CARRY_STEP_NS, 0)
                if later > place or source is pins["S"][place]:
                    arc(source, pins["O"][later], CARRY_ENTRY_NS, 0)
    for pin in ("CI", "CYINIT"):
        for place in range(_CARRY_BITS):
            arc(pins[pin][0], pins["CO"][place], CARRY_STEP_NS, 0)
            arc(pins[pin][0], pins["O"][place], CARRY_ENTRY_NS, 0)


def _lut_memory(kind, pins, named, start, end, arc) -> None:
    outputs = [bit for pin, bits in pins.items() if pin.startswith(("DO", "DPO", "SPO", "Q", "O")) for bit in bits]
    label = f"{named(outputs[0])} (LUT RAM)" if outputs else kind
    for bit in outputs:
        start(bit, LEVEL_NS, label)
    for pin, bits in pins.items():
        if pin.startswith(("DI", "WE", "D", "CE")) and not pin.startswith(("DO", "DPO", "DPRA")):
            for bit in bits:
                end(bit, LEVEL_NS, label)
        elif pin.startswith(("ADDR", "DPRA", "A")):
            for bit in bits:
                for output in outputs:
                    arc(bit, output, LEVEL_NS, 1)


def _slice(name, pins, own, registers, loads, named, start, end, arc) -> None:
    """A DSP slice. An instantiated one has its `own` registers; one that Yosys mapped a product to relies on the flip-flops around it."""
    operands = [bit for pin in ("A", "B", "D") for bit in pins.get(pin, ()) if isinstance(bit, int)]
    results = [bit for bit in pins["P"] if isinstance(bit, int)]
    fed = own or all(bit in registers for bit in operands)
    taken = own or all(loads[bit] <= {"D", "DSP48E2.P"} for bit in results)
    for bit in operands:
        if fed or taken:
            end(bit, LEVEL_NS if fed else MULTIPLY_NS, f"{name} {_DSP})")
        else:
            for result in results:
                arc(bit, result, 2 * MULTIPLY_NS, 0)
    for bit in results:
        if fed or taken:
            start(bit, LEVEL_NS if taken else MULTIPLY_NS, f"{named(bit)} {_DSP})")
    for pin in ("C", "CEP", "CEM", "CEA2", "CEB2"):
        for bit in pins.get(pin, ()):
            end(bit, LEVEL_NS, f"{name} {_DSP} {pin})")
