"""A page: one HTML file that needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from importlib import resources

from moesaic.pages import palette
from moesaic.pages.markup import Markup, element, join


def style_sheet() -> str:
    """The style sheet of all pages and charts, colours included."""
    return palette.variables() + resources.files("moesaic.pages").joinpath("style.css").read_text(encoding="utf-8")


def page(title: str, *content: Markup | None) -> str:
    """The whole document, as HTML. content: sections, one below the other; None is left out."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", f"{title} · moesaic"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("style", Markup(f"\n{style_sheet()}")),
    )
    main = element("main", Markup("\n" + "\n".join(part for part in content if part) + "\n"))
    return f"<!doctype html>\n{element('html', head, Markup(chr(10)), element('body', main), lang='en')}\n"


def section(title: str, introduction: str, *content: Markup) -> Markup:
    """A part of a page with its own heading. introduction: what the reader should know first; may be empty."""
    words = paragraph(introduction, "soft") if introduction else Markup("")
    return element("section", element("h2", title), words, *content)


def heading(title: str) -> Markup:
    """A heading within a section."""
    return element("h3", title)


def paragraph(words: object, kind: str = "") -> Markup:
    """A paragraph. kind: "soft" for remarks, "bad" for what went wrong."""
    return element("p", words, kind=kind)


def verdict(good: bool, words: object) -> Markup:
    """Words in the colour of good or of bad news."""
    return element("b", words, kind="good" if good else "bad")


def cards(figures: Iterable[tuple[Markup | str, str]]) -> Markup:
    """The most important figures, in a row. figures: (value, caption) of each."""
    return element(
        "div",
        *(
            element(
                "div",
                value if isinstance(value, Markup) else element("b", value),
                element("span", caption, kind="soft"),
                kind="card",
            )
            for value, caption in figures
        ),
        kind="cards",
    )


def picture(png: bytes, caption: str) -> Markup:
    """A picture embedded in the page. png: content of a PNG file."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return element("figure", element("img", alt=caption, src=source), element("figcaption", caption))


def colour_key(colours: Mapping[str, str], title: str = "") -> Markup:
    """What each colour stands for. colours: name to CSS colour. title: what the colours are about; may be empty."""
    entries = (
        join(element("span", element("i", style=f"background: {colour}"), name), Markup(" "))
        for name, colour in colours.items()
    )
    return element("p", title and f"{title}: ", *entries, kind="key")
