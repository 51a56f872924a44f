"""Initial weights as M3ViT's own code draws them: compared with what that code calls, on tensors of the shapes that it has."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from moesaic.model.network.initialisation import draw_as_m3vit
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import load_recipe
from moesaic.model.training.distributed import Ranks
from moesaic.model.training.train import Run

WIDTH, EXPERTS, HIDDEN = 384, 16, 384  # of M3ViT with ViT-S


def as_upstream(*shape: int) -> torch.Tensor:
    """`reset_parameters` of the gates in models/gate_funs and of FMoELinear in fmoe/linear.py."""
    weight = torch.zeros(shape)
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
    return weight


def small(gate: str = "multi", gate_noise: str = "none") -> M3ViT:
    """Two blocks of M3ViT with ViT-S."""
    c = dataclasses.replace(load_recipe("nyud/m3vit-small").model, depth=2, image_height=32, image_width=32)
    return M3ViT(dataclasses.replace(c, gate=gate, gate_noise=gate_noise))


def moe_of(model: M3ViT) -> MoE:
    (moe,) = (module for module in model.modules() if isinstance(module, MoE))
    return moe


@pytest.mark.parametrize("gate", ["multi", "single"])
@pytest.mark.parametrize(("drawn", "deviation"), [(False, 0.577), (True, 2.828)], ids=["pytorch", "m3vit"])
@pytest.mark.parametrize("seed", [1, 2])
def test_router_logits_deviate_as_upstream(gate, drawn, deviation, seed):
    torch.manual_seed(seed)
    model = small(gate)
    if drawn:
        draw_as_m3vit(model)
    tokens = torch.randn(2000, WIDTH)
    theirs = (tokens @ as_upstream(WIDTH, EXPERTS)).std().item()
    ours = moe_of(model).logits("depth", tokens).std().item()
    assert ours == pytest.approx(deviation, rel=0.03)
    assert (ours == pytest.approx(theirs, rel=0.03)) == drawn
    assert math.sqrt(WIDTH / (3 * EXPERTS)) == pytest.approx(2.828, abs=1e-3)


@pytest.mark.parametrize("seed", [1])
def test_experts_are_as_small_as_upstream(seed):
    torch.manual_seed(seed)
    model = small()
    usual = moe_of(model).up_weight.std().item()
    draw_as_m3vit(model)
    moe = moe_of(model)
    theirs = (
        as_upstream(EXPERTS, HIDDEN, WIDTH),
        as_upstream(EXPERTS, WIDTH, HIDDEN),
    )  # htoh4 and h4toh: [experts, outputs, inputs]
    for ours, other in zip((moe.up_weight, moe.down_weight), theirs):
        assert ours.std().item() == pytest.approx(other.std().item(), rel=0.01)
        assert ours.abs().max() <= 1 / math.sqrt(HIDDEN * WIDTH)
        assert usual / ours.std().item() == pytest.approx(19.6, rel=0.01)
    assert not moe.up_bias.any() and not moe.down_bias.any()


@pytest.mark.parametrize("seed", [1])
def test_other_layers_are_drawn_as_upstream(seed):
    torch.manual_seed(seed)
    model = small("task-conditioned", "learned")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    draw_as_m3vit(model)
    router = moe_of(model).routers["all"]
    for linear in (model.blocks[0].attention.qkv, model.blocks[0].mlp.up, router.up, router.down):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert not linear.bias.any()
    assert router.noise_linear.weight.std().item() == pytest.approx(0.25 / math.sqrt(3), rel=0.02)
    kept = [name for name, value in model.state_dict().items() if torch.equal(value, before[name])]
    assert {"position", "class_token", "patch_embedding.weight", "patch_embedding.bias"} <= set(kept)
    assert {name for name in kept if name.startswith("heads.")} == {n for n in before if n.startswith("heads.")}


def test_a_recipe_chooses_it():
    recipe = load_recipe("demo")
    runs = {}
    for name in ("pytorch", "m3vit"):
        changed = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, initialisation=name))
        runs[name] = Run.start(changed, Ranks()).model
    bound = 1 / math.sqrt(recipe.model.width * recipe.model.expert_hidden)
    assert runs["m3vit"].blocks[1].mlp.up_weight.abs().max() <= bound < runs["pytorch"].blocks[1].mlp.up_weight.std()
