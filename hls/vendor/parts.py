"""The vendor tools' names for the devices of moesaic.hls.hardware.devices and for their boards."""

from __future__ import annotations

from moesaic.errors import UserError
from moesaic.spec.configuration import HardwareConfiguration

PARTS = {"XCZU7EV": "xczu7ev-ffvc1156-2-e", "XCZU15EG": "xczu15eg-ffvb1156-2-e"}
"""Device to its ordering code: the package, speed grade and temperature range found on its boards."""

BOARDS = {"XCZU7EV": "xilinx.com:zcu104:part0:1.1"}
"""Device to the board part whose preset sets up the processing system, DDR and pins."""


def ordering_code(configuration: HardwareConfiguration) -> str:
    """The part name that Vitis HLS and Vivado take. Raises UserError, listing the known devices, if there is none."""
    if configuration.part not in PARTS:
        raise UserError(
            f"configuration {configuration.name}: part {configuration.part} has no ordering code; known: {', '.join(PARTS)}"
        )
    return PARTS[configuration.part]


def board_part(configuration: HardwareConfiguration) -> str:
    """The board part of the configuration's device. Raises UserError, listing the devices that have one, if there is none."""
    if configuration.part not in BOARDS:
        raise UserError(
            f"configuration {configuration.name}: no board preset for part {configuration.part}; known: {', '.join(BOARDS)}"
        )
    return BOARDS[configuration.part]
