"""What a design may take of its device and of its nets, so that placement, routing and timing closure are likely to succeed.

The figures are those of AMD's own check before placement, `report_failfast` (github.com/Xilinx/XilinxTclStore,
tclapp/xilinx/designutils/report_failfast.tcl, procedure `config`; UG949 describes the method): LUT 70 %, flip-flops 50 %, LUTs as memory
25 %, DSP, block RAM and UltraRAM 80 % each, 7.5 % of the possible control sets (a CLB of eight flip-flops each), and no net over 10,000
loads that a flip-flop does not drive. Where the project asks for more, the guideline says so: the block design around it gets a
part of the LUTs, nets over 10,000 loads count whatever drives them unless the loads are flip-flops' data, and control nets are to be
replicated in the RTL, because synthesis replicates none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from moesaic.hls.hardware.devices import Device

SHARES = {"dsp": 80.0, "bram36": 80.0, "uram": 80.0, "lut": 65.0, "lut_memory": 25.0, "ff": 50.0}
"""Percent of a device's resources that the accelerator may take. AMD allows a design 70 % of the LUTs; 5 % are left to the block design."""

BIG_BLOCKS_PERCENT = 70.0
"""What report_failfast advises for the mean share of DSP, block RAM and UltraRAM. Shown, but not judged: 80 % of each are allowed."""

CONTROL_SET_PERCENT = 7.5
_FLIP_FLOPS_PER_SET = 8
MOST_LOADS = 10_000
MOST_CONTROL_LOADS = 500
"""Most loads of one net that are clock enables, resets, RAM addresses and enables, or controls of DSPs. The project's own figure."""

NAMES = {
    "dsp": "DSP48E2", "bram36": "BRAM36", "uram": "URAM288", "lut": "LUT", "lut_memory": "LUT as memory", "ff": "flip-flops",
}  # fmt: skip
_REMEDIES = {
    "dsp": "fewer tile_rows or tile_columns, or a part with more DSPs",
    "bram36": "less act_bytes, or banks whose depth is a power of two",
    "uram": "less weight_bytes or act_ultra_bytes",
    "lut": "fewer tile_rows, act_banks or norm_lanes, or no shared_bytes",
    "lut_memory": "fewer tile_rows or load_ports, or a smaller instruction_queue",
    "ff": "fewer tile_rows or tile_columns",
}


@dataclass(frozen=True)
class Judgement:
    """One guideline, held against a design.

    guideline: what is judged. found, limit: both numbers. percent: found as a share of the device, if it is one; limit_percent likewise.
    remedy: what to change if the guideline is broken. where: the offender, if there is one.
    """

    guideline: str
    found: float
    limit: float
    remedy: str
    percent: float | None = None
    limit_percent: float | None = None
    where: str = ""

    @property
    def kept(self) -> bool:
        """Whether the design keeps the guideline."""
        return self.found <= self.limit

    def __str__(self) -> str:
        shares = (
            f" ({self.percent:.1f} % of the device, {self.limit_percent:g} % allowed)"
            if self.percent is not None
            else ""
        )
        where = f", {self.where}" if self.where else ""
        return f"{self.guideline}: {self.found:,g}, at most {self.limit:,g}{shares}{where}; remedy: {self.remedy}"


def allowed(device: Device, resource: str) -> int:
    """The amount of a resource, a key of SHARES, that the accelerator may take of a device."""
    return math.floor(SHARES[resource] / 100 * getattr(device, resource))


def judge_shares(need: Mapping[str, float], device: Device) -> list[Judgement]:
    """A judgement for each resource in `need`, keys of SHARES, except for those that the device lacks and nobody needs."""
    judgements = []
    for name, amount in need.items():
        total = getattr(device, name)
        if not total and not amount:
            continue
        judgements.append(
            Judgement(
                NAMES[name],
                amount,
                allowed(device, name),
                _REMEDIES[name],
                100 * amount / total if total else math.inf,
                SHARES[name],
            )
        )
    return judgements


def most_control_sets(device: Device) -> int:
    """The number of control sets that a design may have: pairs of clock enable and reset."""
    return math.floor(device.ff / _FLIP_FLOPS_PER_SET * CONTROL_SET_PERCENT / 100 + 0.5)


def big_blocks_percent(need: Mapping[str, float], device: Device) -> float:
    """The mean share of DSP, block RAM and UltraRAM in percent, of those that are used, as report_failfast takes it."""
    shares = [100 * need[name] / getattr(device, name) for name in ("dsp", "bram36", "uram") if need[name]]
    return sum(shares) / len(shares) if shares else 0.0
