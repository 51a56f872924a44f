"""Pages that state the same figure agree, because each is held to docs/figures.toml or to what it counts."""

import re

import pytest
import tomllib

from moesaic.hls.hardware.resource_estimate import estimate_resources, estimate_resources_of_two_units
from moesaic.sim.measurements.benchmark.cases import UNIFIED, ablation_cases, chosen_frames
from moesaic.spec.configuration import load_configuration
from moesaic.spec.dram_timing import BYTES_PER_CYCLE, LATENCY
from tests.docs.figures import FIGURES
from tests.docs.markdown import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
BENCHMARK = (REPOSITORY / "docs" / "benchmark.md").read_text()
FRAMES = {(name, frame): figures for name, frames in FIGURES["frames"].items() for frame, figures in frames.items()}
SCALING_ROWS = {
    "4 rows": "4 rows",
    "6 rows": "6 rows",
    "24 rows": "24 rows",
    "10.67 B/cycle": "10.67 bytes a cycle",
    "21.33 B/cycle": "21.33 bytes a cycle",
    "64.00 B/cycle": "64 bytes a cycle, four ports",
}


def row_of(text: str, *beginning: str) -> list[str]:
    """Cells after the first ones of the only row of figures that begins with these; what follows a colon in a name does not count."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        names, rest = cells[: len(beginning)], cells[len(beginning) :]
        if [name.partition(":")[0] for name in names] == list(beginning) and rest[0][:1].isdigit():
            found.append(rest)
    (row,) = found
    return row


def million(cycles: int) -> str:
    return f"{cycles / 1e6:.{2 if cycles < 10e6 else 1}f} M"


@pytest.mark.parametrize(("name", "frame"), FRAMES)
def test_speed_in_the_readme(name, frame):
    figures = FRAMES[name, frame]
    cells = row_of(README, *frame.split(), f"`{name}`")
    assert cells == [million(figures["limit"]), million(figures["asked"]), f"{figures['encoder']:,}"]


@pytest.mark.parametrize(("name", "frame"), FRAMES)
def test_frames_of_the_benchmark(name, frame):
    f = FRAMES[name, frame]
    cells = row_of(BENCHMARK, frame, f"`{name}`")
    change = cells.pop(7)
    assert change == "0" or change.startswith("one,")
    assert cells == [
        f"{f['encoder']:,}",
        f"{f['limit']:,}",
        f"{f['encoder'] / f['limit']:.3f}",
        f"{f['asked']:,}",
        f"{f['whole'] - f['encoder']:,}",
        f"{f['mac_utilisation']:.1f} %",
        f"{f['gops_per_dsp']:.2f}",
        f"{f['estimate_error']:+.2f} %",
    ]


@pytest.mark.parametrize("label", SCALING_ROWS)
def test_scaling_in_the_benchmark(label):
    cells = row_of(BENCHMARK, SCALING_ROWS[label])
    found = [f"{FIGURES['scaling'][model][label][0]:,}" for model in ("m3vit_tiny", "m3vit_small")]
    assert cells[::2] == found


def test_all_on_and_the_usual_array_are_the_same():
    tiny, small = (FIGURES["scaling"][model]["10 rows"][0] for model in ("m3vit_tiny", "m3vit_small"))
    assert row_of(BENCHMARK, "all on")[0] == f"{tiny:,}"
    assert row_of(BENCHMARK, "10 rows, 42.67 bytes a cycle")[::2] == [f"{tiny:,}", f"{small:,}"]


@pytest.mark.parametrize("technique", FIGURES["ablation"])
def test_ablation_in_the_benchmark(technique):
    assert row_of(BENCHMARK, f"{technique} off")[0] == f"{FIGURES['ablation'][technique][0]:,}"


SHARED = [(shared, page) for shared in FIGURES["shared"] for page in shared["pages"]]


@pytest.mark.parametrize(
    ("shared", "page"), SHARED, ids=lambda value: value if isinstance(value, str) else value["value"]
)
def test_shared_figures(shared, page):
    """At least once on the page, and each time the same."""
    text = " ".join((REPOSITORY / page).read_text().split())
    assert set(re.findall(shared["pages"][page], text)) == {shared["value"]}, shared["what"]


def test_figures_of_the_dram_model_are_the_codes():
    values = {shared["what"]: shared["value"] for shared in FIGURES["shared"]}
    assert values["bytes a cycle that the DRAM model moves in all"] == f"{BYTES_PER_CYCLE:.2f}"
    assert values["cycles from a read address to the first beat in the DRAM model"] == str(LATENCY)


COUNTED = ("zcu104", "zcu104-full", "kv260", "zcu102")
"""Configurations of the table of what `make resources` counts, in its order."""


def counted(guideline: str) -> list[int]:
    """A row of that table; 0 for what a part has none of."""
    table = (REPOSITORY / "docs/configuration.md").read_text().partition("| counted |")[2]
    cells = row_of(table, guideline)
    return [int(cell.partition(" ")[0].replace(",", "")) if cell[0].isdigit() else 0 for cell in cells]


def test_resources_in_the_readme_are_those_counted():
    dsp, bram36, uram, lut = (counted(row)[0] for row in ("DSP48E2", "BRAM36", "URAM288", "LUT"))
    assert f"{dsp:,} DSP48E2, {bram36} BRAM36, {uram} URAM and {lut:,} LUTs" in " ".join(README.split())


@pytest.mark.parametrize(
    ("row", "resource", "tolerance"),
    [
        ("DSP48E2", "dsp", 0), ("BRAM36", "bram36", 0), ("URAM288", "uram", 0.03), ("LUT", "lut", 0.06),
        ("LUT as memory", "lut_memory", 0.02),
    ],
)  # fmt: skip
def test_resources_counted_are_those_estimated(row, resource, tolerance):
    estimated = [getattr(estimate_resources(load_configuration(name)), resource) for name in COUNTED]
    assert estimated == pytest.approx(counted(row), rel=tolerance)


def test_two_units_in_the_benchmark():
    """The structural estimate of zcu104, of which the ablation is."""
    whole = load_configuration("zcu104")
    (frame,) = chosen_frames("m3vit_tiny", "128x256")
    (half,) = (case.configuration for case in ablation_cases(whole, frame) if case.label == UNIFIED)
    two, one = estimate_resources_of_two_units(half), estimate_resources(whole)
    more = (
        f"{two.dsp - one.dsp} DSP, {two.bram36 - one.bram36} BRAM36 and about {round(two.lut - one.lut, -3):,} LUT more"
    )
    assert more in row_of(BENCHMARK, "unified unit off")[-1]


def test_mutants_in_the_readme_are_all_of_them():
    count = len(tomllib.loads((REPOSITORY / "tests/verify/mutation/listed.toml").read_text())["mutant"])
    assert f"{count} of {count} deliberate faults" in README
    page = (REPOSITORY / "docs" / "verification.md").read_text()
    names = ("RTL mutants run", "of them shown to be equivalent", "killed, of the others")
    run, equivalent, killed = (re.findall(rf"^\| {name} \|[^|]*\| (.*) \|$", page, re.MULTILINE)[0] for name in names)
    others = int(run.replace(",", "")) - int(equivalent)
    assert f"{killed} of all {others:,} mutants that are not proved equivalent" in README
