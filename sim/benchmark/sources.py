"""What all figures of a benchmark depend on, as one hash: the generator, the RTL, the simulation, the specification."""

from __future__ import annotations

import hashlib
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PATTERNS = (
    "hls/*.py",
    "hls/rtl/*.sv",
    "hls/cpp/*",
    "model/**/*.py",
    "model/recipes/*.toml",
    "sim/rtl/*.sv",
    "sim/*.cpp",
    "spec/*.py",
)


def sources_hash() -> str:
    """24 hex digits that change with any of these files."""
    digest = hashlib.sha256()
    for pattern in _PATTERNS:
        for path in sorted(_ROOT.glob(pattern)):
            if path.is_file():
                digest.update(f"{path.relative_to(_ROOT)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:24]
