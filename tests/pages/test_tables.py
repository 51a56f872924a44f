"""A table shows the same figures in every form."""

import html
import io
import re
import xml.etree.ElementTree

import pytest
from rich.console import Console

from moesaic.pages.number_formats import count, decimals, difference, general, millions, percent, signed, three_digits
from moesaic.pages.tables import Cell, Column, Table
from moesaic.pages.terminal import print_table

COLUMNS = (Column("frame"), Column("cycles", count), Column("MAC use", percent()), Column("verdict"), Column("signal"))
ROWS = [
    ("tiny 128x256", 462_395, 0.5512, Cell("met", "good"), Cell("a[0]", "code")),
    ("small | <b>", 15_141_319, None, Cell("missed", "bad"), Cell("x_q", "code")),
    (Cell("sum", "strong"), Cell(15_603_714, "strong"), "none", "", ""),
]
TABLE = Table(COLUMNS, ROWS, ("What it means.",))
WRITTEN = [
    ["tiny 128x256", "462,395", "55.1 %", "met", "a[0]"],
    ["small | <b>", "15,141,319", "–", "missed", "x_q"],
    ["sum", "15,603,714", "none", "", ""],
]


def printed(table: Table, width: int = 200, **console) -> str:
    console = Console(file=io.StringIO(), width=width, **console)
    print_table(console, table, "a title")
    return console.file.getvalue()


def test_every_form_has_the_same_figures():
    page = xml.etree.ElementTree.fromstring(f"<page>{TABLE.to_html()}</page>")
    in_html = [["".join(cell.itertext()) for cell in row] for row in page.iter("tr")]
    lines = TABLE.to_markdown().splitlines()
    in_markdown = [
        [
            re.sub(r"^(\*\*|`)(.*)\1$", r"\2", cell.strip()).replace("\\|", "|")
            for cell in re.split(r"(?<!\\)\|", line)[1:-1]
        ]
        for line in lines[:5]
    ]
    headings = [column.heading for column in COLUMNS]
    assert in_html == [headings, *WRITTEN]
    assert in_markdown[0] == headings and in_markdown[2:] == WRITTEN
    for text in (TABLE.to_text(), printed(TABLE)):
        body = [line for line in text.splitlines() if "," in line]
        for line, row in zip(body, WRITTEN):
            assert re.split(r"\s{2,}", line.strip()) == [words for words in row if words]
        assert text.rstrip().endswith("What it means.")


def test_columns_of_numbers_stand_at_the_right():
    assert TABLE.to_markdown().splitlines()[1] == "|---|---:|---:|---|---|"
    assert str(TABLE.to_html()).count('<td class="number">') == 2 * len(ROWS)
    heading, first, second, _, _ = TABLE.to_text().splitlines()
    assert heading.index("cycles") + len("cycles") == first.index("462,395") + len("462,395")
    assert second.index("15,141,319") < first.index("462,395")
    left = Table((Column("n", count, align="left"), Column("text", align="right")), [(1, "a")])
    assert left.to_markdown().splitlines()[1] == "|---|---:|"


def test_text_is_escaped():
    shown = str(TABLE.to_html())
    assert "<b>" not in shown.replace('<b class="bad">', "").replace('<b class="good">', "").replace(
        "<b>sum</b>", ""
    ).replace("<b>15,603,714</b>", "")
    assert "small | &lt;b&gt;" in shown and html.unescape(shown).count("small | <b>") == 1
    assert "small \\| <b>" in TABLE.to_markdown()
    assert "[bold]" in printed(Table((Column("[bold]"),), [("[red]x",)]))


def test_what_stands_out():
    assert '<b class="good">met</b>' in TABLE.to_html() and "<code>a[0]</code>" in TABLE.to_html()
    rows = TABLE.to_markdown().splitlines()[2:]
    assert (
        "| met | `a[0]` |" in rows[0]
        and "| **missed** |" in rows[1]
        and "| **sum** | **15,603,714** | none |  |  |" in rows[2]
    )
    assert "\x1b[1;31mmissed" in printed(TABLE, force_terminal=True, color_system="standard")


def test_an_empty_table_has_its_headings():
    empty = Table(COLUMNS, [])
    assert str(empty.to_html()).count("<th") == 5 and "<td" not in empty.to_html()
    assert len(empty.to_markdown().splitlines()) == 2
    assert empty.to_text() == "frame  cycles  MAC use  verdict  signal"
    assert "MAC use" in printed(empty)


def test_a_selection_has_these_columns_in_this_order():
    chosen = TABLE.select("verdict", "frame")
    assert [[words for words, _ in row] for row in chosen.written()] == [[row[3], row[0]] for row in WRITTEN]
    assert chosen.notes == TABLE.notes
    with pytest.raises(KeyError, match="cycle"):
        TABLE.select("cycle")


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="a row has 2 entries, the table 1 columns"):
        Table((Column("a"),), [(1, 2)])


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_figure_is_cut_in_a_narrow_terminal(width):
    phrases = Table(
        (Column("what it is"), Column("cycles", count)), [("words that may wrap as they like", 123_456_789)] * 2
    )
    names = Table((Column("module"), Column("what it is")), [("a_module_with_a_long_name", "in a few words")])
    for table in (TABLE, phrases, names):
        text = printed(table, width)
        assert "…" not in text
        for row in table.written():
            for words, _ in row:
                assert all(word in text for word in words.split())


def test_a_heading_is_as_narrow_as_its_words_allow():
    lines = printed(Table((Column("a long heading of many words", count),), [(1,)])).splitlines()
    assert max(map(len, lines[2:])) == len("heading")


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (count, 1234, "1,234"), (count, 1234.5, "1,234"), (difference, 0, "+0"), (difference, -1234, "-1,234"),
        (general, 1234, "1,234"), (general, 0.25, "0.25"), (general, 8.0, "8"), (decimals(3), 1.10489, "1.105"),
        (decimals(0, " s"), 12.4, "12 s"), (signed(2), -0.001, "+0.00"), (signed(1, " %"), -1.25, "-1.2 %"),
        (signed(2), float("nan"), "+nan"), (decimals(1), float("inf"), "inf"), (percent(), 0.5512, "55.1 %"),
        (millions(), 18_904_000, "18.90"), (millions(2, " M"), 490_000, "0.49 M"), (three_digits, 0.5117, "0.51"),
        (three_digits, 46_739.7, "46,740"), (three_digits, 149.26, "149.3"),
    ],
)  # fmt: skip
def test_numbers(form, value, text):
    assert form(value) == text
