"""Bundles of every gate, and of a dense network, run on the reference machine as the integer network computes them."""

import dataclasses

import pytest

from moesaic.hls.compiler.generate import generate
from moesaic.model.export.bundle_export import build_random_bundle
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.recipes.recipe import GATES
from moesaic.sim.measurements.road.layer_check import check_layers
from moesaic.spec.bundle import load_bundle
from moesaic.spec.configuration import load_configuration
from moesaic.spec.machine import ReferenceMachine

TINY = load_configuration("tiny")


@pytest.mark.parametrize("kind", [*GATES, "dense"])
def test_every_layer_is_what_the_integer_network_computes(recipe, kind, tmp_path):
    form = {"experts": 0, "top_k": 0, "expert_hidden": 0} if kind == "dense" else {"gate": kind}
    sizes = {"image_height": 16, "image_width": 24, "depth": 2, "tasks": recipe.model.tasks[1:]}
    sized = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, **form, **sizes))
    build_random_bundle(kind, sized, 0).save(tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.architecture.moe_blocks == (() if kind == "dense" else (1,))
    integer = IntegerNetwork(bundle.architecture, bundle.tasks, bundle.tensors)
    checks = check_layers(ReferenceMachine(TINY), generate(bundle, TINY, observe=True), integer, bundle.golden["image"])
    assert list(checks) == list(bundle.tasks)
    for task, layers in checks.items():
        assert len(layers) >= 18 and layers == dict.fromkeys(layers, 0), task
