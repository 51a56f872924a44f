"""The command `moesaic`.

Commands are found through the entry-point group `moesaic.commands`, so that no part has to import another. An entry point leads to
an object with `name`, `help`, `configure(parser)` and `run(arguments) -> exit code`. Only the one that was asked for is loaded:
`moesaic run` must neither wait for nor need what `moesaic train` imports. Where moesaic was copied rather than installed, as
`moesaic deploy` does on a board, only the runtime's commands are there.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn, Protocol

from moesaic.errors import UserError
from moesaic.installation import how_to_install

GROUP = "moesaic.commands"
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
_OWN_COMMANDS = ("run", "compare", "profile", "watch", "deploy", "doctor", "selftest")


class Command(Protocol):
    """What an entry point in the group leads to: a class, an object or a module. help: one line for `moesaic --help`."""

    name: str
    help: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments to its parser."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command and return its exit code."""
        ...


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments as a UserError like any other: one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")


@contextmanager
def _missing_packages(command: str) -> Iterator[None]:
    """Raise UserError if a third-party package cannot be imported; if it is one of ours or Python's, that is a bug."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"moesaic"} | sys.stdlib_module_names:
            raise
        raise UserError(
            f"moesaic {command} needs the package {package}, which is missing; get it with: {how_to_install(package)}"
        ) from None


def _load(entry: EntryPoint) -> Command:
    """The command; UserError naming the package that it lacks."""
    with _missing_packages(entry.name):
        return entry.load()


def _help_of(entry: EntryPoint) -> str:
    try:
        return _load(entry).help
    except UserError as error:
        return f"(not available: {error})"


def _parser(entries: dict[str, EntryPoint], chosen: str) -> argparse.ArgumentParser:
    """The parser: it has only the chosen command's arguments or, if an option was chosen, every command's help."""
    parser = _Parser(prog="moesaic", description="Multi-task mixture-of-experts vision transformers on FPGAs.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, entry in sorted(entries.items()):
        if chosen.startswith("-"):
            subparsers.add_parser(name, help=_help_of(entry).replace("%", "%%"), add_help=False)
        elif name == chosen:
            command = _load(entry)
            subparser = subparsers.add_parser(name, help=command.help, description=command.help)
            command.configure(subparser)
            subparser.set_defaults(run=command.run)
        else:
            subparsers.add_parser(name, add_help=False)
    return parser


def _entries() -> dict[str, EntryPoint]:
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    own = {
        name: EntryPoint(name, f"moesaic.host.commands.{name}:{name.capitalize()}Command", GROUP)
        for name in _OWN_COMMANDS
    }
    return found or own


def _run(words: Sequence[str]) -> int:
    words = words or ["--help"]
    arguments = _parser(_entries(), words[0]).parse_args(words)
    with _missing_packages(arguments.command):
        return arguments.run(arguments)


def _tell(error: Exception) -> int:
    print("error: " + " ".join(str(error).split("\n")), file=sys.stderr)
    return EXIT_USER_ERROR


def _terminate(number: int, frame: object) -> NoReturn:
    """Handle SIGTERM like Ctrl-C, so that the machine is left idle and memory and board are given back."""
    raise SystemExit(EXIT_TERMINATED)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in argv (default: the process's arguments) and return its exit code.

    The code is 2, after one line on stderr, for anything the user or the machine did wrong, and 130 after Ctrl-C. After --help
    argparse exits by itself; SIGTERM exits with 143.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        return _tell(error)
    except Exception as error:
        from moesaic.spec.executor import MachineFault  # needs numpy, which `moesaic doctor` does without

        if isinstance(error, MachineFault):
            return _tell(error)
        raise
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
