"""HTML and SVG elements. Text is escaped here and nowhere else."""

from __future__ import annotations

from html import escape

_VOID = {"img", "meta"}
_SHAPES = {"circle", "line", "polyline", "rect"}


class Markup(str):
    """HTML or SVG that needs no escaping."""


def text(value: object) -> Markup:
    """A value as HTML: markup unchanged, integers with thousands separators, None as a dash, everything else escaped."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup("–")
    return Markup(f"{value:,}" if isinstance(value, int) else escape(str(value)))


def element(tag: str, *children: object, **attributes: str | float | None) -> Markup:
    """<tag attributes>children</tag>.

    attributes: `kind` becomes the class, underscores become hyphens, floats are rounded to hundredths; attributes that are None or
    empty are left out.
    """
    given = "".join(
        f' {_attribute_name(name)}="{escape(_attribute_value(value))}"'
        for name, value in attributes.items()
        if value not in (None, "")
    )
    if tag in _VOID:
        return Markup(f"<{tag}{given}>")
    content = "".join(text(child) for child in children)
    return Markup(f"<{tag}{given}/>" if tag in _SHAPES and not content else f"<{tag}{given}>{content}</{tag}>")


def join(*parts: Markup) -> Markup:
    """The parts, one after the other."""
    return Markup("".join(parts))


def _attribute_name(name: str) -> str:
    return "class" if name == "kind" else name.replace("_", "-")


def _attribute_value(value: str | float | None) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
