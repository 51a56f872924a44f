"""Docstrings say what each parameter or field is as `name: what`, a line each; Markdown would run the lines together."""

import re

_FIELD = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*): (?=\S)")


def as_list(docstring: str) -> str:
    """The docstring with such lines as items of a list. Indented lines stay: they belong to a section, to code or to the item before."""
    lines: list[str] = []
    for line in docstring.split("\n"):
        previous = lines[-1] if lines else ""
        field = _FIELD.match(line)
        if field is None or (previous and not previous.rstrip().endswith((".", ":"))):
            lines.append(line)
            continue
        if previous and not _in_list(lines):
            lines.append("")
        names = ", ".join(f"`{name}`" for name in field[1].split(", "))
        lines.append(f"- {names}: {line[field.end() :]}")
    return "\n".join(lines)


def _in_list(lines: list[str]) -> bool:
    """Whether the last paragraph is a list."""
    for line in reversed(lines):
        if not line:
            return False
        if line.startswith("- "):
            return True
    return False
