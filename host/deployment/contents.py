"""What a deployment puts onto a board: the runtime, the examples, a build and its bitstream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from moesaic.files import sha256_of
from moesaic.host.bitstream import NAME, RECORD
from moesaic.installation import checkout
from moesaic.spec.build import MANIFEST, Build

MOESAIC = Path(str(resources.files("moesaic")))
BOARD_ROOMS = ("pages", "spec", "host")
"""Packages that run on a board, beside the modules in moesaic itself."""
EXAMPLES = "examples/"
"""Folder of what is there to be edited."""
BUILDS, BITSTREAMS = "builds/", "bitstreams/"

PROFILES = ("/etc/profile.d/pynq_venv.sh", "/etc/profile.d/xrt_setup.sh")
"""PYNQ keeps Python and its packages in a virtual environment, which these files for bash activate."""

# Root runs it, and bytecode files owned by root would get in the way of the next deployment.
_PYTHON = """\
#!/bin/bash
here=$(dirname "$(readlink -f "${{BASH_SOURCE[0]}}")")
for profile in {profiles}; do
  if [ -r "$profile" ]; then . "$profile"; fi
done
export PYTHONPATH="$here/lib" PYTHONDONTWRITEBYTECODE=1
exec python3 "$@"
"""

_LAUNCHER = """\
#!/bin/bash
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/python" -m moesaic "$@"
"""


@dataclass(frozen=True)
class File:
    """A file for the board. mode: permissions."""

    content: bytes
    mode: int = 0o644

    @property
    def sha256(self) -> str:
        return sha256_of(self.content)


@dataclass(frozen=True)
class Contents:
    """Everything that a deployment brings.

    files: by path, relative to the folder on the board. build_place, bitstream_place: the folders of the build and of its bitstream,
    each with a slash at its end; the second may hold nothing.
    """

    files: dict[str, File]
    build_place: str
    bitstream_place: str

    def is_anothers(self, path: str) -> bool:
        """Whether a deployed path belongs to another build, which stays."""
        return path.startswith((BUILDS, BITSTREAMS)) and not path.startswith((self.build_place, self.bitstream_place))


def _below(directory: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder that are neither hidden nor compiled (`__pycache__`, `build`), with their relative paths."""
    for path in sorted(directory.rglob("*")):
        parts = path.relative_to(directory).parts
        if path.is_file() and not any(part in ("__pycache__", "build") or part.startswith(".") for part in parts):
            yield "/".join(parts), path


def contents(build_directory: Path, build: Build, bitstream: Path | None) -> Contents:
    """Read what the board gets.

    build_directory: where `build` was loaded from. bitstream: path of the .bit file, or None to leave it out.
    """
    paths = {f"lib/moesaic/{path.name}": path for path in sorted(MOESAIC.glob("*.py"))}
    for room in BOARD_ROOMS:
        source = Path(str(resources.files(f"moesaic.{room}")))
        paths |= {f"lib/moesaic/{room}/{name}": path for name, path in _below(source)}
    root = checkout()
    if root is not None:
        paths |= {EXAMPLES + name: path for name, path in _below(root / "examples")}
    build_place = f"{BUILDS}{_folder(build.name)}-{build.fingerprint}/"
    for name in (MANIFEST, *json.loads((build_directory / MANIFEST).read_text())["files"]):
        paths[build_place + name] = build_directory / name
    bitstream_place = f"{BITSTREAMS}{_folder(build.configuration.name)}-{build.fingerprint}/"
    if bitstream is not None:
        names = [NAME, Path(NAME).with_suffix(".hwh").name]
        if bitstream.parent != build_directory and bitstream.with_name(RECORD).is_file():
            names.append(RECORD)
        paths |= {bitstream_place + name: bitstream.with_name(name) for name in names}
    files = {name: File(path.read_bytes()) for name, path in paths.items()}
    programs = {"python": _PYTHON.format(profiles=" ".join(PROFILES)), "moesaic": _LAUNCHER}
    files |= {name: File(text.encode(), 0o755) for name, text in programs.items()}
    return Contents(files, build_place, bitstream_place)


def _folder(name: str) -> str:
    """Folder for a build, from its name, without anything that a shell would interpret."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
