"""Reports written by hand in the layout of Vivado 2023.1: no Vivado has written them."""

from __future__ import annotations

from pathlib import Path

import pytest

from moesaic.errors import InternalError
from moesaic.hls.vendor.vivado.reports import parse_hierarchy, parse_power, parse_timing, parse_utilization

REPORTS = Path(__file__).parent / "reports"


def text(name: str) -> str:
    return (REPORTS / f"{name}.rpt").read_text()


def test_timing_that_is_met() -> None:
    timing = parse_timing(text("timing_summary"))
    assert (timing.setup_worst, timing.hold_worst, timing.pulse_worst) == (0.021, 0.010, 0.833)
    assert (timing.setup_failing, timing.hold_failing, timing.pulse_failing) == (0, 0, 0)
    assert timing.met
    assert timing.highest_clock_mhz(300) == pytest.approx(1000 / (1000 / 300 - 0.021))


@pytest.mark.parametrize(
    "old, new",
    [
        ("      0.021        0.000                      0 ", "     -0.210      -93.700                   1204 "),
        ("        0.010        0.000 ", "       -0.002       -0.004 "),
        ("        0.833 ", "       -0.100 "),
    ],
    ids=["setup", "hold", "pulse width"],
)
def test_timing_that_fails(old: str, new: str) -> None:
    assert old in text("timing_summary")
    timing = parse_timing(text("timing_summary").replace(old, new))
    assert not timing.met


def test_a_failing_setup_tells_a_lower_clock() -> None:
    timing = parse_timing(text("timing_summary").replace("      0.021        0.000  ", "     -0.500      -93.700  "))
    assert (timing.setup_worst, timing.setup_total) == (-0.5, -93.7)
    assert timing.highest_clock_mhz(300) == pytest.approx(260.87, abs=0.01)


def test_utilization() -> None:
    assert parse_utilization(text("utilization")) == {
        "lut": {"used": 151204, "available": 230400},
        "ff": {"used": 187391, "available": 460800},
        "bram36": {"used": 281.5, "available": 312},
        "uram": {"used": 80, "available": 96},
        "dsp": {"used": 1631, "available": 1728},
    }


def test_the_accelerator_alone() -> None:
    hierarchy = text("utilization_hierarchical")
    alone = {"lut": 139870, "lut_memory": 4980 + 1478, "ff": 170112, "bram36": 275, "uram": 80, "dsp": 1629}
    assert parse_hierarchy(hierarchy, ("accelerator",)) == alone
    assert parse_hierarchy(hierarchy, ("accelerator", "kernel"))["dsp"] == 1729


def test_power() -> None:
    assert parse_power(text("power")) == 11.842


@pytest.mark.parametrize(
    "parse, name",
    [
        (parse_timing, "utilization"),
        (parse_utilization, "timing_summary"),
        (parse_power, "utilization"),
        (lambda report: parse_hierarchy(report, ("accelerator", "reactor")), "utilization_hierarchical"),
        (lambda report: parse_timing(report.replace("      0.021  ", "         NA  ")), "timing_summary"),
    ],
    ids=["timing", "utilization", "power", "hierarchy", "unconstrained"],
)
def test_another_report_is_refused(parse, name: str) -> None:
    with pytest.raises(InternalError):
        parse(text(name))
