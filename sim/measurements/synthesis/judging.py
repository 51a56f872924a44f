"""A synthesised design held against the guidelines: shares of the device, loads of nets, registers of memories and DSPs, and paths."""

from __future__ import annotations

from collections import Counter

from moesaic.hls.hardware import guidelines
from moesaic.hls.hardware.devices import LEVEL_NS, Device
from moesaic.hls.hardware.guidelines import MOST_CONTROL_LOADS, MOST_LOADS, Judgement
from moesaic.sim.measurements.synthesis import path_delays, slices
from moesaic.sim.measurements.synthesis.module_synthesis import Measured
from moesaic.sim.measurements.synthesis.synthesis_report import rows
from moesaic.spec.clock import CLOCK_MHZ

_CONTROLS = {
    "enable": "loads of a clock enable",
    "reset": "loads of a reset",
    "address": "loads of a memory's address or enable",
    "dsp": "loads of a DSP's enable or mode",
}
_REPLICATE = "drive it from several flip-flops, each with a part of the loads"


def need_of(design: Measured) -> dict[str, float]:
    """What the design takes, by key of guidelines.SHARES; depths of block RAMs are rounded up to powers of two, as Vivado may do."""
    total = design.results[-1].total
    return {
        "dsp": total["dsp"],
        "bram36": -(-(total["bram18"] + rounding(design)) // 2),
        "uram": total["uram"],
        "lut": total["lut"],
        "lut_memory": total["lut_memory"],
        "ff": total["ff"],
    }


def rounding(design: Measured) -> int:
    """Block RAMs of 18 Kb by which powers of two as depths exceed the netlist."""
    return sum(result.instances * memory.rounding for result in design.results for memory in result.memories)


def judge(design: Measured, device: Device, clock_mhz: float = CLOCK_MHZ) -> list[Judgement]:
    """All guidelines, in the order of the page. clock_mhz: whose period the paths are held against."""
    return [
        *guidelines.judge_shares(need_of(design), device),
        Judgement(
            "control sets",
            design.control_sets,
            guidelines.most_control_sets(device),
            "fewer distinct enables and resets",
        ),
        *_nets(design),
        *_registers(design),
        *_paths(design, device, clock_mhz),
    ]


def _nets(design: Measured) -> list[Judgement]:
    found = []
    net = design.nets.get("net")
    title = "loads of a net, without flip-flops' data"
    found.append(Judgement(title, net.counted if net else 0, MOST_LOADS, _REPLICATE, where=net.name if net else ""))
    for kind, title in _CONTROLS.items():
        net = design.nets.get(kind)
        amount = net.loads[kind] if net else 0
        found.append(Judgement(title, amount, MOST_CONTROL_LOADS, _REPLICATE, where=net.name if net else ""))
    return found


def _registers(design: Measured) -> list[Judgement]:
    bare = Counter(
        {
            result.module: result.instances * sum(not memory.registered for memory in result.memories)
            for result in design.results
        }
    )
    lacking = {register: Counter[str]() for register in slices.REGISTERS}
    for result in design.results:
        for register, amount in result.unregistered.items():
            lacking[register][result.module] += result.instances * amount
    found = [
        Judgement(
            "memories without output register",
            bare.total(),
            0,
            "a register that takes the read data alone",
            where=_modules(bare),
        )
    ]
    for register, modules in lacking.items():
        remedy = f"a register at the {'operands' if register == 'A/B' else 'product' if register == 'M' else 'result'}"
        found.append(
            Judgement(f"DSPs without {register} register", modules.total(), 0, remedy, where=_modules(modules))
        )
    return found


def _modules(counts: Counter[str]) -> str:
    return ", ".join(f"{amount} in {module}" for module, amount in counts.most_common() if amount)


def _paths(design: Measured, device: Device, clock_mhz: float) -> list[Judgement]:
    slower, period = device.level_ns / LEVEL_NS, round(1000 / clock_mhz, 2)
    modules = rows(design.results)
    every = [(row.module, path) for row in modules for path in row.paths]
    found = [Judgement("combinational loops", sum(row.loops for row in modules), 0, "a register in the loop")]
    for title, limit, paths in (
        ("ns of a path", period, [entry for entry in every if not entry[1].at_block]),
        (
            "ns of a path at a RAM or DSP",
            period - path_delays.BLOCK_MARGIN_NS,
            [entry for entry in every if entry[1].at_block],
        ),
    ):
        module, path = max(paths, key=lambda entry: entry[1].delay, default=("", None))
        where = f"{module}: {path.start} to {path.end}" if path else ""
        delay = round(path.delay * slower, 2) if path else 0.0
        found.append(Judgement(title, delay, round(limit, 2), "a register along the way", where=where))
    return found
