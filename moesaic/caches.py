"""Where what can be made again is kept: compiled emulators and simulators, synthesised modules, measurements.

One place for all of them: $XDG_CACHE_HOME/moesaic, else ~/.cache/moesaic, else, where neither can be written, a folder of this
process alone that goes when it ends.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def cache_directory(kind: str) -> Path:
    """The directory of one kind of things, such as "emulators"; it exists and can be written."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        directory = (Path(base) if base else Path.home() / ".cache") / "moesaic" / kind
        directory.mkdir(parents=True, exist_ok=True)
        os.rmdir(tempfile.mkdtemp(prefix=".probe-", dir=directory))
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
        directory = _private_directory(str(error)) / kind
        directory.mkdir(exist_ok=True)
    return directory


_private: list[Path] = []


def _private_directory(reason: str) -> Path:
    if not _private:
        _private.append(Path(tempfile.mkdtemp(prefix="moesaic-cache-")))
        atexit.register(shutil.rmtree, _private[0], ignore_errors=True)
        print(
            f"no cache can be kept ({reason}); {_private[0]} takes its place until this program ends", file=sys.stderr
        )
    return _private[0]
