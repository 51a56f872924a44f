"""Where the bitstream of a configuration lies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from moesaic.errors import UserError
from moesaic.files import refuse_lfs_pointer
from moesaic.spec.configuration import HardwareConfiguration

NAME = "accel.bit"
"""File name of a bitstream."""
RECORD = "build.json"
"""File that `moesaic bitstream` writes beside a bitstream: its fingerprint, the tools, the resources used."""


def _places(build_directory: Path, configuration: HardwareConfiguration) -> Iterator[Path]:
    """The build itself, then bitstreams/<configuration>-<fingerprint>/ in every folder above it and in the working directory."""
    place = Path("bitstreams", f"{configuration.name}-{configuration.fingerprint}", NAME)
    yield build_directory / NAME
    for folder in dict.fromkeys((*build_directory.absolute().parents, Path.cwd())):
        yield folder / place


def find_bitstream(build_directory: Path, configuration: HardwareConfiguration) -> Path | None:
    """The first accel.bit with its accel.hwh (the description that PYNQ reads) beside it, or None.

    UserError if it is a pointer of Git LFS, or the record beside it says that it was made for another configuration.
    """
    for path in _places(build_directory, configuration):
        if path.is_file() and path.with_suffix(".hwh").is_file():
            for file in (path, path.with_suffix(".hwh")):
                refuse_lfs_pointer(file)
            _check_record(path, configuration)
            return path
    return None


def _check_record(path: Path, configuration: HardwareConfiguration) -> None:
    try:
        recorded = json.loads(path.with_name(RECORD).read_text(encoding="utf-8"))["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # no record; the accelerator itself is asked once it is loaded
    if recorded != configuration.fingerprint:
        raise UserError(
            f"bitstream {path} was made for fingerprint {recorded}, configuration {configuration.name} has "
            f"{configuration.fingerprint}; make it again with: moesaic bitstream --config {configuration.name}"
        )


def require_bitstream(build_directory: Path, configuration: HardwareConfiguration) -> Path:
    """find_bitstream, or a UserError that says where the bitstream was looked for."""
    path = find_bitstream(build_directory, configuration)
    if path is None:
        folder = f"bitstreams/{configuration.name}-{configuration.fingerprint}"
        raise UserError(
            f"no bitstream for configuration {configuration.name} (fingerprint {configuration.fingerprint}): {NAME} with its .hwh "
            f"is neither in {build_directory} nor in {folder} of a folder above it or of {Path.cwd()}; make one where Vivado is "
            f"installed: moesaic bitstream --config {configuration.name}, or use the emulator"
        )
    return path
