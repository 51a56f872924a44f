"""Slow measurements, kept as JSON files named by a hash of what they depend on."""

import json
from collections.abc import Callable
from pathlib import Path

from moesaic.files import sha256_of, write_file


def content_key(settings: dict) -> str:
    """Twelve hexadecimal digits that depend on every entry. settings: what JSON can hold."""
    return sha256_of(json.dumps(settings, sort_keys=True).encode())[:12]


def read_measurements(path: Path) -> dict:
    """The measurements in the file; empty if it does not exist."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def keep_measurements(path: Path, measurements: dict | list) -> None:
    """Write the file, completely or not at all. UserError if it cannot be written."""
    write_file(path, (json.dumps(measurements, indent=1) + "\n").encode())


def measure_once(path: Path, measure: Callable[[], dict]) -> dict:
    """The measurements in the file or, if it does not exist, those that `measure` returns, which are then kept there."""
    found = read_measurements(path)
    if not found:
        found = measure()
        keep_measurements(path, found)
    return found
