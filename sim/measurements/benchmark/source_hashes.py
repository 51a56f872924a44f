"""Hashes of the files that a benchmark's figures depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

_LOADED = ("hls/**/*.py", "model/**/*.py", "spec/*.py")
_READ = (
    "hls/hardware/rtl/*.sv", "hls/hardware/cpp/*", "model/recipes/**/*.toml", "sim/machines/rtl/*.sv", "sim/machines/*.?pp",
)  # fmt: skip


def room_files(pattern: str) -> list[Path]:
    """The sorted files of a package of moesaic. pattern: the package's name, a slash and a glob, as in spec/*.py."""
    room, _, rest = pattern.partition("/")
    return sorted(path for path in Path(str(resources.files(f"moesaic.{room}"))).glob(rest) if path.is_file())


def sources_hash() -> str:
    """24 hex digits that change with the generator, the RTL, the simulation, the specification and the networks."""
    return _hash((*_LOADED, *_READ))


def read_hash() -> str:
    """24 hex digits that change with those source files that a running benchmark still reads; the others are loaded at its start."""
    return _hash(_READ)


def content_hash(paths: Sequence[Path]) -> str:
    """Hash of the names and contents of these files, in their order, as 24 hex digits."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:24]


def _hash(patterns: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for pattern in sorted(patterns):
        digest.update(f"{pattern}\0{content_hash(room_files(pattern))}\0".encode())
    return digest.hexdigest()[:24]
