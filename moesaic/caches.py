"""Where things that can be made again are kept: compiled emulators and simulators, netlists, networks, benchmark measurements.

There is one place for all of them: $XDG_CACHE_HOME/moesaic, otherwise ~/.cache/moesaic, or, if neither can be written, a private
folder that is deleted when the process ends. Everything in it is named by a hash of what it was made from, so it may be deleted at
any time.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from moesaic.errors import UserError

_PROBE_BYTES = 1 << 16
_private: list[Path] = []
"""This process's substitute for the cache, once it was needed; at most one folder."""


def cache_directory(kind: str) -> Path:
    """The directory for one kind of thing, such as "emulators"; it exists and is writable.

    Raises UserError if not even a temporary folder can be made.
    """
    refusals = []
    for root in _roots():
        directory = root / "moesaic" / kind
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _require_room(directory)
        except OSError as error:
            refusals.append(f"{directory}: {error.strerror or error}")
        else:
            return directory
    directory = _private_directory("; ".join(refusals) or "there is no home directory") / kind
    directory.mkdir(exist_ok=True)
    return directory


def _require_room(directory: Path) -> None:
    """OSError unless a file of some bytes can be written there: a full disk may still take directories."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(_PROBE_BYTES))
        file.flush()


def _roots() -> list[Path]:
    """Folders that hold the caches of all programs, best first. XDG's rules say that a relative one is ignored."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    roots = [named] if named.is_absolute() else []
    try:
        return [*roots, Path.home() / ".cache"]
    except RuntimeError:  # neither HOME nor an entry in the user database
        return roots


def _private_directory(reason: str) -> Path:
    if not _private:
        try:
            _private.append(Path(tempfile.mkdtemp(prefix="moesaic-cache-")))
        except OSError as error:
            raise UserError(
                f"no folder for what is compiled ({reason}; {error}); make room, or set XDG_CACHE_HOME to one that can be written"
            ) from None
        atexit.register(shutil.rmtree, _private[0], ignore_errors=True)
        print(f"no cache can be kept ({reason}); until this program ends it is {_private[0]}", file=sys.stderr)
    return _private[0]
