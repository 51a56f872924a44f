"""How tasks and pathways are named; wherever a task is expected, TASK is its default pathway and TASK@ALTERNATIVE another one."""

from __future__ import annotations

import keyword
import re

_SEPARATOR = "@"
_ALTERNATIVE = re.compile(r"[A-Za-z0-9_-]+")


def pathway_name(task: str, alternative: str | None = None) -> str:
    """The name of a task's alternative, or of its default pathway."""
    return task if alternative is None else f"{task}{_SEPARATOR}{alternative}"


def split_pathway_name(name: str) -> tuple[str, str | None]:
    """(task, alternative) of a pathway's name; the alternative of the default is None."""
    task, separator, alternative = name.partition(_SEPARATOR)
    return task, alternative if separator else None


def is_alternative_name(name: object) -> bool:
    """Whether this is a valid name for an alternative: letters, digits, - and _."""
    return isinstance(name, str) and _ALTERNATIVE.fullmatch(name) is not None


def is_task_name(name: object) -> bool:
    """Whether this is a valid name for a task: ASCII letters, digits and _, not first a digit, and no keyword of Python."""
    return isinstance(name, str) and name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
