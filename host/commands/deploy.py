"""The command `moesaic deploy`: puts the runtime, a build and its bitstream onto a board, by ssh."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from typing import Any

from moesaic.errors import UserError
from moesaic.host.bitstream import require_bitstream
from moesaic.host.commands.build_options import add_build
from moesaic.host.deployment.contents import Contents, contents
from moesaic.host.deployment.plan import Plan, make_plan, manifest_text, paths_to_look_at, read_manifest_text
from moesaic.host.deployment.session import BoardSession
from moesaic.spec.build import Build, load_build

OLDEST_PYTHON = (3, 10)
EXIT_DECLINED = 1
_SHOWN = 5
"""Paths that a question names; the others are counted."""

_CHECKED = "moesaic deployment check: "
_CHECK = """\
import importlib.util as u, json, platform
try:
    import numpy, moesaic.command_line
    from moesaic.spec.build import load_build
    fingerprint, problem = load_build({build!r}).fingerprint, ''
except Exception as error:
    fingerprint, problem = '', f'{{type(error).__name__}}: {{error}}'
print('\\n' + {checked!r} + json.dumps(dict(python=platform.python_version(), fingerprint=fingerprint, problem=problem,
                                           pynq=u.find_spec('pynq') is not None)))
"""


def board_directory(text: str) -> str:
    """The folder on the board that --directory names, relative to the home directory there unless it begins with a slash.

    UserError if it cannot be one: control characters, another user's home, or a colon, at which Python divides its path.
    """
    if not text or not text.isprintable() or ":" in text:
        raise UserError(f"directory {text!r} on the board; give a path without colons and control characters")
    if text == "~" or text.startswith("~/"):
        return text[2:].lstrip("/") or "."
    if text.startswith("~"):
        raise UserError(
            f"directory {text!r} on the board; ~ stands for the home of the user that ssh logs in, and only so: ~/moesaic"
        )
    return text


def shown(directory: str) -> str:
    """A folder as it has to be typed in a shell in the home directory of the board."""
    path = directory.rstrip("/")
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


class Deploying:
    """A deployment of `contents` to a folder of a board, step by step."""

    def __init__(self, session: BoardSession, directory: str, brought: Contents) -> None:
        self.session, self.directory, self.contents = session, directory, brought
        self.found = session.ask("open", directory=directory)
        if self.found["around_home"]:
            raise UserError(
                f"--directory {directory} is {self.found['directory']} on {session.name}, which holds the home directory "
                f"{self.found['home']}; give the copy a folder of its own, such as moesaic"
            )
        self._manifest_before: str | None = self.found.get("manifest")
        manifest = read_manifest_text(self._manifest_before)
        interrupted = read_manifest_text(self.found.get("journal"))
        self.is_ours = manifest is not None or interrupted is not None
        looked = session.ask("look", paths=paths_to_look_at(brought, manifest or {}, interrupted or {}))
        self.free: int = looked["free"]
        self.plan = make_plan(brought, manifest or {}, interrupted or {}, looked["found"], looked["blocking"])

    @property
    def bytes_sent(self) -> int:
        return sum(len(self.contents.files[name].content) for name in self.plan.source.values())

    @property
    def question(self) -> str:
        """What the user has to agree to; empty if only files of earlier deployments are touched."""
        parts = []
        if self.found["exists"] and not self.is_ours and self.found["files"]:
            why = "was not made by moesaic deploy" if self._manifest_before is None else "has an altered deployed.json"
            parts.append(
                f"{self.found['directory']} on {self.session.name} {why}; its {self.found['files']} files stay there"
            )
        if self.plan.foreign:
            named = ", ".join(self.plan.foreign[:_SHOWN])
            more = f" and {len(self.plan.foreign) - _SHOWN} more" if len(self.plan.foreign) > _SHOWN else ""
            parts.append(f"what stands in the way is kept under another name: {named}{more}")
        return "; ".join(parts)

    def lines(self) -> list[str]:
        """What would be done, a line for each file."""
        p = self.plan
        kinds: list[tuple[str, list[str]]] = [
            ("write", p.write), ("replace", p.replace), ("remove", p.remove), ("keep, edited", p.keep),
            ("rename, edited", p.edited), ("rename, not deployed", p.foreign), ("unchanged", p.same),
        ]  # fmt: skip
        return [f"{kind:<22}{path}" for kind, paths in kinds for path in sorted(paths)]

    def stage(self) -> None:
        """Bring the files to the board, where nothing is changed yet. UserError if there is no room for them."""
        needed = self.bytes_sent
        if needed >= self.free:
            raise UserError(
                f"{self.session.name} has {self.free:,} bytes left for {self.found['directory']}, the copy needs {needed:,}; "
                "remove builds there, or name a folder on another disk"
            )
        files = {path: self.contents.files[name] for path, name in self.plan.source.items()}
        self.session.ask(
            "stage",
            contents=(file.content for file in files.values()),
            manifest_before=self._manifest_before,
            journal=manifest_text(self.plan.manifest),
            send=[[path, len(file.content), file.sha256, file.mode] for path, file in files.items()],
            same=[[path, self.contents.files[path].mode] for path in self.plan.same if path in self.contents.files],
        )

    def check(self, build: Build) -> bool:
        """Check that the staged copy is whole and works; returns whether pynq is there.

        UserError if it does not work or its Python is too old.
        """
        code = _CHECK.format(build=f"{self.found['staged']}/{self.contents.build_place}", checked=_CHECKED)
        name, answer = self.session.name, self.session.ask("check", words=["python", "-c", code])
        told = [line for line in answer["output"].splitlines() if line.startswith(_CHECKED)]
        if not told:
            said = [line.strip() for line in answer["errors"].splitlines() if line.strip()]
            reason = said[-1] if said else "no message"
            raise UserError(
                f"Python does not run on {name} (exit code {answer['code']}: {reason}); see that it has bash and python3"
            )
        found: dict[str, Any] = json.loads(told[-1].removeprefix(_CHECKED))
        if tuple(int(part) for part in found["python"].split(".")[:2]) < OLDEST_PYTHON:
            oldest = ".".join(map(str, OLDEST_PYTHON))
            raise UserError(
                f"{name} has Python {found['python']}, {oldest} is needed; put PYNQ 3.0 or later on its card"
            )
        if found["problem"] or found["fingerprint"] != build.fingerprint:
            raise UserError(
                f"the copy on {name} does not work: {found['problem'] or found['fingerprint']} where fingerprint "
                f"{build.fingerprint} was sent; what was there before was left as it is"
            )
        return found["pynq"]

    def commit(self) -> dict[str, str]:
        """Put the files in place; returns under which names the user's own that were in the way are kept."""
        p = self.plan
        answer = self.session.ask(
            "commit",
            expected=p.expected,
            aside=[*p.foreign, *p.edited],
            put=list(p.source),
            remove=p.remove,
            manifest=manifest_text(p.manifest),
        )
        return answer["saved"]


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
        parser.add_argument("--dry-run", action="store_true", help="list what would be written, replaced and removed")
        parser.add_argument(
            "--yes",
            action="store_true",
            help="do not ask before a folder is used that deploy did not make; nothing is lost",
        )

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """The copy is complete and checked before a file of an earlier one is touched. Returns 0, or 1 if the user says no."""
        directory = board_directory(arguments.directory)
        build = load_build(arguments.build)
        bitstream = None if arguments.without_bitstream else require_bitstream(arguments.build, build.configuration)
        brought = contents(arguments.build, build, bitstream)
        with BoardSession(arguments.board.removeprefix("BOARD=")) as session:
            deploying = Deploying(session, directory, brought)
            if arguments.dry_run:
                print("\n".join(deploying.lines()))
                print(f"{deploying.bytes_sent:,} bytes would be sent; nothing was changed")
                return 0
            if deploying.question and not arguments.yes and not _agreed(deploying.question):
                print("nothing was changed")
                return EXIT_DECLINED
            deploying.stage()
            pynq = deploying.check(build)
            saved = deploying.commit()
        _tell(session.name, directory, build, bitstream is not None, pynq, deploying.plan, saved)
        print(f"run it there: sudo {_in(directory, 'moesaic')} run {_in(directory, brought.build_place)} IMAGE")
        return 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UserError(f"{question}; say --yes to go on, or name another --directory")
    try:
        return input(f"{question}\ngo on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _in(directory: str, name: str) -> str:
    return shown(os.path.normpath(os.path.join(directory, name)))


def _tell(
    name: str, directory: str, build: Build, bitstream: bool, pynq: bool, plan: Plan, saved: dict[str, str]
) -> None:
    print(f"{build.name} ({build.fingerprint}) is on {name} in {shown(directory)}, {_what(bitstream, pynq)}")
    print(
        f"{len(plan.write)} files written, {len(plan.replace)} replaced, {len(plan.remove)} removed, {len(plan.same)} unchanged"
    )
    for path in plan.keep:
        new = [written for written, source in plan.source.items() if source == path]
        print(f"you have edited {path}: it stays" + (f", the new one is {new[0]}" if new else ""))
    for path, kept in saved.items():
        print(f"{path} was {'edited' if path in plan.edited else 'not from a deployment'}: it is kept as {kept}")


def _what(bitstream: bool, pynq: bool) -> str:
    if not bitstream:
        return "without a bitstream: it runs on the emulator"
    if pynq:
        return "with its bitstream"
    return (
        "with its bitstream, but Python there finds no pynq: it is part of PYNQ's images, in an environment that "
        "/etc/profile.d/pynq_venv.sh enters"
    )
