"""The command `moesaic deploy`: puts the runtime, a build and its bitstream onto a board, by ssh and scp."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from moesaic.errors import UserError
from moesaic.host.bitstream import NAME, RECORD, require_bitstream
from moesaic.host.commands.build_options import add_build
from moesaic.installation import checkout
from moesaic.spec.build import MANIFEST, Build, load_build

MOESAIC = Path(str(resources.files("moesaic")))
BOARD_ROOMS = ("pages", "spec", "host")
"""Packages that run on a board, beside the modules in moesaic itself."""
OLDEST_PYTHON = (3, 10)

_PROFILES = ("/etc/profile.d/pynq_venv.sh", "/etc/profile.d/xrt_setup.sh")
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

_CHECK = """\
import importlib.util as u, json, platform
try:
    import numpy, moesaic.command_line
    from moesaic.spec.build import load_build
    fingerprint, problem = load_build({build!r}).fingerprint, ''
except Exception as error:
    fingerprint, problem = '', f'{{type(error).__name__}}: {{error}}'
print(json.dumps(dict(python=platform.python_version(), fingerprint=fingerprint, problem=problem,
                      pynq=u.find_spec('pynq') is not None)))
"""

# Builds and bitstreams of earlier deployments stay. Parts of the old copy that cannot be removed are listed; they do no harm.
_REPLACE = """\
set -e
if [ -d {old} ]; then
  for kind in builds bitstreams; do
    for entry in {old}/$kind/*; do
      if [ -e "$entry" ] && [ ! -e {new}/$kind/"$(basename "$entry")" ]; then mv "$entry" {new}/$kind/; fi
    done
  done
  retired=$(mktemp -d {old}.retired.XXXXXX)
  mv {old} "$retired"/copy
fi
mv {new} {old}
rm -rf {old}.retired.* || true
for left in {old}.retired.*; do
  if [ -e "$left" ]; then echo "$left"; fi
done
"""


class Remote:
    """A board that ssh and scp reach. name: as they take it, such as xilinx@192.168.2.99.

    UserError if the name cannot be a host's, and from run() and copy() if a command fails.
    """

    def __init__(self, name: str) -> None:
        if not name or name.startswith("-"):
            raise UserError(f"{name!r} is no host; name the board as ssh does, such as xilinx@192.168.2.99")
        self.name = name

    def run(self, command: str) -> str:
        """Run a shell command on the board and return what it prints."""
        return self._call(["ssh", self.name, command])

    def copy(self, directory: Path, target: str) -> None:
        """Copy a directory to a place on the board where there is none yet."""
        self._call(["scp", "-r", "-q", str(directory), f"{self.name}:{target}"])

    def _call(self, words: list[str]) -> str:
        if shutil.which(words[0]) is None:
            raise UserError(
                f"{words[0]} is missing: the board is reached with it; install it with: apt-get install openssh-client"
            )
        process = subprocess.run(words, capture_output=True, text=True, check=False)
        if process.returncode != 0:
            lines = process.stderr.strip().splitlines() or ["no message"]
            raise UserError(
                f"{words[0]} {self.name} ended with exit code {process.returncode}: {lines[-1]}; see that "
                f"`ssh {self.name}` works and that the board has room"
            )
        return process.stdout


def stage(directory: Path, build_directory: Path, build: Build, bitstream: Path | None) -> str:
    """Lay out in an empty directory what the board gets; returns the place of the build, relative to that directory.

    build_directory: where `build` was loaded from. bitstream: path of the .bit file, or None to leave it out.
    """
    package = directory / "lib" / "moesaic"
    package.mkdir(parents=True)
    for path in MOESAIC.glob("*.py"):
        shutil.copy2(path, package / path.name)
    for room in BOARD_ROOMS:
        source = Path(str(resources.files(f"moesaic.{room}")))
        shutil.copytree(source, package / room, ignore=shutil.ignore_patterns("__pycache__"))
    root = checkout()
    if root is not None:
        shutil.copytree(root / "examples", directory / "examples", ignore=shutil.ignore_patterns(".*"))
    place = f"builds/{_folder(build.name)}-{build.fingerprint}"
    for name in (MANIFEST, *json.loads((build_directory / MANIFEST).read_text())["files"]):
        (directory / place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(build_directory / name, directory / place / name)
    target = directory / "bitstreams" / f"{build.configuration.name}-{build.fingerprint}"
    target.parent.mkdir()
    if bitstream is not None:
        target.mkdir()
        names = [NAME, Path(NAME).with_suffix(".hwh").name]
        if bitstream.parent != build_directory and bitstream.with_name(RECORD).is_file():
            names.append(RECORD)
        for name in names:
            shutil.copy2(bitstream.with_name(name), target / name)
    programs = {"python": _PYTHON.format(profiles=" ".join(_PROFILES)), "moesaic": _LAUNCHER}
    for name, text in programs.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return place


def _folder(name: str) -> str:
    """Folder for a build, from its name, without anything that a shell would interpret."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def check(remote: Remote, directory: str, place: str, build: Build) -> bool:
    """Check that the copy on the board is whole and works; returns whether pynq is there.

    directory: of the copy, on the board. place: of the build in it. UserError if it does not work or its Python is too old.
    """
    code = shlex.quote(_CHECK.format(build=place))
    answer = remote.run(f"cd {directory} && ./python -c {code}").strip().splitlines()
    try:
        found = json.loads(answer[-1])
        version = tuple(int(part) for part in found["python"].split(".")[:2])
    except (IndexError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{remote.name} does not answer as a board does: {answer[-1:]}; see that it has python3"
        ) from None
    if version < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise UserError(
            f"{remote.name} has Python {found['python']}, {oldest} is needed; put PYNQ 3.0 or later on its card"
        )
    if found["problem"] or found["fingerprint"] != build.fingerprint:
        raise UserError(
            f"the copy on {remote.name} does not work: {found['problem'] or found['fingerprint']} where fingerprint "
            f"{build.fingerprint} was sent; what was there before was left as it is"
        )
    return found["pynq"]


class DeployCommand:
    """Puts a build onto a board."""

    name = "deploy"
    help = "copy the runtime, a build and its bitstream to a board by ssh, and check them there"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("board", metavar="BOARD", help="the board as ssh names it, such as xilinx@192.168.2.99")
        add_build(parser)
        parser.add_argument(
            "--directory", default="moesaic", help="on the board (default: moesaic in the home directory)"
        )
        parser.add_argument(
            "--without-bitstream", action="store_true", help="for the emulator, which compiles there with g++"
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """The copy is complete and checked before it takes the place of an earlier one. Returns 0."""
        remote = Remote(arguments.board.removeprefix("BOARD="))
        directory = arguments.directory.rstrip("/")
        if not re.fullmatch(r"[A-Za-z0-9_./-]+", directory) or directory.startswith("-"):
            raise UserError(f"directory {arguments.directory!r} on the board; use letters, digits and _ . / -")
        build = load_build(arguments.build)
        bitstream = None if arguments.without_bitstream else require_bitstream(arguments.build, build.configuration)
        new = f"{directory}.new"
        with tempfile.TemporaryDirectory(prefix="moesaic-deploy-") as scratch:
            staging = Path(scratch) / "moesaic"
            staging.mkdir()
            place = stage(staging, arguments.build, build, bitstream)
            remote.run(f"rm -rf {new} && mkdir -p $(dirname {new})")
            remote.copy(staging, new)
        pynq = check(remote, new, place, build)
        left = remote.run(_REPLACE.format(old=directory, new=new)).split()
        print(f"{build.name} ({build.fingerprint}) is on {remote.name} in {directory}, {_what(bitstream, pynq)}")
        if left:
            print(f"of an earlier copy remains, being root's; remove it there: sudo rm -rf {' '.join(left)}")
        print(f"run it there: sudo {directory}/moesaic run {directory}/{place} IMAGE")
        return 0


def _what(bitstream: Path | None, pynq: bool) -> str:
    if bitstream is None:
        return "without a bitstream: it runs on the emulator"
    return "with its bitstream" if pynq else "with its bitstream, but pynq is missing there: pip install pynq"
