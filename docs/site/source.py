"""What the site is made of: the repository's pages at their own paths, so that their links hold, and a reference page for each module.

It needs Python alone and imports nothing of moesaic: names are read from the syntax.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIRROR = ROOT / "build" / "mirror"
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/decisions/*.md", "bitstreams/README.md")
FILES = ("docs/*.jpg", "docs/*.png", "docs/*.svg", "examples/*.ipynb", "LICENSE", "CITATION.cff")
"""What pages show or link besides pages."""

_LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")


def pages() -> list[Path]:
    """The Markdown pages of the repository that are in the site."""
    return [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]


def modules() -> dict[str, Path]:
    """Every public module and package of moesaic, dotted name to file. Read from the mirror (mirror.py), which must be there."""
    found = {}
    for path in sorted((MIRROR / "moesaic").rglob("*.py")):
        parts = path.relative_to(MIRROR).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not any(part.startswith("_") for part in parts):
            found[".".join(parts)] = path
    return found


def public_names(module: str, path: Path) -> Iterator[str]:
    """Dotted names of the module and of what it defines without an underscore: functions, constants, classes and their members."""
    yield module
    yield from _names(module, ast.parse(path.read_text()).body)


def _names(prefix: str, body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        for name in _bound(node):
            if not name.startswith("_"):
                yield f"{prefix}.{name}"
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _names(f"{prefix}.{node.name}", node.body)


def _bound(node: ast.stmt) -> list[str]:
    """Names that a statement of a module or class defines; imports define none."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        bound = (name for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
        return [name.id for name in bound if isinstance(name.ctx, ast.Store)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def assemble(target: Path) -> None:
    """Write the site's source into `target`, anew: pages, files, and the reference with its index."""
    shutil.rmtree(target, ignore_errors=True)
    known = modules()
    places = {path.resolve().relative_to(ROOT).as_posix(): module for module, path in known.items()}
    for path in pages():
        place = _place(path.relative_to(ROOT).as_posix())
        _write(target / place, _relinked(path, places))
    for path in (path for pattern in FILES for path in sorted(ROOT.glob(pattern))):
        place = target / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    _write(target / "docs/decisions/index.md", _decisions())
    for module in known:
        _write(target / f"reference/{module}.md", f"::: {module}\n")
    _write(target / "reference/index.md", _reference(known))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _place(page: str) -> str:
    """Where a page of the repository lies in the site's source: the README is the first page."""
    return "index.md" if page == "README.md" else page


def _relinked(page: Path, places: dict[str, str]) -> str:
    """The page's text; what it links by a path that the site has elsewhere is linked there: code, folders, the README."""
    up = "../" * len(page.relative_to(ROOT).parent.parts)

    def target(match: re.Match[str]) -> str:
        link, sharp, anchor = match.group().partition("#")
        if not link or ":" in link:
            return match.group()
        path = (page.parent / link).resolve()
        if not path.is_relative_to(ROOT):
            return match.group()
        place = path.relative_to(ROOT).as_posix()
        module = places.get(place, places.get(f"{place}/__init__.py"))
        if module is not None:
            return f"{up}reference/{module}.md"
        if place == "README.md":
            return f"{up}index.md{sharp}{anchor}"
        if path.is_dir():
            return f"{up}{place}/{'README' if (path / 'README.md').is_file() else 'index'}.md"
        return match.group()

    return _LINK.sub(target, page.read_text())


def _decisions() -> str:
    lines = ["# Decisions", "", "Why it is built so.", ""]
    for path in sorted((ROOT / "docs/decisions").glob("*.md")):
        title = path.read_text().partition("\n")[0].removeprefix("# ")
        lines.append(f"- {path.name[:4].lstrip('0')}: [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def _reference(known: dict[str, Path]) -> str:
    lines = ["# Reference", "", "All public modules, from their docstrings.", "", "| module | what |", "|---|---|"]
    for module, path in known.items():
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        first = docstring.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
        lines.append(f"| [{module}]({module}.md) | {first} |")
    return "\n".join(lines) + "\n"
