"""Shapes, the order of elements, and that a task runs its own path only."""

import dataclasses

import numpy as np
import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.network.heads import pixel_shuffle
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import Recipe, TaskConfiguration, load_recipe, recipe_names


def images_for(configuration, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, configuration.image_height, configuration.image_width, generator=generator) * 2 - 1


@pytest.mark.parametrize("head_resolution", [0, 3])
def test_predictions_have_the_heads_resolution(recipe, head_resolution):
    configuration = dataclasses.replace(recipe.model, head_resolution=head_resolution)
    model, r = M3ViT(configuration), head_resolution or configuration.patch
    assert configuration.tokens == 36
    for task in configuration.tasks:
        prediction = model(images_for(configuration), task.name)
        assert prediction.shape == (2, task.channels, 5 * r, 7 * r)


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_build(name):
    configuration = load_recipe(name).model
    with torch.device("meta"):
        model = M3ViT(configuration)
    expected = [False, configuration.experts > 0] * (configuration.depth // 2)
    assert [isinstance(block.mlp, MoE) for block in model.blocks] == expected


def test_sizes_of_the_published_models():
    for name, width, heads, top_k in (("m3vit_tiny", 192, 3, 2), ("m3vit_small", 384, 12, 4)):
        c = load_recipe(name).model
        assert (c.width, c.depth, c.heads, c.experts, c.top_k, c.expert_hidden) == (width, 12, heads, 16, top_k, 384)
        assert (c.image_height, c.image_width, c.tokens) == (128, 256, 129)


def test_embedding_takes_patches_row_by_row_in_yxc_order(recipe):
    model, p = M3ViT(recipe.model), recipe.model.patch
    images = images_for(recipe.model)
    tokens = model.embed(images) - model.position
    patch = images[1, :, 2 * p : 3 * p, 4 * p : 5 * p].permute(1, 2, 0).flatten()  # row 2, column 4
    expected = model.patch_embedding(patch)
    assert torch.allclose(tokens[1, 1 + 2 * 7 + 4], expected, atol=1e-5)
    assert torch.allclose(tokens[:, 0], model.class_token.expand(2, -1))


def test_pixel_shuffle_puts_yxc_elements_in_place():
    rows, columns, r, channels = 2, 3, 4, 5
    x = torch.arange(rows * columns * r * r * channels).view(1, rows * columns, -1)
    image = pixel_shuffle(x, (rows, columns), r, channels)
    for row, column, y, x_, c in np.ndindex(rows, columns, r, r, channels):
        expected = (((row * columns + column) * r + y) * r + x_) * channels + c
        assert image[0, c, row * r + y, column * r + x_] == expected


def test_a_task_runs_its_own_routers_and_head_only(recipe):
    model = M3ViT(recipe.model)
    run = []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, a, r, name=name: run.append(name))
    model(images_for(recipe.model), "depth")
    of_tasks = {name for name in run if any(task.name in name.split(".") for task in recipe.model.tasks)}
    assert of_tasks
    assert all("depth" in name.split(".") for name in of_tasks)
    model(images_for(recipe.model), "depth").sum().backward()
    for name, parameter in model.named_parameters():
        if ".routers." in name or name.startswith("heads."):
            assert (parameter.grad is not None) == ("depth" in name.split(".")), name


def test_tasks_together_give_what_each_gives_alone(recipe):
    model, images = M3ViT(recipe.model).eval(), images_for(recipe.model)
    together, balance = model.training_forward(images, recipe.model.task_names)
    for task in recipe.model.task_names:
        assert torch.allclose(together[task], model(images, task), atol=1e-5)
    assert balance == 0  # no noise, no training


def test_bad_sizes_are_named(recipe):
    for change, words in (
        ({"image_width": 57}, "image width (57)"),
        ({"heads": 3}, "width (40)"),
        ({"top_k": 6}, "top_k (6)"),
        ({"tasks": (TaskConfiguration("depth", 1),) * 2}, "different names"),
    ):
        with pytest.raises(UserError) as error:
            dataclasses.replace(recipe.model, **change)
        assert words in str(error.value)
    with pytest.raises(UserError, match="segmentation, depth, normals"):
        recipe.model.task("edges")
    with pytest.raises(UserError, match="demo, m3vit_small, m3vit_tiny"):
        load_recipe("nothing")


@pytest.mark.parametrize("prefix_tokens", [0, 1, 5])
def test_prefix_tokens_come_first_and_are_not_predicted_for(recipe, prefix_tokens):
    model = M3ViT(dataclasses.replace(recipe.model, prefix_tokens=prefix_tokens)).eval()
    tokens = model.embed(images_for(recipe.model))
    assert tokens.shape[1] == prefix_tokens + 35
    expected = model.position[:prefix_tokens].clone()
    if prefix_tokens:
        expected[0] += model.class_token
    assert torch.equal(tokens[:, :prefix_tokens], expected.expand(2, -1, -1))
    seen = []
    model.heads["depth"].register_forward_hook(lambda module, given, result: seen.append((given[0], result)))
    model(images_for(recipe.model), "depth")
    x, result = seen[0]
    x[:, :prefix_tokens] = torch.nan
    assert torch.equal(model.heads["depth"].forward(x), result)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prefix_tokens": 9}, "prefix_tokens .9. is above 8"),
        ({"prefix_tokens": -1}, "prefix_tokens .-1. is not an integer from 0"),
        ({"norm_epsilon": -1.0}, "norm_epsilon .-1.0. is not a number from 0"),
    ],
    ids=str,
)
def test_prefix_tokens_and_epsilon_have_limits(recipe, changes, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(recipe.model, **changes)


def test_what_most_networks_share_is_not_mentioned(recipe):
    model = recipe.to_dict()["model"]
    assert "prefix_tokens" not in model and "norm_epsilon" not in model
    other = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, prefix_tokens=0, norm_epsilon=1e-12))
    assert Recipe.from_dict(other.to_dict()) == other and Recipe.from_dict(recipe.to_dict()) == recipe


def noise_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", [3])
def test_branches_are_left_out_of_samples_at_rates_that_grow_with_depth(recipe, seed):
    model = M3ViT(dataclasses.replace(recipe.model, drop_path=0.6))
    assert [block.drop_path for block in model.blocks] == pytest.approx([0, 0.2, 0.4, 0.6])
    update = torch.ones(4000, 1, 1)
    for block in model.blocks:
        factors = block._kept(update, noise_of(seed)).flatten()
        share = (factors == 0).float().mean().item()
        assert share == pytest.approx(block.drop_path, abs=0.03)
        assert factors[factors > 0].unique().tolist() == pytest.approx([1 / (1 - block.drop_path)])
        assert torch.equal(block._kept(update, None), update)


def test_samples_without_a_branch_pass_it_by(recipe):
    model, x = M3ViT(dataclasses.replace(recipe.model, drop_path=0.9)), torch.randn(16, 5, 40)
    block = model.blocks[2]  # dense, rate 0.6
    y, _ = block(x, ("depth",), noise_of(0))
    chance = noise_of(0)
    kept = [torch.rand(16, generator=chance) >= block.drop_path for _ in range(2)]
    untouched = ~kept[0] & ~kept[1]
    assert 0 < untouched.sum() < 16
    assert torch.equal((y == x).flatten(1).all(1), untouched)
    one = x + block.attention(block.norm1(x)) / (1 - block.drop_path) * kept[0].float()[:, None, None]
    expected = one + block.mlp(block.norm2(one), ("depth",))[0] / (1 - block.drop_path) * kept[1].float()[:, None, None]
    assert torch.allclose(y, expected, atol=1e-5)


def test_drop_path_changes_nothing_outside_training(recipe):
    plain = M3ViT(recipe.model).eval()
    dropping = M3ViT(dataclasses.replace(recipe.model, drop_path=0.5)).eval()
    dropping.load_state_dict(plain.state_dict())
    assert torch.equal(dropping(images_for(recipe.model), "depth"), plain(images_for(recipe.model), "depth"))
    with pytest.raises(UserError, match=r"drop_path \(1.0\) is not a number from 0 to below 1"):
        dataclasses.replace(recipe.model, drop_path=1.0)
