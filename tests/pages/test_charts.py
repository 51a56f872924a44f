"""Where the marks of charts are, and the pages they stand on."""

import math
import re
import xml.etree.ElementTree
from html.parser import HTMLParser

import pytest

from moesaic.pages import palette
from moesaic.pages.axes import LinearAxis, LogarithmicAxis, round_values
from moesaic.pages.bars import Bar, bars, grouped_bars, share_bars, stacked_bars
from moesaic.pages.document import cards, colour_key, heading, page, paragraph, picture, section, style_sheet, verdict
from moesaic.pages.drawing import Drawing
from moesaic.pages.heat_map import heat_map
from moesaic.pages.lines import Line, Panel, line_chart
from moesaic.pages.markup import Markup, element, text

HOSTILE = '<script>&"x"'


def shapes(drawing: Drawing, tag: str) -> list[xml.etree.ElementTree.Element]:
    root = xml.etree.ElementTree.fromstring(f"<all>{''.join(drawing.shapes)}</all>")
    return list(root.iter(tag))


def numbers(shape: xml.etree.ElementTree.Element, *names: str) -> list[float]:
    return [float(shape.attrib[name]) for name in names]


# --- axes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.7012, 0.7013), (-3, 40), (12e6, 31e6), (1e-9, 2e-9)])
def test_round_values_enclose_the_range(low, high):
    marks = round_values(low, high)
    assert 3 <= len(marks) <= 7 and marks[0] <= low and marks[-1] >= high


@pytest.mark.parametrize("values", [[1, 2, 3], [0.5], [7, 7], [0, 0], [-4, 12]])
def test_a_linear_axis_holds_its_values(values):
    axis = LinearAxis.around(values)
    assert all(0 < axis.place(value) < 1 for value in values)
    assert axis.place(axis.ticks[0]) == 0 and axis.place(axis.ticks[-1]) == 1


def test_a_linear_axis_from_zero():
    axis = LinearAxis.around([40, 50], from_zero=True)
    assert axis.place(0) == 0 and axis.ticks[0] == 0
    assert axis.place(40) / axis.place(20) == pytest.approx(2)


def test_an_axis_of_values_marks_them_alone():
    axis = LinearAxis.of_values([4, 8, 16])
    assert list(axis.ticks) == [4, 8, 16] and 0 < axis.place(4) < axis.place(8) < axis.place(16) < 1
    assert axis.place(8) - axis.place(4) == pytest.approx((axis.place(16) - axis.place(8)) / 2)
    assert 0 < LinearAxis.of_values([3]).place(3) < 1


def test_a_logarithmic_axis_takes_factors_as_distances():
    axis = LogarithmicAxis.around([10, 1000])
    assert axis.place(8) == 0 and axis.place(1250) == pytest.approx(1)
    assert axis.place(100) - axis.place(10) == pytest.approx(axis.place(1000) - axis.place(100))
    assert axis.ticks == [10, 20, 50, 100, 200, 500, 1000]
    assert LogarithmicAxis.around([1, 1e6]).ticks == [10.0**n for n in range(7)]
    assert [axis.label(tick) for tick in (0.5, 200, 5000, 2e6)] == ["0.5", "200", "5 k", "2 M"]


# --- charts ------------------------------------------------------------------------------------------------------------


def test_points_lie_where_the_axes_say():
    points = [(1.0, 10.0), (2.0, 30.0), (3.0, 20.0)]
    lines = [
        Line(HOSTILE, points, "#123456", labels=("a", "b", "c")),
        Line("limit", points[:2], "#654321", dashed=True),
    ]
    axes = LinearAxis(1, 3, (1, 2, 3)), LinearAxis(10, 30, (10, 20, 30))
    chart = line_chart([[Panel(lines, *axes, "across", "up", "title")]], 400, 300)
    circles = shapes(chart, "circle")
    assert len(circles) == 3, "a dashed line has no marks"
    places = [numbers(circle, "cx", "cy") for circle in circles]
    (left, bottom), (middle, top), (right, half) = places
    assert middle == pytest.approx((left + right) / 2) and half == pytest.approx((bottom + top) / 2)
    assert 0 < left < right < 400 and 0 < top < bottom < 300
    polyline = [tuple(map(float, pair.split(","))) for pair in shapes(chart, "polyline")[0].attrib["points"].split()]
    assert polyline == [pytest.approx(place, abs=0.1) for place in places]
    grid = {line.attrib["x1"] for line in shapes(chart, "line")} | {line.attrib["y1"] for line in shapes(chart, "line")}
    assert {circles[0].attrib["cx"], circles[1].attrib["cy"]} <= grid, "ticks and points share their places"
    assert chart.key == {HOSTILE: "#123456", "limit": "#654321"}
    titles = [title.text for title in shapes(chart, "title")]
    assert titles == [f"{HOSTILE}, 1: 10", f"{HOSTILE}, 2: 30", f"{HOSTILE}, 3: 20"]


def test_panels_stand_in_a_grid_with_one_key():
    panel = Panel([Line("a", [(1, 1)], "red")], LinearAxis.of_values([1]), LinearAxis.around([1]), "x")
    chart = line_chart([[panel] * 2] * 3, 200, 100)
    assert (chart.width, chart.height) == (400, 300) and chart.key == {"a": "red"}
    moved = [group.attrib["transform"] for group in shapes(chart, "g")]
    assert moved == [f"translate({x} {y})" for y in (0, 100, 200) for x in (0, 200)]


def test_bars_are_as_long_as_their_values():
    chart = bars([Bar("all", 40, "40"), Bar(HOSTILE, 10, "10"), Bar("none", 0, "0")])
    all_, some, none = (numbers(bar, "width")[0] for bar in shapes(chart, "rect"))
    assert some == pytest.approx(all_ / 4) and none == 1
    assert HOSTILE in [label.text for label in shapes(chart, "text")]
    bars([Bar("none", 0, "0")])


def test_stacked_bars_fill_the_width_and_join():
    rows = {"one": {"a": 30, "b": 0, "c": 10}, "two": {"a": 1, "b": 0, "c": 1}, "nothing": {"a": 0, "b": 0, "c": 0}}
    chart = stacked_bars(rows, {"a": "red", "b": "green", "c": "blue"}, {"a": "A!", "b": "B", "c": "C"}, "cycles")
    drawn = [numbers(bar, "x", "width", "y") for bar in shapes(chart, "rect")]
    assert len(drawn) == 4, "nothing is drawn of what is 0"
    (x0, w0, y0), (x1, w1, y1), (_, w2, y2), (_, w3, _) = drawn
    assert y0 == y1 < y2 and x1 == pytest.approx(x0 + w0) and w0 == pytest.approx(3 * w1, abs=0.1) and w2 == w3
    assert x1 + w1 == pytest.approx(chart.width)
    assert chart.key == {"A!": "red", "C": "blue"}, "what is nowhere is not in the key"
    assert shapes(chart, "title")[0].text == "A!: 30 cycles, 75.0 %"


def test_grouped_bars_end_at_the_axis():
    rows = {"layer": {"a": 20.0, "b": math.inf}, "other": {"a": -5.0, "b": 10.0}}
    titles = {row: {name: f"{row} {name}" for name in "ab"} for row in rows}
    chart = grouped_bars(rows, {"a": "red", "b": "blue"}, LinearAxis(0, 40, (0, 20, 40)), "dB", titles)
    widths = [numbers(bar, "width")[0] for bar in shapes(chart, "rect")]
    assert widths[1] == 2 * widths[0] == pytest.approx(4 * widths[3], abs=0.1) and widths[2] == 0
    assert [title.text for title in shapes(chart, "title")] == ["layer a", "layer b", "other a", "other b"]


def test_share_bars():
    shown = share_bars({"load": 25, HOSTILE: 100}, 100)
    assert "width: 25.00%" in shown and "25.0 %" in shown and HOSTILE not in shown and "width: 100.00%" in shown


def test_heat_is_of_the_largest_share():
    shown = heat_map({"block 1": [0.5, 0.25, 0.0], "block 3": [0.125, 0.375, 0.5]}, "expert", ["0", "1", "2"])
    root = xml.etree.ElementTree.fromstring(shown)
    cells = list(root.iter("td"))
    assert [cell.text for cell in cells] == ["50 %", "25 %", "·", "12 %", "38 %", "50 %"]
    heats = [float(re.search(r"([\d.]+)\)", cell.attrib["style"])[1]) for cell in cells]
    assert heats == [pytest.approx(0.85 * share / 0.5, abs=1e-3) for share in (0.5, 0.25, 0, 0.125, 0.375, 0.5)]
    assert [cell.attrib.get("class") for cell in cells] == ["strong", None, None, None, None, "strong"]
    heat_map({"nothing": [0.0]}, "expert", ["0"])
    heat_map({}, "expert", ["0"])


# --- colours -----------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_colours_stand_out_on_light_and_on_dark_paper():
    """WCAG 2.1: 3:1 for graphics, 4.5:1 for text."""
    assert len(set(palette.SERIES)) == len(palette.SERIES)
    for mode in (palette.LIGHT, palette.DARK):
        assert all(contrast(colour, mode["paper"]) >= 3 for colour in (*palette.SERIES, palette.REFERENCE))
        assert all(contrast(mode[name], mode["paper"]) >= 4.5 for name in ("ink", "soft", "good", "bad"))
        heat = [0.85 * int(part) for part in mode["heat"].split(",")]
        paper = [0.15 * int(mode["paper"][place : place + 2], 16) for place in (1, 3, 5)]
        strongest = "#" + "".join(f"{round(a + b):02x}" for a, b in zip(heat, paper))
        assert contrast(mode["heat-ink"], strongest) >= 4


def test_every_colour_of_the_style_sheet_is_defined():
    used = set(re.findall(r"var\(--([\w-]+)\)", style_sheet()))
    assert used <= palette.LIGHT.keys() == palette.DARK.keys()
    assert palette.LIGHT.keys() - used == {"heat"}, "used by the cells themselves"


def test_colours_of_names_repeat_when_all_are_taken():
    colours = palette.series_colours(map(str, range(20)))
    assert colours["0"] == colours["16"] and len(set(colours.values())) == 16


# --- documents ---------------------------------------------------------------------------------------------------------


class Nesting(HTMLParser):
    """Fails where elements are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_page_is_whole_and_escaped():
    chart = bars([Bar("a", 1, "1")])
    document = page(
        HOSTILE, heading(HOSTILE), None, section(HOSTILE, HOSTILE, chart.inline(), paragraph(HOSTILE, "bad")),
        cards([(HOSTILE, HOSTILE), (verdict(False, 3), "wrong")]), picture(b"\x89PNG", HOSTILE), colour_key({HOSTILE: "red"}, "key"),
    )  # fmt: skip
    parsed = Nesting()
    parsed.feed(document)
    assert parsed.open == [] and "<script" not in document and parsed.text.count(HOSTILE) == 9
    assert not re.search(r"https?://|url\(|@import", document)
    assert 'src="data:image/png;base64,iVBORw=="' in document and '<b class="bad">3</b>' in document
    assert "None" not in document and document.startswith("<!doctype html>") and style_sheet() in document


def test_a_chart_as_a_file_has_its_style_and_key():
    names = {f"a rather long name, number {n}": "red" for n in range(9)}
    file = Drawing(400, 100, [element("rect", x=0, y=0, width=1, height=1)], names).to_svg()
    root = xml.etree.ElementTree.fromstring(file)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    space = "{http://www.w3.org/2000/svg}"
    labels = list(root.iter(f"{space}text"))
    assert [label.text for label in labels] == list(names)
    assert all(float(label.attrib["x"]) < 400 for label in labels)
    assert float(root.attrib["height"]) > 100 + 5 * 22, "the key takes several rows"
    assert "--ink:" in root.find(f"{space}style").text


def test_values_as_markup():
    assert [text(value) for value in (1234, None, 1.5, "<", Markup("<b>"))] == ["1,234", "–", "1.5", "&lt;", "<b>"]
    assert element("td", "x", kind="", title=None) == "<td>x</td>"
    assert element("rect", stroke_width=2, x=1 / 3, y=2.0) == '<rect stroke-width="2" x="0.33" y="2"/>'
    assert element("p") == "<p></p>" and element("p", title='"<') == '<p title="&quot;&lt;"></p>'
