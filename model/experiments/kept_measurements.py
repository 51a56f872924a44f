"""Measurements that take long, kept as JSON files that are named by a hash of what they depend on."""

import json
from pathlib import Path

from moesaic.files import sha256_of, write_file


def content_key(settings: dict) -> str:
    """Twelve hexadecimal digits that change with every entry."""
    return sha256_of(json.dumps(settings, sort_keys=True).encode())[:12]


def read_measurements(path: Path) -> dict:
    """What the file keeps; nothing if it is not there."""
    return json.loads(path.read_text()) if path.is_file() else {}


def keep_measurements(path: Path, measurements: dict | list) -> None:
    """Write the file, whole or not at all."""
    write_file(path, (json.dumps(measurements, indent=1) + "\n").encode())
