"""Estimates what a configuration takes of its device, from the structure of the machine, and refuses what cannot fit.

DSP, BRAM and URAM follow from the structure: two int8 MACs per DSP48E2, two multipliers per requantising lane, three per
layer-norm lane; memories from their widths and depths (byte-writable words use 64 of a RAM's 72 bits). LUTs are a rough figure
per unit. Nothing here has seen place and route.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from spec.configuration import ULTRA_BANKS, HardwareConfiguration
from spec.errors import UserError


@dataclass(frozen=True)
class Resources:
    """DSP48E2 slices, BRAM36 blocks, URAM288 blocks, LUTs."""

    dsp: int
    bram36: int
    uram: int
    lut: int

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


DEVICES = {"XCZU7EV": Resources(dsp=1728, bram36=312, uram=96, lut=230_400)}
"""AMD DS891, Zynq UltraScale+ MPSoC overview."""

USABLE = 0.95
"""Part of a device's DSP and RAM that a design is allowed to take; 0.75 of the LUTs, because they carry the routing."""
USABLE_LUT = 0.75

_BRAM_DEPTH, _URAM_DEPTH, _RAM_DATA_BITS = 512, 4096, 64
_BRAM_BITS = 36 * 1024


def usable(device: Resources) -> Resources:
    """The share of a device that a configuration may take."""
    return Resources(
        int(device.dsp * USABLE), int(device.bram36 * USABLE), int(device.uram * USABLE), int(device.lut * USABLE_LUT)
    )


def estimate(configuration: HardwareConfiguration) -> Resources:
    """Resources of a configuration before place and route."""
    c = configuration
    array = -(-c.macs_per_cycle // 2)
    dsp = array + 2 * c.tile_columns + 3 * c.norm_lanes + 8
    bank_depth = (c.act_bytes - c.act_ultra_bytes) // (c.act_word_bytes * c.act_banks)
    act = c.act_banks * (8 * c.act_word_bytes // _RAM_DATA_BITS) * -(-bank_depth // _BRAM_DEPTH)
    queues = -(-c.experts * c.queue_tokens * 32 // _BRAM_BITS)
    statistics = -(-c.row_entries * (16 + 22) // _BRAM_BITS)
    uram = -(-8 * c.weight_word_bytes // _RAM_DATA_BITS) * -(-(c.weight_bytes // c.weight_word_bytes) // _URAM_DEPTH)
    uram += (
        ULTRA_BANKS
        * (8 * c.act_word_bytes // _RAM_DATA_BITS)
        * -(-(c.act_ultra_bytes // (c.act_word_bytes * ULTRA_BANKS)) // _URAM_DEPTH)
    )
    accumulators = 3 * 32 * c.tile_rows * c.tile_columns
    operands = c.tile_rows * c.act_word_bytes * 8 * 2
    lanes = (450 + 2 * 16 * 8) * c.tile_columns + 400 * c.norm_lanes + 120 * c.experts * c.experts // 8
    lut = accumulators + operands + lanes + 12_000
    return Resources(dsp, act + queues + statistics, uram, lut)


def check_fit(configuration: HardwareConfiguration) -> Resources:
    """The estimate, or a UserError that names the resource that is over, the amount needed and the amount usable."""
    if configuration.part not in DEVICES:
        raise UserError(
            f"configuration {configuration.name}: part {configuration.part} is unknown; known: {', '.join(DEVICES)}"
        )
    need, have = estimate(configuration), usable(DEVICES[configuration.part])
    for name, amount in need.to_dict().items():
        limit = have.to_dict()[name]
        if amount > limit:
            raise UserError(
                f"configuration {configuration.name} does not fit {configuration.part}: it needs about {amount} {name},"
                f" {limit} are usable; reduce the array or the memories"
            )
    return need
