"""Results of what takes long, kept as JSON files named by a hash of what they depend on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from moesaic.files import sha256_of, write_file


def content_key(settings: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that depend on every entry. settings: what JSON can hold."""
    return sha256_of(json.dumps(settings, sort_keys=True).encode())[:12]


def read_result(path: Path) -> Any:
    """The result in the file; None if there is none, or the file is broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def keep_result(path: Path, result: Any) -> None:
    """Write the file, completely or not at all. result: what JSON can hold. UserError if it cannot be written."""
    write_file(path, (json.dumps(result, indent=1) + "\n").encode())


def kept_result(path: Path, measure: Callable[[], Any]) -> Any:
    """The result in the file or, if there is none, the one that `measure` returns, which is then kept there."""
    found = read_result(path)
    if found is None:
        found = measure()
        keep_result(path, found)
    return found
