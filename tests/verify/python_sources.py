"""The Python files of the repository that a file imports, directly or not."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGE = "moesaic"


def python_sources(files: Iterable[Path]) -> list[Path]:
    """These files and every module of the repository that one of them imports, wherever in the file, sorted."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [place for name in _imported(path) if (place := _file(name))]
    return sorted(found)


def _imported(path: Path) -> Iterator[str]:
    """Names that may be modules: what `from a import b` imports may be the module a.b or a name of a."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(module: str) -> Path | None:
    first, *rest = module.split(".")
    if first not in (_PACKAGE, "tests") or not rest:
        return None
    for folder in (REPOSITORY, REPOSITORY / first):
        path = folder.joinpath(*rest)
        for place in (path.with_suffix(".py"), path / "__init__.py"):
            if place.is_file():
                return place
    return None
