"""Where the bitstream of a configuration lies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from moesaic.errors import UserError
from moesaic.spec.configuration import HardwareConfiguration

NAME = "accel.bit"
RECORD = "build.json"
"""What `make bitstream` writes beside a bitstream: its fingerprint, the tools, what it uses."""


def _places(build_directory: Path, configuration: HardwareConfiguration) -> Iterator[Path]:
    """The build itself, then bitstreams/<configuration>-<fingerprint>/ beside the caller and beside this package."""
    folder = f"{configuration.name}-{configuration.fingerprint}"
    yield build_directory / NAME
    yield Path.cwd() / "bitstreams" / folder / NAME
    yield Path(__file__).resolve().parents[1] / "bitstreams" / folder / NAME


def find_bitstream(build_directory: Path, configuration: HardwareConfiguration) -> Path | None:
    """The first accel.bit that has its accel.hwh (the description that PYNQ reads) beside it, or None.

    UserError if the record beside it says that it is of another configuration.
    """
    for path in _places(build_directory, configuration):
        if path.is_file() and path.with_suffix(".hwh").is_file():
            _check_record(path, configuration)
            return path
    return None


def _check_record(path: Path, configuration: HardwareConfiguration) -> None:
    try:
        recorded = json.loads(path.with_name(RECORD).read_text())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # no record; the accelerator itself is asked once it is loaded
    if recorded != configuration.fingerprint:
        raise UserError(
            f"bitstream {path} was made for fingerprint {recorded}, configuration {configuration.name} has "
            f"{configuration.fingerprint}; make it again with: make bitstream CONFIG={configuration.name}"
        )


def require_bitstream(build_directory: Path, configuration: HardwareConfiguration) -> Path:
    """find_bitstream, or a UserError that says where it was looked for."""
    path = find_bitstream(build_directory, configuration)
    if path is None:
        places = ", ".join(dict.fromkeys(str(place.parent) for place in _places(build_directory, configuration)))
        raise UserError(
            f"no bitstream for configuration {configuration.name} (fingerprint {configuration.fingerprint}): {NAME} with its "
            f".hwh is in none of {places}; make one where Vivado is installed: make bitstream CONFIG={configuration.name}, "
            "or use the emulator"
        )
    return path
