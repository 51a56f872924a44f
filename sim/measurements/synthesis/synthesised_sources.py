"""The RTL that is synthesised."""

from __future__ import annotations

from pathlib import Path

from moesaic.files import sha256_of
from moesaic.hls.hardware.accelerator_sources import RTL_DIRECTORY
from moesaic.sim.machines.rtl_lint import SYNTHESISED_TOP
from moesaic.sim.machines.source_closure import source_closure


def synthesised_sources() -> list[Path]:
    """The SystemVerilog files of the accelerator, each after those that it uses."""
    return source_closure(SYNTHESISED_TOP, [RTL_DIRECTORY])


def synthesised_hash() -> str:
    """SHA-256 of the contents of synthesised_sources(), in hexadecimal."""
    return sha256_of(b"".join(path.read_bytes() for path in synthesised_sources()))
