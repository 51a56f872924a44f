"""What the devices have that the accelerator is made for. Source: AMD DS891, Zynq UltraScale+ MPSoC overview; DS987 for the K26."""

from __future__ import annotations

from dataclasses import dataclass

from moesaic.errors import UserError
from moesaic.spec.configuration import HardwareConfiguration

LEVEL_NS = 0.300
"""Delay of a LUT with the net behind it that AMD's report_failfast allows at speed grade -2 of UltraScale+."""


@dataclass(frozen=True)
class Device:
    """Numbers of what a device has.

    dsp: DSP48E2 slices. bram36: block RAMs of 36 Kb. uram: UltraRAMs of 288 Kb. lut: lookup tables; lut_memory: those of them that can be
    memories or shift registers. ff: flip-flops. level_ns: delay of a LUT with the net behind it that AMD's report_failfast allows at the
    device's speed grade.
    """

    dsp: int
    bram36: int
    uram: int
    lut: int
    lut_memory: int
    ff: int
    level_ns: float = LEVEL_NS


DEVICES = {
    "XCZU7EV": Device(dsp=1728, bram36=312, uram=96, lut=230_400, lut_memory=101_760, ff=460_800),
    "XCZU9EG": Device(dsp=2520, bram36=912, uram=0, lut=274_080, lut_memory=144_000, ff=548_160),
    "XCZU15EG": Device(dsp=3528, bram36=744, uram=112, lut=341_280, lut_memory=184_320, ff=682_560),
    "XCK26": Device(dsp=1248, bram36=144, uram=64, lut=117_120, lut_memory=57_600, ff=234_240, level_ns=0.391),
}
"""By part. All are taken at speed grade -2; the K26 at -2LV, whose logic is slower."""


def has_ultra(configuration: HardwareConfiguration) -> bool:
    """Whether the weight memory lies in UltraRAM: unless a configuration's part is known to have none."""
    device = DEVICES.get(configuration.part)
    return device is None or device.uram > 0


def device_of(configuration: HardwareConfiguration) -> Device:
    """The device that a configuration is for. Raises UserError, with the known ones, if it is unknown."""
    name, part = configuration.name, configuration.part
    if part not in DEVICES:
        raise UserError(f"configuration {name}: part {part} is unknown; known: {', '.join(DEVICES)}")
    return DEVICES[part]
