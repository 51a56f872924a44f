"""The module that training in integers runs: the integer network's own integers, and gradients of the float network."""

import dataclasses

import numpy as np
import pytest
import torch

from moesaic.model.data.scenes import render
from moesaic.model.evaluation.evaluate import predict
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.pathways.alternatives import PathwayPlan
from moesaic.model.pathways.pathway import on_pathways
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.post_training import integer_network, scales_for
from moesaic.model.quantisation.scales import ActivationScale
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.spec.bundle import Alternative

TASKS = (TaskConfiguration("segmentation", 6), TaskConfiguration("depth", 1))
CONFIGURATION = ModelConfiguration(32, 40, 8, 32, 4, 4, 48, 5, 2, 24, TASKS)


def random_model(seed: int) -> M3ViT:
    """Untrained, with weights large enough for attention, routers and residual to be as uneven as trained ones."""
    torch.manual_seed(seed)
    model = M3ViT(CONFIGURATION).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                value.add_(0.3 * torch.randn_like(value))
            elif "qkv" in name or "routers" in name:
                value.mul_(4)
            elif name in ("position", "class_token"):
                value.mul_(25)
    return model


@pytest.fixture(params=range(2), ids=lambda s: f"seed{s}")
def model(request) -> M3ViT:
    return random_model(request.param)


@pytest.fixture
def images() -> np.ndarray:
    return render(8, 32, 40, seed=0).images


def record_of(network: FakeQuantised, images: np.ndarray, task: str) -> dict[str, np.ndarray]:
    record: dict[str, np.ndarray] = {}
    network(torch.from_numpy(images), task, record=lambda name, value: record.update({name: value.detach().numpy()}))
    return record


def assert_the_same(module: FakeQuantised, network: IntegerNetwork, images: np.ndarray) -> None:
    for task in network.tasks:
        expected: dict[str, np.ndarray] = {}
        network.run(images, task, expected)
        found = record_of(module, images, task)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].shape == value.shape, name
            assert np.array_equal(found[name], value), name
        with torch.no_grad():
            assert np.array_equal(module(torch.from_numpy(images), task).numpy(), network.predict(images, task))


def scales_of(model: M3ViT, images: np.ndarray, **settings):
    return scales_for(model, images, PtqSettings(**settings))


def times(scale: ActivationScale, factor: float) -> ActivationScale:
    return dataclasses.replace(scale, scale=scale.scale * factor, offset=scale.offset * factor)


@pytest.mark.parametrize(
    "settings",
    [{}, {"method": "percentile", "percentile": 99.0}, {"expert_bits": 4}, {"clip_weights": True}],
    ids=["mse", "percentile", "4 bits", "clipped"],
)
def test_every_integer_is_the_integer_networks(model, images, settings):
    scales = scales_of(model, images, **settings)
    network = integer_network(model, images, scales=scales)
    assert_the_same(FakeQuantised(model, scales), network, images)


def test_and_so_is_every_integer_of_mixed_bits(model, images):
    scales = dataclasses.replace(scales_of(model, images), four_bit_experts={1: (0, 3), 3: (4,)})
    network = integer_network(model, images, scales=scales)
    assert_the_same(FakeQuantised(model, scales), network, images)
    for name, value in network.tensors.items():
        if name.endswith(".weight"):
            assert np.abs(value).max() == (7 if network.architecture.weight_bits(name) == 4 else 127), name


def test_and_so_it_is_where_values_saturate(model, images):
    """Scales that are far too small, on noise: every saturation is reached."""
    scales = scales_of(model, images)
    blocks = tuple(
        dataclasses.replace(
            b,
            query=b.query / 4,
            value=times(b.value, 1 / 4),
            gelu_index=times(b.gelu_index, 1 / 4),
            hidden=times(b.hidden, 1 / 16),
        )
        for b in scales.blocks
    )
    scales = dataclasses.replace(scales, blocks=blocks, stream=scales.stream / 4)
    network = integer_network(model, images, scales=scales)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3), np.uint8)
    record = record_of(FakeQuantised(model, scales), images, "depth")
    for name, top in (("blocks.2.query", 127), ("blocks.2.hidden", 127), ("blocks.3.output", 32767)):
        assert record[name].max() == top, name
    assert_the_same(FakeQuantised(model, scales), network, images)


def test_a_pruned_pathway_runs_its_experts_only(model, images):
    pathways = dict.fromkeys(model.configuration.task_names, Alternative(1, {1: (0, 3), 3: (1, 2, 4)}))
    with on_pathways(model, pathways):
        scales = scales_of(model, images)
    network = integer_network(model, images, PathwayPlan(pathways), scales=scales)
    assert network.tasks["depth"].top_k == 1
    assert_the_same(FakeQuantised(model, scales, pathways=pathways), network, images)


def test_ties_of_a_router_go_to_the_lowest_expert(model, images):
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".routers." in name:
                value.zero_()
    scales = scales_of(model, images)
    network = integer_network(model, images, scales=scales)
    assert not record_of(FakeQuantised(model, scales), images, "depth")["blocks.1.router"].any()
    assert_the_same(FakeQuantised(model, scales), network, images[:2])


def test_without_integers_it_is_the_float_network(model, images):
    network = FakeQuantised(model, scales_of(model, images), integer=())
    for task in model.configuration.task_names:
        exact = predict(model, images, task)
        assert np.abs(network.predict(images, task) - exact).max() < 1e-3 * exact.std()


def test_gradients_are_those_of_the_float_network(model, images):
    """In direction; up to rounding, parameter by parameter, where no layer is in integers."""
    scales = scales_of(model, images)

    def gradients(run) -> dict[str, torch.Tensor]:
        model.zero_grad(set_to_none=True)
        run().double().square().mean().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    expected = gradients(lambda: model(normalise(images, model.configuration.input), "depth"))
    integers = gradients(lambda: FakeQuantised(model, scales)(torch.from_numpy(images), "depth"))
    real = gradients(lambda: FakeQuantised(model, scales, integer=())(torch.from_numpy(images), "depth"))
    assert expected.keys() == integers.keys() == real.keys()
    largest = max(value.norm() for value in expected.values())
    for name, value in expected.items():
        if value.norm() > 1e-3 * largest:
            assert torch.allclose(real[name], value, rtol=1e-2, atol=1e-3 * value.abs().max()), name
    whole, in_integers = (torch.cat([g[name].flatten() for name in expected]) for g in (expected, integers))
    assert torch.cosine_similarity(in_integers, whole, 0) > 0.95


@pytest.mark.parametrize("prefix_tokens", [0, 2, 8])
def test_any_number_of_prefix_tokens_runs_in_integers(images, prefix_tokens):
    torch.manual_seed(prefix_tokens)
    model = M3ViT(dataclasses.replace(CONFIGURATION, prefix_tokens=prefix_tokens)).eval()
    with torch.no_grad():
        model.position.mul_(25)
    scales = scales_of(model, images)
    network = integer_network(model, images, scales=scales)
    assert network.architecture.tokens == prefix_tokens + 20
    assert_the_same(FakeQuantised(model, scales), network, images)
    for task in network.tasks:
        exact, found = predict(model, images, task), network.predict(images, task)
        assert np.sqrt(np.square(found - exact).mean()) < 0.1 * exact.std(), task
