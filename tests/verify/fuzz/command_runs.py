"""Commands on damaged files, in this process: each ends well, or in one line of error, exit code 2 and nothing written."""

from __future__ import annotations

import contextlib
import io
import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path

from moesaic.command_line import EXIT_USER_ERROR, main


class Broken(AssertionError):
    """A command did not end as it must."""


def run_command(words: Sequence[str | Path], outputs: Sequence[Path] = ()) -> str:
    """Run a command and return "success" or "refused"; Broken for anything else. outputs: removed before and after.

    Broken: an exception, another exit code, not exactly one line of error, or an output, or part of one, of a command that failed.
    """
    for output in outputs:
        _remove(output)
    said, told = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
            code = main([str(word) for word in words])
    except SystemExit as end:
        raise Broken(f"the command exits by itself with {end.code}: {told.getvalue()}") from end
    except Exception as error:
        raise Broken(f"traceback:\n{''.join(traceback.format_exception(error))}") from error
    try:
        if code == 0:
            return "success"
        lines = told.getvalue().splitlines()
        if (
            code != EXIT_USER_ERROR
            or not lines
            or not lines[-1].startswith("error: ")
            or sum(line.startswith("error: ") for line in lines) != 1
        ):
            raise Broken(f"exit code {code}, standard error: {told.getvalue()}")
        left = [path for output in outputs for path in _traces(output)]
        if left:
            raise Broken(f"left behind: {', '.join(map(str, left))}; error: {lines[-1]}")
        return "refused"
    finally:
        for output in outputs:
            _remove(output)


def _traces(output: Path) -> list[Path]:
    """The output, and what is hidden beside it."""
    beside = [path for path in output.parent.iterdir() if path.name.startswith(".")] if output.parent.is_dir() else []
    return [*beside, *([output] if output.exists() else [])]


def _remove(output: Path) -> None:
    for path in _traces(output):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
