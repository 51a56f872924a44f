"""The page of the comparison: what it says of figures above and below what is asked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from moesaic.sim.measurements.peers.comparison import OURS, PEER, Entry
from moesaic.sim.measurements.peers.layers import product
from moesaic.sim.measurements.peers.peers_page import (
    cycles_table,
    document,
    missed,
    peers_html,
    peers_markdown,
    resources_table,
)

LAYER = product(10, 100, 1000)  # 1,000,000 multiply-accumulates
RESOURCES = {"dsp": 120.0, "lut": 1000.0, "lut_memory": 0.0, "ff": 2000.0, "bram36": 3.5, "uram": 1.0, "carry4": 9.0}
GOOD = Entry(OURS, "tiny", LAYER.name, LAYER.macs, 50, 2, 11_000, 10_300, 10_200, 1000, 500, 0, RESOURCES)
PEER_ENTRY = Entry(PEER, "8 x 8", LAYER.name, LAYER.macs, 64, 1, 20_000, None, None, 4000, 500, 0, None)
VERSIONS = {"Verilator": "5.0", "NNgen": "1.3.4"}


def row(table, number):
    return dict(zip([column.heading for column in table.columns], [words for words, _ in table.written()[number]]))


def test_use_is_of_all_that_the_multipliers_could_have_done():
    assert GOOD.use(GOOD.cycles) == pytest.approx(1e6 / (100 * 11_000))
    assert GOOD.per_multiplier == pytest.approx(1e6 / (50 * 11_000))
    assert PEER_ENTRY.use(PEER_ENTRY.cycles) == PEER_ENTRY.per_multiplier == pytest.approx(1e6 / (64 * 20_000))


def test_a_row_shows_the_figures_and_a_dash_for_those_that_are_not_measured():
    table = cycles_table([GOOD, PEER_ENTRY])
    ours, peer = row(table, 0), row(table, 1)
    assert (ours["use"], ours["use, loads hidden"], ours["use of the steps"]) == ("90.9 %", "97.1 %", "98.0 %")
    assert (peer["use"], peer["use of the steps"], peer["multipliers"]) == ("78.1 %", "–", "64")
    resources = resources_table([GOOD, PEER_ENTRY])
    assert (row(resources, 0)["DSP"], row(resources, 0)["MAC/DSP/cycle"]) == ("120", "0.76")
    assert row(resources, 1)["DSP"] == "–"


def test_each_dash_has_a_reason():
    dashes = peers_markdown([GOOD, PEER_ENTRY], VERSIONS)
    assert "A dash: NNgen's accelerators count no steps" in dashes and "A dash: not synthesised" in dashes
    synthesised = peers_markdown([GOOD, replace(PEER_ENTRY, resources=RESOURCES)], VERSIONS)
    assert "A dash: not synthesised" not in synthesised


def test_figures_below_what_is_asked_are_named():
    assert missed([GOOD, PEER_ENTRY]) == []
    assert missed([replace(GOOD, cycles=12_000, steps=10_600)]) == [
        f"{LAYER.name} on tiny, whole layer: 83.3 % of 85 % asked",
        f"{LAYER.name} on tiny, steps: 94.3 % of 95 % asked",
    ]


def test_the_document_is_json_and_the_pages_hold_the_table():
    found = json.loads(json.dumps(document([GOOD, PEER_ENTRY], [LAYER], VERSIONS)))
    assert found["entries"][0]["step_use"] == pytest.approx(1e6 / (100 * 10_200))
    assert found["layers"][0]["macs"] == 1_000_000
    for text in (peers_html([GOOD, PEER_ENTRY], VERSIONS), peers_markdown([GOOD, PEER_ENTRY], VERSIONS)):
        assert "NNgen 1.3.4" in text and "90.9 %" in text and LAYER.name in text
