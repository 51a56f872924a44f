"""The command `moesaic`.

Commands are found through the entry-point group `moesaic.commands`, so that no part has to import another. An entry point leads to
an object with `name`, `help`, `configure(parser)` and `run(arguments) -> exit code`. Only the one that was asked for is loaded:
`moesaic run` must neither wait for nor need what `moesaic train` imports. Where moesaic was copied rather than installed, as
`moesaic deploy` does on a board, only the runtime's commands are there.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import platform
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn, Protocol, TextIO

from moesaic.errors import UserError
from moesaic.installation import how_to_install, newer_python

GROUP = "moesaic.commands"
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141
EXIT_TERMINATED = 143
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_NEWER_PYTHON = ("tomllib",)
"""Modules of Python that the oldest which runs the runtime has not."""
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
        if package in _NEWER_PYTHON:
            raise UserError(
                f"moesaic {command} needs a newer Python than {platform.python_version()}: it has no {package}; get one with: "
                f"{newer_python()}"
            ) from None
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
    with suppress(OSError):  # nobody may be left to read it
        print("error: " + _one_line(str(error)), file=sys.stderr)
    return EXIT_USER_ERROR


def _one_line(text: str) -> str:
    """A text in one line, whatever a file put into it: line ends as spaces, other characters that move the cursor as escapes."""
    shown = " ".join(text.split("\n"))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def _write_what_the_terminal_can_show() -> None:
    """Have characters that the encoding of a stream lacks written as ?, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _flush_output() -> None:
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def _is_abandoned(stream: TextIO | None) -> bool:
    """Whether a stream is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)  # type: ignore[union-attr]  # without a stream, an AttributeError
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):
        return False


def _give_up_output() -> None:
    """Have Python not try again, at its end, to write what standard output does not take."""
    with suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_os_error(error: OSError) -> int:
    """Exit code after an error of the system: a closed pipe ends in silence, a full or read-only disk in one line."""
    if isinstance(error, BrokenPipeError) and _is_abandoned(sys.stdout):
        _give_up_output()
        return EXIT_CLOSED_PIPE
    if error.errno not in _NO_ROOM:
        raise error
    if error.filename is None:
        _give_up_output()
    place = error.filename or "standard output or a file"
    return _tell(UserError(f"{place} cannot be written ({error.strerror}); make room, or write elsewhere"))


def _terminate(number: int, frame: object) -> NoReturn:
    """Handle SIGTERM like Ctrl-C, so that the machine is left idle and memory and board are given back."""
    raise SystemExit(EXIT_TERMINATED)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in argv (default: the process's arguments) and return its exit code.

    The code is 2, after one line on stderr, for anything the user or the machine did wrong, and 130 after Ctrl-C. After --help
    argparse exits by itself; SIGTERM exits with 143, a closed pipe on standard output with 141.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    _write_what_the_terminal_can_show()
    try:
        try:
            code = _run(list(sys.argv[1:] if argv is None else argv))
        except SystemExit as end:  # after --help
            _flush_output()
            raise end
        _flush_output()
        return code
    except UserError as error:
        return _tell(error)
    except OSError as error:
        return _tell_os_error(error)
    except Exception as error:
        from moesaic.spec.executor import MachineFault  # needs numpy, which `moesaic doctor` does without

        if isinstance(error, MachineFault):
            return _tell(error)
        raise
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
