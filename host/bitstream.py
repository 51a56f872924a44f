"""Where the bitstream of a configuration lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spec.configuration import HardwareConfiguration
from spec.errors import UserError

NAME = "accel.bit"


def _places(build_directory: Path, configuration: HardwareConfiguration) -> Iterator[Path]:
    """The build itself, then bitstreams/<configuration>-<fingerprint>/ beside the caller and beside this package."""
    folder = f"{configuration.name}-{configuration.fingerprint}"
    yield build_directory / NAME
    yield Path.cwd() / "bitstreams" / folder / NAME
    yield Path(__file__).resolve().parents[1] / "bitstreams" / folder / NAME


def find_bitstream(build_directory: Path, configuration: HardwareConfiguration) -> Path | None:
    """The first accel.bit that has its accel.hwh (the description that PYNQ reads) beside it, or None."""
    for path in _places(build_directory, configuration):
        if path.is_file() and path.with_suffix(".hwh").is_file():
            return path
    return None


def require_bitstream(build_directory: Path, configuration: HardwareConfiguration) -> Path:
    """find_bitstream, or a UserError that says where it was looked for."""
    path = find_bitstream(build_directory, configuration)
    if path is None:
        places = ", ".join(dict.fromkeys(str(place.parent) for place in _places(build_directory, configuration)))
        raise UserError(
            f"no bitstream for configuration {configuration.name} (fingerprint {configuration.fingerprint}): {NAME} with its "
            f".hwh is in none of {places}; make one with Vivado from the build's rtl/ sources, or use the emulator"
        )
    return path
