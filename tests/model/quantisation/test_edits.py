"""Changes of a network that keep its function cost its integers little: what one layer multiplies the next one divides."""

import copy

import pytest
import torch

from moesaic.model.evaluation.evaluate import predict
from moesaic.model.experiments.real.edits import class_token, hidden_unit, key_bias, query_key_channels, value_channels
from moesaic.model.experiments.real.fidelity import decibels
from moesaic.model.quantisation.post_training import integer_network

EDITS = (value_channels, query_key_channels, hidden_unit, class_token, key_bias)


def quality(model, images):
    network = integer_network(model, images)
    return decibels(predict(model, images[:4], "normals"), network.predict(images[:4], "normals"))


@pytest.mark.parametrize("edit", EDITS, ids=lambda e: e.__name__)
def test_edits_cost_at_most_3_decibels(trained, calibration_images, edit):
    model = copy.deepcopy(trained)
    with torch.no_grad():
        edit(model)
    assert quality(model, calibration_images) > quality(trained, calibration_images) - 3


def test_units_far_larger_than_the_others_have_factors(trained, calibration_images):
    from moesaic.model.quantisation.post_training import scales_for
    from moesaic.model.quantisation.settings import PtqSettings

    model = copy.deepcopy(trained)
    with torch.no_grad():
        hidden_unit(model)
    usual = scales_for(trained, calibration_images, PtqSettings())
    found = scales_for(model, calibration_images, PtqSettings())
    assert all((block.unit_factors == 1).all() for block in usual.blocks)
    assert [int((block.unit_factors > 1).sum()) for block in found.blocks] == [1, 0, 1, 0]
    assert found.blocks[0].unit_factors[0, 0] > 8
