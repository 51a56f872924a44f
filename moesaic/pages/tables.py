"""A table, described once and shown as HTML, Markdown or plain text; `moesaic.pages.terminal` shows it in colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from moesaic.pages.markup import Markup, element, join
from moesaic.pages.number_formats import NumberFormat, general

Tone = Literal["plain", "good", "bad", "strong", "code"]
Value = str | float | None


@dataclass(frozen=True)
class Cell:
    """A value that stands out: good or bad news, strong, or code."""

    value: Value
    tone: Tone


@dataclass(frozen=True)
class Column:
    """heading: its name. format: how its numbers are written, `general` if None.

    align: by default to the right if the column has a format, otherwise to the left.
    """

    heading: str
    format: NumberFormat | None = None
    align: Literal["left", "right"] | None = None

    @property
    def right(self) -> bool:
        """Whether entries are aligned to the right."""
        return self.align == "right" if self.align else self.format is not None

    def written(self, entry: Value | Cell) -> tuple[str, Tone]:
        """An entry as (text, tone): strings unchanged, None as a dash."""
        value, tone = (entry.value, entry.tone) if isinstance(entry, Cell) else (entry, "plain")
        if value is None:
            return "–", tone
        return value if isinstance(value, str) else (self.format or general)(value), tone


@dataclass(frozen=True)
class Table:
    """rows: one entry for each column. notes: what the reader should know, one paragraph each.

    Raises:
        ValueError: a row has more or fewer entries than there are columns.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Value | Cell]]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} entries, the table {len(self.columns)} columns: {row}")

    def select(self, *headings: str) -> Table:
        """Only these columns, in this order, for where there is less room. KeyError for an unknown heading."""
        places = {column.heading: place for place, column in enumerate(self.columns)}
        chosen = [places[heading] for heading in headings]
        return Table(
            [self.columns[place] for place in chosen],
            [[row[place] for place in chosen] for row in self.rows],
            self.notes,
        )

    def written(self) -> list[list[tuple[str, Tone]]]:
        """Every entry as (text, tone), row by row: what all the forms below show."""
        return [[column.written(entry) for column, entry in zip(self.columns, row)] for row in self.rows]

    def to_html(self) -> Markup:
        """The table, and below it each note as a paragraph."""
        kinds = ["number" if column.right else "" for column in self.columns]
        head = [element("th", column.heading, kind=kind) for column, kind in zip(self.columns, kinds)]
        rows = [
            element("tr", *(element("td", _in_html(*entry), kind=kind) for entry, kind in zip(row, kinds)))
            for row in self.written()
        ]
        notes = [element("p", note, kind="soft") for note in self.notes]
        return join(element("div", element("table", element("tr", *head), *rows), kind="scroll"), *notes)

    def to_markdown(self) -> str:
        """Lines without a final line break; each note follows below, after an empty line."""
        rows = [
            [_escape_markdown(column.heading) for column in self.columns],
            ["---:" if column.right else "---" for column in self.columns],
            *([_in_markdown(*entry) for entry in row] for row in self.written()),
        ]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        lines[1] = lines[1].replace(" ", "")
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])

    def to_text(self) -> str:
        """Lines for a terminal without rich, without a final line break; the notes follow below."""
        rows = [[column.heading for column in self.columns], *([words for words, _ in row] for row in self.written())]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [
            "  ".join(
                words.rjust(width) if column.right else words.ljust(width)
                for column, words, width in zip(self.columns, row, widths)
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *self.notes])


_HTML_TAGS: dict[Tone, str] = {"good": "b", "bad": "b", "strong": "b", "code": "code"}


def _in_html(words: str, tone: Tone) -> str:
    if tone == "plain":
        return words
    return element(_HTML_TAGS[tone], words, kind=tone if tone in ("good", "bad") else "")


def _in_markdown(words: str, tone: Tone) -> str:
    words = _escape_markdown(words)
    if tone in ("plain", "good") or not words:
        return words
    return f"`{words}`" if tone == "code" else f"**{words}**"


def _escape_markdown(words: str) -> str:
    return words.replace("|", "\\|")
