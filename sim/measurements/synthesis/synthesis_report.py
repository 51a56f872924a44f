"""The resources of a configuration: rows by module, the whole, the verdict, and everything as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from moesaic.hls.hardware.devices import LEVEL_NS, Device
from moesaic.hls.hardware.guidelines import Judgement, big_blocks_percent
from moesaic.sim.measurements.synthesis import path_delays, yosys
from moesaic.sim.measurements.synthesis.module_synthesis import Measured, Result
from moesaic.sim.measurements.synthesis.netlist import SYNTHESIS
from moesaic.spec.clock import CLOCK_MHZ
from moesaic.spec.configuration import HardwareConfiguration

NOTE = (
    "An estimate before place and route, by open synthesis: no vendor tool has seen the design. Yosys absorbs no registers into"
    " multipliers and, outside of carry chains, no two small LUTs share one, so FF and LUT are upper bounds; two CARRY4 make a"
    " CARRY8."
)
RULE = (
    f"Path delays assume {LEVEL_NS:.3f} ns for a LUT with the net behind it, and a level more at a start that is no"
    " flip-flop or an end that is not a flip-flop's data, as AMD's report_failfast does for UltraScale+ at speed grade -2;"
    f" a carry chain {path_delays.CARRY_ENTRY_NS:.3f} ns and {path_delays.CARRY_STEP_NS:.3f} ns for every four bits; a RAM without output"
    f" register {path_delays.RAM_OUTPUT_NS} ns, with it {path_delays.RAM_REGISTER_NS} ns (UG949); a multiplier whose product is not"
    f" registered {path_delays.MULTIPLY_NS} ns (DS925). Modules are held against {path_delays.CLOCK_NS} ns ({CLOCK_MHZ} MHz) at that speed"
    " grade; the guidelines take the delay of a LUT of the part's own speed grade, the period of its board's clock, and"
    f" {path_delays.BLOCK_MARGIN_NS} ns less at RAMs and DSPs (UG949). Fan-out, placement and skew are not in them."
)
GUIDELINES = (
    "Shares, control sets and the 10,000 loads are those of AMD's report_failfast, which allows a whole design 70 % of the LUTs: 5 % are"
    " left to the block design around the accelerator. The 500 loads of a control net are the project's own. Block RAM counts with depths"
    " rounded up to powers of two, as Vivado may do."
)
COUNTED = ("dsp", "bram36", "uram", "lut", "lut_memory", "ff", "carry4")
"""The resources reported for each module."""


@dataclass(frozen=True)
class Row(path_delays.Timed):
    """All modules with one name in the sources.

    instances: their number. own: resources of all of them together, without the modules below them. paths: the longest, longest first.
    loops: number of combinational loops.
    """

    module: str
    instances: int
    own: dict[str, float]
    paths: tuple[path_delays.Path, ...]
    loops: int

    @property
    def shown(self) -> tuple[path_delays.Path, ...]:
        """The longest path and all others that miss the clock period."""
        return tuple(path for n, path in enumerate(self.paths) if n == 0 or path.delay > path_delays.CLOCK_NS)

    @property
    def meets(self) -> bool:
        """Whether there are no loops and the longest path fits into the clock period."""
        return self.loops == 0 and (self.worst is None or self.worst.delay <= path_delays.CLOCK_NS)


def blocks(counts: Counter[str]) -> dict[str, float]:
    """Resources with block RAM in units of 36 Kb (bram36) instead of 18 Kb (bram18)."""
    return {name: counts["bram18"] / 2 if name == "bram36" else counts[name] for name in COUNTED}


def rows(results: Sequence[Result]) -> list[Row]:
    """One row for each module name, from the top down; the rows add up to the whole design."""
    groups: dict[str, list[Result]] = {}
    for result in reversed(results):
        groups.setdefault(result.module, []).append(result)
    table = []
    for module, group in groups.items():
        own: Counter[str] = Counter()
        for result in group:
            own.update({name: amount * result.instances for name, amount in result.own.items()})
        longest = max((result.paths for result in group), key=lambda paths: paths[0].delay if paths else 0.0)
        table.append(Row(module, sum(r.instances for r in group), blocks(own), longest, sum(r.loops for r in group)))
    return table


def verdict(judgements: Sequence[Judgement]) -> list[str]:
    """A line that counts the guidelines kept, and one for each that is broken."""
    broken = [judgement for judgement in judgements if not judgement.kept]
    if not broken:
        return [f"keeps all {len(judgements)} guidelines"]
    return [f"breaks {len(broken)} of {len(judgements)} guidelines", *map(str, broken)]


def document(
    configuration: HardwareConfiguration,
    device: Device,
    design: Measured,
    need: dict[str, float],
    judgements: Sequence[Judgement],
    sources: str,
) -> dict:
    """The content of resources.json.

    need: by resource; see judging.need_of. sources: hash of what was synthesised; see synthesised_hash.
    """
    results = design.results
    return {
        "configuration": configuration.name,
        "fingerprint": configuration.fingerprint,
        "sources": sources,
        "part": configuration.part,
        "tool": f"Yosys {yosys.version()}, {SYNTHESIS}",
        "note": NOTE,
        "rule": RULE,
        "clock_ns": path_delays.CLOCK_NS,
        "modules": [
            {
                "module": row.module,
                "instances": row.instances,
                "own": row.own,
                "paths": [{**vars(path), "delay": round(path.delay, 3)} for path in row.paths],
                "loops": row.loops,
                "meets_clock": row.meets,
            }
            for row in rows(results)
        ],
        "units": {result.module: blocks(result.total) for result in results if result.instances == 1},
        "machine": {**need, "carry4": results[-1].total["carry4"]},
        "device": vars(device),
        "big_blocks_percent": round(big_blocks_percent(need, device), 1),
        "nets": {
            kind: {"name": net.name, "registered": net.registered, "loads": net.loads}
            for kind, net in design.nets.items()
        },
        "guidelines": [{**vars(judgement), "kept": judgement.kept} for judgement in judgements],
        "verdict": verdict(judgements)[0],
    }
