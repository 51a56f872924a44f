"""The RTL that is synthesised."""

from __future__ import annotations

from pathlib import Path

from sim.lint import REPOSITORY, SYNTHESISED_TOP
from sim.rtl_sources import source_closure
from spec.files import sha256_of


def synthesised_sources() -> list[Path]:
    """The files of the accelerator, each after those it uses."""
    return source_closure(SYNTHESISED_TOP, [REPOSITORY / "hls" / "rtl"])


def synthesised_hash() -> str:
    """SHA-256 of all of them, in hexadecimal."""
    return sha256_of(b"".join(path.read_bytes() for path in synthesised_sources()))
