"""Which DSP slices of a netlist lack a register: of their operands (A and B), of their product (M), or of their result (P).

Instantiated slices have those of their parameters. A slice that Yosys mapped a product to has none; a vendor tool moves the flip-flops
around it into it (AMD UG579), so those count: at the operands, at the product, and behind that.
"""

from __future__ import annotations

from collections import defaultdict

from moesaic.sim.measurements.synthesis.netlist import FLIP_FLOPS, Netlist

REGISTERS = ("A/B", "M", "P")
_TAKEN = {"D", "DSP48E2"}


def missing(netlist: Netlist) -> dict[str, int]:
    """Register, of REGISTERS, to the number of the netlist's own DSP slices that lack it; those that none lacks are left out."""
    driven = {pins["Q"][0]: pins["D"][0] for _, kind, pins in netlist.cells if kind in FLIP_FLOPS}
    behind: dict[int | str, list[int | str]] = defaultdict(list)
    for output, data in driven.items():
        behind[data].append(output)
    loads: dict[int | str, set[str]] = defaultdict(set)
    for _, kind, pins in netlist.cells:
        for pin, bits in pins.items():
            use = (
                "DSP48E2" if kind == "DSP48E2" and pin != "P" else "D" if kind in FLIP_FLOPS and pin == "D" else "other"
            )
            if pin in ("Q", "P"):
                continue
            for bit in bits:
                loads[bit].add(use)
    for direction, bits in netlist.ports.values():
        if direction == "output":
            for bit in bits:
                loads[bit].add("other")
    lacking: dict[str, int] = {}
    for name, kind, pins in netlist.cells:
        if kind != "DSP48E2":
            continue
        has = netlist.registers.get(name, {})
        if any(has.values()):
            found = {"A/B": has["AREG"] > 0 and has["BREG"] > 0, "M": has["MREG"] > 0, "P": has["PREG"] > 0}
        else:
            operands = [bit for pin in ("A", "B") for bit in pins.get(pin, ()) if isinstance(bit, int)]
            products = [bit for bit in pins["P"] if isinstance(bit, int) and loads[bit]]
            second = [output for bit in products for output in behind[bit]]
            product = all(loads[bit] <= {"D"} for bit in products)
            found = {
                "A/B": all(bit in driven for bit in operands),
                "M": product,
                "P": product and all(loads[bit] <= _TAKEN and loads[bit] for bit in second),
            }
        for register, there in found.items():
            if not there:
                lacking[register] = lacking.get(register, 0) + 1
    return lacking
