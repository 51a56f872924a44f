"""Find the SystemVerilog files that a module needs, by one rule: a file has the name of its module or package."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from moesaic.errors import UserError

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def source_closure(top: str, directories: Iterable[Path]) -> list[Path]:
    """Return `top`'s file and all files that it needs, each after the files that it uses, so packages come first.

    A file is needed if a needed file names it, that is, contains the stem of its name as an identifier outside comments and
    strings. If several directories hold a file of the same name, the earliest directory wins.

    Raises:
        UserError: no directory holds `<top>.sv`.
    """
    directories = list(directories)
    files: dict[str, Path] = {}
    for directory in directories:
        for path in sorted(directory.glob("*.sv")):
            files.setdefault(path.stem, path)
    if top not in files:
        searched = ", ".join(str(directory) for directory in directories)
        raise UserError(f"no SystemVerilog module '{top}': {top}.sv is in none of {searched}")

    ordered: list[Path] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        seen.add(name)
        text = _STRING.sub(" ", _COMMENT.sub(" ", files[name].read_text(encoding="utf-8")))
        for used in dict.fromkeys(_IDENTIFIER.findall(text)):
            if used in files and used not in seen:
                visit(used)
        ordered.append(files[name])

    visit(top)
    return ordered
