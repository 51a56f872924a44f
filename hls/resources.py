"""Estimates what a configuration takes of its device, from the structure of the machine, and refuses what cannot fit.

DSP, BRAM and URAM follow from the structure; they and the LUTs, which are a formula per unit, agree with open synthesis
(`make resources`). Nothing here has seen place and route.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from spec.configuration import HardwareConfiguration
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


DEVICES = {
    "XCZU7EV": Resources(dsp=1728, bram36=312, uram=96, lut=230_400),
    "XCZU15EG": Resources(dsp=3528, bram36=744, uram=112, lut=341_280),
}
"""AMD DS891, Zynq UltraScale+ MPSoC overview."""

LIMITS = {
    "XCZU7EV": Resources(dsp=1641, bram36=281, uram=86, lut=172_000),
    "XCZU15EG": Resources(dsp=3351, bram36=669, uram=100, lut=255_000),
}
"""What a design is allowed to take: 95 % of a device's DSP, 90 % of its RAM, and 75 % of its LUTs, which carry the routing."""

_BRAM_DEPTH, _URAM_DEPTH, _RAM_DATA_BITS = 512, 4096, 64
_BRAM_BITS = 36 * 1024


def estimate(configuration: HardwareConfiguration) -> Resources:
    """Resources of a configuration before place and route."""
    c = configuration
    array = -(-c.macs_per_cycle // 2)
    lanes = c.act_ports * c.tile_columns
    dsp = array + lanes + 4 * c.norm_lanes + 8
    block_bytes = c.act_bytes - c.act_ultra_bytes
    depths = [part // (c.act_word_bytes * c.act_banks) for part in (c.shared_bytes, block_bytes - c.shared_bytes)]
    act = c.act_banks * (8 * c.act_word_bytes // _RAM_DATA_BITS) * sum(-(-depth // _BRAM_DEPTH) for depth in depths)
    queues = -(-c.experts * c.queue_tokens * 32 // _BRAM_BITS)
    statistics = -(-c.row_entries * (16 + 22) // _BRAM_BITS)
    weight_words, ultra_words = c.weight_bytes // c.weight_word_bytes, c.act_ultra_bytes // c.act_word_bytes
    uram = -(-8 * c.weight_word_bytes // _RAM_DATA_BITS) * -(-weight_words // _URAM_DEPTH)
    uram += 2 * -(-8 * c.act_word_bytes // _RAM_DATA_BITS) * -(-ultra_words // (2 * _URAM_DEPTH))
    lut = 65 * array // c.tile_depth * 2 + 450 * lanes + 1000 * c.norm_lanes + 40_000
    return Resources(dsp, act + queues + statistics + lanes // 4, uram, lut)


def check_part(configuration: HardwareConfiguration) -> None:
    """UserError if the configuration's part is not known."""
    if configuration.part not in DEVICES:
        raise UserError(
            f"configuration {configuration.name}: part {configuration.part} is unknown; known: {', '.join(DEVICES)}"
        )


def check_fit(configuration: HardwareConfiguration) -> Resources:
    """The estimate, or a UserError that names the resource that is over, the amount needed and the amount usable."""
    check_part(configuration)
    need, limits = estimate(configuration), LIMITS[configuration.part].to_dict()
    for name, amount in need.to_dict().items():
        if amount > limits[name]:
            raise UserError(
                f"configuration {configuration.name} does not fit {configuration.part}: it needs about {amount} {name},"
                f" {limits[name]} are usable; reduce the array or the memories"
            )
    return need
