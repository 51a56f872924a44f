"""What figures of a benchmark depend on, as hashes of files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_LOADED = ("hls/*.py", "model/**/*.py", "spec/*.py")
_READ = ("hls/rtl/*.sv", "hls/cpp/*", "model/recipes/*.toml", "sim/rtl/*.sv", "sim/*.cpp")


def sources_hash() -> str:
    """24 hex digits that change with the generator, the RTL, the simulation, the specification, the networks."""
    return _hash((*_LOADED, *_READ))


def read_hash() -> str:
    """24 hex digits that change with those of these files that are read while a benchmark runs; the others were loaded when it began."""
    return _hash(_READ)


def content_hash(paths: Sequence[Path]) -> str:
    """24 hex digits of the names and contents of some files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:24]


def _hash(patterns: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for pattern in sorted(patterns):
        for path in sorted(_ROOT.glob(pattern)):
            if path.is_file():
                digest.update(f"{path.relative_to(_ROOT)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:24]
