"""What vendor tools call the devices and boards of moesaic.hls.hardware.resource_estimate."""

from __future__ import annotations

from moesaic.errors import UserError
from moesaic.spec.configuration import HardwareConfiguration

PARTS = {"XCZU7EV": "xczu7ev-ffvc1156-2-e", "XCZU15EG": "xczu15eg-ffvb1156-2-e"}
"""Device to its ordering code: package, speed grade and temperature range, as on the boards that carry it."""

BOARDS = {"XCZU7EV": "xilinx.com:zcu104:part0:1.1"}
"""Device to the board part whose preset sets up the processing system, DDR and pins."""


def ordering_code(configuration: HardwareConfiguration) -> str:
    """The part that Vitis HLS and Vivado take, or a UserError that lists the known devices."""
    if configuration.part not in PARTS:
        raise UserError(
            f"configuration {configuration.name}: part {configuration.part} has no ordering code; known: {', '.join(PARTS)}"
        )
    return PARTS[configuration.part]


def board_part(configuration: HardwareConfiguration) -> str:
    """The board part of the device, or a UserError that lists the devices with a board."""
    if configuration.part not in BOARDS:
        raise UserError(
            f"configuration {configuration.name}: no board preset for part {configuration.part}; known: {', '.join(BOARDS)}"
        )
    return BOARDS[configuration.part]
