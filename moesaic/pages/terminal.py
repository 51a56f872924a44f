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
_NARROWEST_HEADING = 7


def print_table(console: Console, table: Table, title: str) -> None:
    """Print a table with its title above and its notes below.

    No figure is cut off: a table that is too wide for the console runs past its edge.
    """
    shown = rich_table(table)
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
    console.print(Text(f"\n{title}", style="bold"), soft_wrap=True)
    wide.print(shown)
    for note in table.notes:
        console.print(Text(note), soft_wrap=True)


def rich_table(table: Table) -> RichTable:
    """The table in rich's form.

    Headings are wrapped to the width of their column as far as their words allow; of the entries, only phrases wrap.
    """
    shown = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    rows = table.written()
    for place, column in enumerate(table.columns):
        texts = [row[place][0] for row in rows]
        width = max(map(len, texts), default=0)
        heading = textwrap.wrap(column.heading, max(width, _NARROWEST_HEADING), break_long_words=False)
        is_phrase = not column.right and any(" " in text for text in texts)
        words = [word for text in texts for word in (text.split() if is_phrase else [text])]
        shown.add_column(
            Text("\n".join(heading)),
            justify="right" if column.right else "left",
            vertical="bottom",
            no_wrap=not is_phrase,
            min_width=max(map(len, [*heading, *words]), default=0),
            overflow="fold",
        )
    for row in rows:
        shown.add_row(*(Text(words, style=_STYLES[tone]) for words, tone in row))
    return shown
