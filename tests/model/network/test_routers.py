"""Gates: what each computes, the linear layer it is at inference, and that the integer network, ONNX and tasks agree with it."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from moesaic.model.export.onnx_export import export_onnx
from moesaic.model.input_pipeline.held_out import validation_scenes
from moesaic.model.network.moe import MoE
from moesaic.model.network.random_weights import random_model
from moesaic.model.network.routers import NOISE_FLOOR
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.post_training import integer_network
from moesaic.model.recipes.recipe import GATE_NOISES, GATES
from moesaic.spec.arithmetic import EXP_FRACTION_BITS

TASKS = ("a", "b", "c")
OCTAVE = np.log2(np.e) * (1 << EXP_FRACTION_BITS)


def gates(function):
    return pytest.mark.parametrize("gate", GATES)(function)


def layer(gate, experts=6, top_k=2, **options):
    torch.manual_seed(0)
    return MoE(12, 9, experts, top_k, TASKS, gate=gate, task_embedding=5, **options)


@gates
def test_the_exported_linear_layer_is_the_router(gate):
    moe, x = layer(gate), torch.randn(20, 12)
    for task in TASKS:
        weight, bias = moe.router_linear(task)
        assert weight.shape == (6, 12) and bias.shape == (6,)
        assert torch.allclose(moe.logits(task, x), x @ weight.T + bias, atol=1e-6)


def test_tasks_share_a_router_have_their_own_or_a_bias_each():
    linear = {gate: [layer(gate).router_linear(task) for task in TASKS] for gate in GATES}
    same_weight = {gate: torch.equal(parts[0][0], parts[1][0]) for gate, parts in linear.items()}
    same_bias = {gate: torch.equal(parts[0][1], parts[1][1]) for gate, parts in linear.items()}
    assert same_weight == {"multi": False, "single": True, "task-conditioned": True}
    assert same_bias == {"multi": True, "single": True, "task-conditioned": False}
    assert not any(bias.any() for gate in ("multi", "single") for _, bias in linear[gate])


def test_task_conditioned_logits_are_of_the_token_with_the_tasks_embedding():
    moe, x = layer("task-conditioned"), torch.randn(20, 12)
    router = moe.routers["all"]
    for i, task in enumerate(TASKS):
        one_hot = F.one_hot(torch.tensor(i), 3).float()
        embedding = router.norm(router.down(F.gelu(router.up(one_hot))))
        expected = router.linear(torch.cat([x, embedding.expand(20, -1)], -1))
        assert torch.allclose(moe.logits(task, x), expected, atol=1e-6)


@gates
def test_noise_is_learned_from_the_token(gate):
    moe, x = layer(gate, gate_noise="learned"), torch.randn(20, 12)
    assert torch.allclose(moe.router_of("a").noise_std("a", x), torch.full((20, 6), np.log(2) + NOISE_FLOOR))
    torch.nn.init.normal_(moe.router_of("a").noise_linear.weight)
    weight, bias = moe.router_of("a").linear_of(moe.router_of("a").noise_linear.weight, "a")
    expected = F.softplus(x @ weight.T + bias) + NOISE_FLOOR
    assert torch.allclose(moe.router_of("a").noise_std("a", x), expected)
    scores, chosen, balance = moe.route("a", x, torch.Generator().manual_seed(1))
    sample = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    noisy = moe.logits("a", x) + expected * sample
    assert torch.allclose(scores[chosen], noisy.softmax(-1)[chosen], atol=1e-6)
    balance.backward()
    assert moe.router_of("a").noise_linear.weight.grad.any()


@gates
@pytest.mark.parametrize("gate_noise", GATE_NOISES)
def test_every_router_weight_learns(gate, gate_noise):
    moe, x = layer(gate, gate_noise=gate_noise), torch.randn(3, 20, 12)
    y, balance = moe(x, TASKS, torch.Generator().manual_seed(0))
    (y.square().sum() + balance).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in moe.routers.parameters())


@pytest.fixture
def small(recipe):
    return dataclasses.replace(recipe.model, depth=2, image_height=32, image_width=32, tasks=recipe.model.tasks[:2])


@pytest.mark.parametrize(
    ("gate", "seed"), zip(GATES, range(len(GATES))), ids=lambda v: v if isinstance(v, str) else f"seed{v}"
)
def test_integers_route_as_every_gate_does(recipe, small, gate, seed):
    sized = dataclasses.replace(recipe, model=dataclasses.replace(small, gate=gate))
    images = validation_scenes(sized, 4).images
    model = random_model(sized.model, seed, images)
    network = integer_network(model, images)
    moe = model.blocks[1].mlp
    for task in small.task_names:
        record, tokens = {}, []
        handle = moe.register_forward_pre_hook(lambda m, arguments, tokens=tokens: tokens.append(arguments[0]))
        model(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1, task)
        handle.remove()
        network.run(images, task, record)
        logits = moe.logits(task, tokens[0].flatten(0, 1)).detach().numpy()
        found = record["blocks.1.router"].reshape(logits.shape) / OCTAVE
        assert np.abs(found - logits).max() < 0.25 * logits.std()
        assert np.abs(found.mean(0) - logits.mean(0)).max() < 0.05 * logits.std()  # a bias that is left out shows here
        assert (found.argmax(1) == logits.argmax(1)).mean() > 0.9


@gates
def test_onnx_has_every_gate(small, gate):
    torch.manual_seed(0)
    model, image = M3ViT(dataclasses.replace(small, gate=gate)).eval(), torch.rand(1, 3, 32, 32) * 2 - 1
    session = onnxruntime.InferenceSession(export_onnx(model, small.task_names))
    for task, found in zip(small.task_names, session.run(list(small.task_names), {"image": image.numpy()})):
        assert np.abs(found - model(image, task).detach().numpy()).max() < 1e-4


def test_dense_networks_have_no_routers(small):
    model = M3ViT(dataclasses.replace(small, experts=0, top_k=0, expert_hidden=0))
    assert not any("router" in name for name in model.state_dict())
    predictions, balance = model.training_forward(
        torch.rand(1, 3, 32, 32), small.task_names, torch.Generator().manual_seed(0)
    )
    assert set(predictions) == set(small.task_names) and balance == 0


def test_a_single_gate_computes_the_backbone_once_for_all_tasks_unless_their_pathways_differ(small):
    torch.manual_seed(0)
    model, images = M3ViT(dataclasses.replace(small, gate="single")).eval(), torch.rand(2, 3, 32, 32) * 2 - 1
    sizes, moe = [], model.blocks[1].mlp
    moe.register_forward_pre_hook(lambda m, arguments: sizes.append(len(arguments[0])))
    for change, batch in ((None, 2), ("kept", 4), ("top_k", 4)):
        if change == "kept":
            moe.kept["depth"] = torch.tensor([True, False, True, True, True])
        if change == "top_k":
            moe.kept["depth"] = torch.ones(5, dtype=torch.bool)
            moe.top_k_of["depth"] = 1
        together, _ = model.training_forward(images, small.task_names)
        assert sizes.pop() == batch
        for task in small.task_names:
            assert torch.allclose(together[task], model(images, task), atol=1e-5)
    assert [moe.routes_alike((task,)) for task in small.task_names] == [True, True]


@pytest.mark.parametrize("gate", ["multi", "task-conditioned"])
def test_tasks_of_other_gates_never_share(gate):
    moe = layer(gate)
    assert not moe.routes_alike(TASKS) and moe.routes_alike(TASKS[:1])
