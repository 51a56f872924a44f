"""Which layers lose most in integers, and the commands of quantisation."""

import dataclasses
import math

import numpy as np
import pytest

from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.scenes import render
from moesaic.model.evaluation.evaluate import measure_integer
from moesaic.model.experiments.sensitivity_page import (
    narrow_sensitivity_table,
    sensitivity_chart,
    sensitivity_markdown,
    sensitivity_table,
)
from moesaic.model.experiments.sensitivity_study import layer_groups, measure_sensitivity
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.post_training import integer_network, scales_for
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration
from tests.model.quantisation.test_fake_quantised import CONFIGURATION, random_model, times

SCENES = render(4, 32, 40, seed=5)
RECIPE = Recipe(CONFIGURATION, TrainingConfiguration(steps=1, batch=2, learning_rate=2e-3, warmup=0, pool=4))


@pytest.fixture
def model():
    return random_model(0)


def scales_of(model, **settings):
    return scales_for(model, SCENES.images, PtqSettings(**settings))


@pytest.mark.parametrize("level", ["block", "layer"])
def test_groups_have_every_layer_once(model, level):
    scales = scales_of(model)
    names = [name for group in layer_groups(CONFIGURATION, level).values() for name in group]
    layers = FakeQuantised(model, scales).derive()
    for name in [*layers.linear, *layers.norms, "position", "blocks.0.scores", "blocks.3.attention"]:
        found = [other for other in names if name == other or name.startswith(f"{other}.")]
        assert len(found) == 1, (name, found)


@pytest.mark.parametrize("mode", ["alone", "without"])
def test_a_broken_layer_stands_out(model, mode):
    """Values of one block in far too coarse units."""
    scales = scales_of(model)
    blocks = list(scales.blocks)
    blocks[2] = dataclasses.replace(blocks[2], value=times(blocks[2].value, 60))
    scales = dataclasses.replace(scales, blocks=tuple(blocks))
    found = measure_sensitivity(model, model, scales, RenderedScenes(SCENES), mode=mode)
    for task in ("segmentation", "depth"):
        losses = {group: loss.signal_to_noise[task] for group, loss in found.groups.items()}
        worst, others = losses.pop("blocks.2.attention"), losses.values()
        assert worst < min(others) - 6 if mode == "alone" else worst > max(others) + 6
    network = integer_network(model, SCENES.images, scales=scales)
    assert found.integers.metric == pytest.approx(
        measure_integer(network, CONFIGURATION, RenderedScenes(SCENES)), rel=1e-9
    )
    signal, noise = (
        FakeQuantised(model, scales, selection).predict(SCENES.images, "depth") for selection in ((), ("",))
    )
    expected = 10 * math.log10(np.square(signal).sum() / np.square(noise - signal).sum())
    assert found.integers.signal_to_noise["depth"] == pytest.approx(expected)
    lines = sensitivity_markdown(found).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 3 + len(found.groups) and rows[3].startswith("| blocks.2.attention |")
    figures = sensitivity_table(found).written()
    for narrow, whole in zip(narrow_sensitivity_table(found).written(), figures[1:], strict=True):
        for (cell, _), (decibels, _), (change, _) in zip(narrow[1:], whole[1::3], whole[3::3], strict=True):
            assert cell.split() == [decibels, change]
    picture = sensitivity_chart(found).to_svg()
    assert picture.count("<title>") == 2 * (1 + len(found.groups))
    assert "blocks.2.attention, depth: " in picture
