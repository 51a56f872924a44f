"""A chart as SVG: inside a page, or as a file by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from moesaic.pages.document import colour_key, style_sheet
from moesaic.pages.markup import Markup, element, join

_LARGEST_SCALE, _LEAST_WIDTH = 1.2, 620
_KEY_ROW, _KEY_BOX, _CHARACTER = 22, 12, 6.6
_MARGIN = 14


@dataclass(frozen=True)
class Drawing:
    """width, height: pixels. shapes: SVG elements, text in classes of the style sheet. key: name to CSS colour; may be empty."""

    width: int
    height: int
    shapes: Sequence[Markup]
    key: Mapping[str, str] = field(default_factory=dict)

    def inline(self) -> Markup:
        """As part of a page, which has the style sheet already."""
        size = (
            f"width: 100%; min-width: {min(self.width, _LEAST_WIDTH)}px; max-width: {_LARGEST_SCALE * self.width:.0f}px"
        )
        box = f"0 0 {self.width} {self.height}"
        chart = element("svg", *self.shapes, kind="chart", viewBox=box, role="img", style=size)
        return join(element("div", chart, kind="scroll"), colour_key(self.key) if self.key else Markup(""))

    def to_svg(self) -> str:
        """As the text of an SVG file, the key below the chart."""
        rows = self._key_rows()
        width, height = self.width + 2 * _MARGIN, self.height + 2 * _MARGIN + _KEY_ROW * len(rows)
        chart = element("g", *self.shapes, transform=f"translate({_MARGIN} {_MARGIN})")
        keys = [
            element("g", *row, transform=f"translate({_MARGIN} {_MARGIN + self.height + _KEY_ROW * number})")
            for number, row in enumerate(rows)
        ]
        document = element(
            "svg", element("style", style_sheet()), element("rect", kind="paper", width=width, height=height), chart, *keys,
            xmlns="http://www.w3.org/2000/svg", kind="chart", viewBox=f"0 0 {width} {height}", width=width, height=height, role="img",
        )  # fmt: skip
        return f"{document}\n"

    def _key_rows(self) -> list[list[Markup]]:
        """The key's entries in rows, as many to a row as its width holds, judged by the usual width of a character."""
        rows: list[list[Markup]] = []
        x = 0.0
        for name, colour in self.key.items():
            length = _KEY_BOX + 6 + _CHARACTER * len(name) + 18
            if not rows or x + length > self.width:
                rows.append([])
                x = 0.0
            rows[-1].append(element("rect", x=x, y=6, width=_KEY_BOX, height=_KEY_BOX, rx=3, fill=colour))
            rows[-1].append(label(name, x + _KEY_BOX + 6, 16))
            x += length
        return rows


def label(words: str, x: float, y: float, anchor: str = "", kind: str = "") -> Markup:
    """Text at a place, in pixels. anchor: "middle" or "end" if that part of the text is to be there, else its start.

    kind: a class of the style sheet.
    """
    return element("text", words, x=x, y=y, text_anchor=anchor, kind=kind)


def titled(shape: str, title: str, **attributes: str | float | None) -> Markup:
    """A shape that shows its title under the pointer."""
    return element(shape, element("title", title), **attributes)
