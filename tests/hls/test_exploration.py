"""The explorer: what it finds is legal, inside the guidelines, ranked, and timed as `moesaic estimate` does."""

from __future__ import annotations

import dataclasses
from itertools import count, pairwise

import pytest
import tomllib

from moesaic.errors import UserError
from moesaic.hls.compiler import exploration
from moesaic.hls.compiler.cycle_estimate import estimate_frame
from moesaic.hls.compiler.exploration import Candidate, Frame, explore, pareto
from moesaic.hls.hardware.devices import DEVICES
from moesaic.hls.hardware.resource_estimate import Resources, judge
from moesaic.sim.measurements.exploration.exploration_page import candidates_table, configuration_toml, pareto_chart
from moesaic.sim.measurements.exploration.frames import frame_named
from moesaic.spec.configuration import load_configuration
from tests.hls.networks import ODD, SMALL, tasks_of

TINY = load_configuration("tiny")
FRAMES = [Frame("small", SMALL, tasks_of(SMALL), "normals"), Frame("odd", ODD, tasks_of(ODD), "normals")]
ESTIMATES = 12


def a_few(estimates: int = ESTIMATES):
    """Room for so many estimates."""
    counter = count()
    return lambda: next(counter) < estimates


@pytest.fixture(scope="module")
def found() -> list[Candidate]:
    return explore(TINY, FRAMES, a_few())


def test_candidates_are_inside_the_guidelines_and_ranked(found):
    assert len(found) == ESTIMATES
    assert [c.score for c in found] == sorted(c.score for c in found)
    assert [c.configuration.name for c in found] == [f"tiny-{n}" for n in range(1, ESTIMATES + 1)]
    for candidate in found:
        assert all(judgement.kept for judgement in judge(candidate.configuration, candidate.need))


def test_cycles_are_those_of_the_estimate(found):
    best = found[0]
    for frame, cycles in zip(FRAMES, best.cycles):
        estimate = estimate_frame(frame.architecture, frame.tasks, frame.task, best.configuration)
        assert (estimate.encoder_cycles, estimate.resources) == (cycles, best.need)


def test_one_whose_later_blocks_do_not_fit_is_left_out(found, monkeypatch):
    """What an estimate in a hurry lets through is looked at with all blocks before it is recommended."""
    refused = found[0].configuration.fingerprint

    def refusing(architecture, tasks, task, configuration, hurry):
        if configuration.fingerprint == refused and not hurry:
            raise UserError("no room for the third block")
        return estimate_frame(architecture, tasks, task, configuration, hurry=hurry)

    monkeypatch.setattr(exploration, "estimate_frame", refusing)
    kept = explore(TINY, FRAMES, a_few())
    assert len(kept) == ESTIMATES - 1
    assert refused not in [candidate.configuration.fingerprint for candidate in kept]


def test_the_bound_is_none_that_an_estimate_beats(found):
    for candidate in found:
        assert exploration._bound(candidate.configuration, FRAMES) <= candidate.score


@pytest.mark.parametrize("part", DEVICES)
def test_a_division_leaves_no_room_for_larger_memories(part):
    array = next(exploration._arrays(dataclasses.replace(TINY, part=part)))
    divisions = list(exploration._divisions(array))
    assert divisions
    for division in divisions:
        shared = division.shared_bytes // (division.act_word_bytes * division.act_banks)
        block = (division.act_bytes - division.act_ultra_bytes) // (division.act_word_bytes * division.act_banks)
        private = block - shared
        assert private & (private - 1) == 0 and shared & (shared - 1) == 0
        more = division.act_bytes + private * division.act_word_bytes * division.act_banks
        larger = dataclasses.replace(division, act_bytes=more)
        assert private == 512 << 5 or not exploration._inside(larger)


def test_no_candidate_beats_the_front(found):
    front = pareto(found)
    assert front[0] == found[0]
    for candidate in found:
        assert any(best.need.dsp <= candidate.need.dsp and best.score <= candidate.score for best in front)
    for first, second in pairwise(front):
        assert first.need.dsp > second.need.dsp and first.score <= second.score


def test_a_network_that_nothing_holds_is_refused_with_the_reason():
    wide = dataclasses.replace(SMALL, width=1056, heads=2)
    with pytest.raises(UserError, match=r"runs all frames; the last one: .*the width is 1056, at most 1024"):
        explore(TINY, [Frame("wide", wide, tasks_of(wide), "normals")], a_few(3))


def test_files_are_configurations(found, tmp_path):
    for candidate in found[:3]:
        path = tmp_path / f"{candidate.configuration.name}.toml"
        path.write_text(configuration_toml(candidate, FRAMES))
        assert load_configuration(path) == candidate.configuration
        assert "# small " in path.read_text() and tomllib.loads(path.read_text())


def test_table_and_chart_have_every_candidate(found):
    rows = candidates_table(found, FRAMES).written()
    assert len(rows) == len(found)
    front = pareto(found)
    svg = pareto_chart(found, front).to_svg()
    for candidate in front:
        c = candidate.configuration
        assert f"{c.tile_rows}x{c.tile_columns}x{c.tile_depth}" in svg
    assert svg.count("<circle") == len({(c.need.dsp, c.score) for c in found}) + len(front)


def test_pareto_of_made_up_candidates():
    def made_up(dsp: int, cycles: float) -> Candidate:
        return Candidate(TINY, Resources(dsp, 1, 1, 1, 1), (cycles,))

    ranked = [made_up(100, 10), made_up(120, 11), made_up(80, 12), made_up(80, 13), made_up(20, 90)]
    assert [(c.need.dsp, c.cycles[0]) for c in pareto(ranked)] == [(100, 10), (80, 12), (20, 90)]


def test_frames_are_named_as_on_the_command_line():
    frame = frame_named("m3vit_tiny:128x256")
    assert (frame.architecture.image_height, frame.architecture.image_width) == (128, 256)
    assert frame.task == next(iter(frame.tasks))
    with pytest.raises(UserError, match=r"m3vit_tiny:128 .*RECIPE:HxW|m3vit_tiny:128'"):
        frame_named("m3vit_tiny:128")
