"""Signal to noise and saturation by layer."""

import dataclasses
import math

import numpy as np
import pytest

from moesaic.model.evaluation.evaluate import predict
from moesaic.model.evaluation.layer_figures import layer_table, layer_warnings, measure_layers
from moesaic.model.quantisation.post_training import integer_network, scales_for
from moesaic.model.quantisation.settings import PtqSettings
from tests.model.quantisation.test_fake_quantised import times


@pytest.fixture
def scales(trained, calibration_images):
    return scales_for(trained, calibration_images, PtqSettings())


def test_figures_of_outputs_are_those_of_predictions(trained, scales, calibration_images):
    images = calibration_images[:3]
    network = integer_network(trained, images, scales=scales)
    figures = measure_layers(trained, network, scales, images)
    for task in ("depth", "normals", "segmentation"):
        exact, found = predict(trained, images, task), network.predict(images, task)
        expected = 10 * math.log10(np.square(exact).sum() / np.square(found - exact).sum())
        assert figures[f"heads.{task}"].signal_to_noise == pytest.approx(expected, abs=1e-3)
    blocks = {name.split(".")[2] for name in figures if name.startswith("blocks.0.")}
    assert blocks == {
        "norm1",
        "query",
        "key",
        "value",
        "scores",
        "attention",
        "projection",
        "norm2",
        "hidden",
        "output",
    }
    assert figures["blocks.1.router"].signal_to_noise is not None
    assert figures["blocks.0.scores"].signal_to_noise is None
    measured = [one.signal_to_noise for one in figures.values() if one.signal_to_noise is not None]
    assert min(measured) > 12, "a network of this size and training loses no layer"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in trained.modules())
    rows = layer_table(figures).written()
    assert [row[0][0] for row in rows[:5]] == ["patch_embed", "blocks.0", "blocks.1", "blocks.2", "blocks.3"] or (
        [row[0][0] for row in rows[:4]] == ["blocks.0", "blocks.1", "blocks.2", "blocks.3"]
    )


def test_a_layer_that_saturates_is_named_with_a_remedy(trained, scales, calibration_images):
    blocks = list(scales.blocks)
    blocks[1] = dataclasses.replace(blocks[1], value=times(blocks[1].value, 1 / 50))
    broken = dataclasses.replace(scales, blocks=tuple(blocks))
    network = integer_network(trained, calibration_images, scales=broken)
    figures = measure_layers(trained, network, broken, calibration_images[:2])
    assert figures["blocks.1.value"].saturated > 0.3
    first, second = layer_warnings(figures)
    assert first.startswith("blocks.1.") and "saturate" in first and "--pictures" in first
    assert second.startswith("blocks.1.value: ") and "the first of" in second
    assert layer_warnings({}) == []
