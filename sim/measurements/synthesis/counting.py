"""Count the resources of an UltraScale+ device that a netlist takes, and sum them over the hierarchy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from moesaic.errors import InternalError
from moesaic.sim.measurements.synthesis.elaboration import Module
from moesaic.sim.measurements.synthesis.netlist import FLIP_FLOPS, Netlist

RESOURCES = ("dsp", "bram18", "uram", "lut", "lut_memory", "ff", "carry4")
"""Kinds of resources. LUT counts lookup tables, inverters and LUTs used as memory, which lut_memory counts alone. Yosys maps to CARRY4; two
make a CARRY8.

A LUT has two outputs that share five inputs (AMD UG574): in a carry chain O6 produces S and O5 produces DI. Yosys maps them to two
cells; where such a pair fits into one LUT, it is counted once.
"""
_SHARED_INPUTS = 5

_LUT_MEMORIES = {
    "RAM32M16": 8, "RAM64M8": 8, "RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8,
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8, "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
_COSTS: dict[str, dict[str, int]] = {
    **{f"LUT{inputs}": {"lut": 1} for inputs in range(1, 7)},
    **{name: {"lut": luts, "lut_memory": luts} for name, luts in _LUT_MEMORIES.items()},
    **{name: {"ff": 1} for name in FLIP_FLOPS},
    "INV": {"lut": 1},
    "CARRY4": {"carry4": 1},
    "RAMB18E2": {"bram18": 1},
    "RAMB36E2": {"bram18": 2},
    "URAM288": {"uram": 1},
    "DSP48E2": {"dsp": 1},
    **{name: {} for name in ("MUXF7", "MUXF8", "MUXF9", "GND", "VCC")},
}


def count(netlist: Netlist, modules: Mapping[str, Module]) -> Counter[str]:
    """Resources of a netlist by kind (RESOURCES), excluding the modules below it, which `modules` names.

    Raises:
        InternalError: the netlist contains a cell of unknown cost.
    """
    total: Counter[str] = Counter()
    for _, kind, _ in netlist.cells:
        if kind in modules or "\\" + kind in modules:
            continue
        if kind not in _COSTS:
            raise InternalError(f"synthesis: no cost is known for cell {kind}")
        total.update(_COSTS[kind])
    total["lut"] -= _shared_in_carry_chains(netlist)
    return +total


def _shared_in_carry_chains(netlist: Netlist) -> int:
    """Number of LUT pairs that fit into one: the LUT for DI of a carry bit feeds nothing but that bit and, perhaps, the LUT for its S."""
    inputs = {
        pins["O"][0]: {bit for pin, bits in pins.items() if pin != "O" for bit in bits if isinstance(bit, int)}
        for _, kind, pins in netlist.cells
        if kind.startswith("LUT")
    }
    loads = Counter(bit for _, _, pins in netlist.cells for bits in pins.values() for bit in bits)
    loads.update(bit for _, bits in netlist.ports.values() for bit in bits)
    shared = 0
    for _, kind, pins in netlist.cells:
        if kind == "CARRY4":
            for made, fed in zip(pins["S"], pins["DI"]):
                if made in inputs and fed in inputs and made != fed:
                    alone = loads[fed] == 2 + (fed in inputs[made]) and loads[made] == 2
                    shared += alone and len((inputs[made] | inputs[fed]) - {fed}) <= _SHARED_INPUTS
    return shared


def instances(modules: Mapping[str, Module]) -> dict[str, int]:
    """Module name to its number of instances in the whole design. modules: in the order in which `elaborate` returns them."""
    order = list(modules)
    total = Counter({order[-1]: 1})
    for name in reversed(order):
        for below in modules[name].instances:
            total[below] += total[name]
    return dict(total)


def sums(modules: Mapping[str, Module], own: Mapping[str, Counter[str]]) -> dict[str, Counter[str]]:
    """Module name to the resources of one instance, including everything below it.

    modules: in the order in which `elaborate` returns them. own: resources of each module without those below it.
    """
    total: dict[str, Counter[str]] = {}
    for name, module in modules.items():
        total[name] = Counter(own[name])
        for below in module.instances:
            total[name].update(total[below])
    return total
