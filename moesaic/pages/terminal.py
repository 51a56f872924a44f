"""Tables in the terminal."""

from __future__ import annotations

import textwrap

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from moesaic.pages.tables import Table, Tone

_STYLES: dict[Tone, str] = {"plain": "", "good": "green", "bad": "bold red", "strong": "bold", "code": "cyan"}


def print_table(console: Console, table: Table, title: str = "") -> None:
    """Print a table, its title above and its notes below. No figure is cut: what is too wide for the console runs over."""
    shown = rich_table(table, title)
    needed = Measurement.get(console, console.options.update(max_width=1 << 16), shown).minimum
    wide = console
    if needed > console.width:
        wide = Console(
            file=console.file,
            width=needed,
            force_terminal=console.is_terminal,
            no_color=console.no_color,
            quiet=console.quiet,
        )
    wide.print(shown)
    for note in table.notes:
        console.print(note, soft_wrap=True, highlight=False, markup=False)


def rich_table(table: Table, title: str = "") -> RichTable:
    """As rich takes it. Headings are as narrow as their column, as far as their words allow."""
    shown = RichTable(
        title=Text(title, style="bold") if title else None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0),
        pad_edge=False,
    )  # fmt: skip
    rows = table.written()
    for place, column in enumerate(table.columns):
        width = max([len(row[place][0]) for row in rows], default=0)
        heading = "\n".join(textwrap.wrap(column.heading, max(width, 5), break_long_words=False))
        justify = "right" if column.right else "left"
        shown.add_column(Text(heading), justify=justify, vertical="bottom", no_wrap=column.right, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(words, style=_STYLES[tone]) for words, tone in row))
    return shown
