"""Training repeats and resumes bit for bit, and learns."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from model import checkpoint
from model.configuration import Recipe
from model.evaluate import measure_float
from model.optimizer import orthogonalise
from model.train import draw_batch, learning_rate, train, training_scenes, validation_scenes
from model.vit import M3ViT
from spec.errors import UserError


def short(recipe: Recipe, steps: int = 6, **changes) -> Recipe:
    return Recipe(recipe.model, dataclasses.replace(recipe.training, steps=steps, pool=12, warmup=2, **changes))


def test_resumed_training_is_bit_identical(recipe, tmp_path):
    recipe = short(recipe)
    train(recipe, tmp_path / "whole")
    train(recipe, tmp_path / "parts", stop_after=3)
    assert checkpoint.load(tmp_path / "parts").step == 3
    assert (tmp_path / "parts").read_bytes() != (tmp_path / "whole").read_bytes()
    train(recipe, tmp_path / "parts", resume=True)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


def test_the_seed_changes_everything(recipe, tmp_path):
    for seed in (0, 1):
        train(short(recipe, steps=2, seed=seed), tmp_path / str(seed))
    one, two = (checkpoint.load(tmp_path / str(seed)).weights["position"] for seed in (0, 1))
    assert not torch.equal(one, two)
    same = [training_scenes(short(recipe, seed=seed), 0, 1).images for seed in (0, 0, 1)]
    assert np.array_equal(same[0], same[1])
    assert not np.array_equal(same[0], same[2])


def test_training_and_validation_share_no_scene(recipe):
    seen = {scene.tobytes() for scene in training_scenes(recipe, 0, 20).images}
    assert not any(scene.tobytes() in seen for scene in validation_scenes(recipe, 20).images)


def test_training_learns_every_task(recipe, trained):
    scenes = validation_scenes(recipe, 48)
    torch.manual_seed(0)
    before, after = measure_float(M3ViT(recipe.model), scenes), measure_float(trained, scenes)
    assert after["segmentation"] > before["segmentation"] + 0.05
    assert after["depth"] < 0.9 * scenes.depth.std()
    assert after["normals"] < min(45, before["normals"])


def test_batches_differ_by_step_and_repeat(recipe):
    pool = training_scenes(recipe, 0, 12)
    batches = [draw_batch(pool, recipe.training, step).images for step in (0, 1, 0)]
    assert np.array_equal(batches[0], batches[2])
    assert not np.array_equal(batches[0], batches[1])


def test_learning_rate_warms_up_and_ends_at_zero(recipe):
    training = recipe.training
    rates = [learning_rate(training, step) for step in range(training.steps + 1)]
    assert rates[0] == pytest.approx(1 / training.warmup)
    assert max(rates) == rates[training.warmup] == 1
    assert rates[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (3, 8, 5)])
def test_orthogonalised_updates_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_another_recipe_is_not_resumed(recipe, tmp_path):
    train(short(recipe, steps=2), tmp_path / "model")
    with pytest.raises(UserError, match=r"training.steps = 2, the recipe has 6"):
        train(short(recipe), tmp_path / "model", resume=True)


def test_batch_larger_than_the_pool(recipe, tmp_path):
    with pytest.raises(UserError, match=r"batch \(13\).*pool of scenes \(12\)"):
        train(short(recipe, batch=13), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_damaged_checkpoints_are_named(checkpoint_path, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        checkpoint.load(tmp_path / "none")
    save_file({"x": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(UserError, match="other is no moesaic-checkpoint"):
        checkpoint.load(tmp_path / "other")
    truncated = tmp_path / "truncated"
    truncated.write_bytes(checkpoint_path.read_bytes()[:-100])
    with pytest.raises(UserError, match="truncated is damaged"):
        checkpoint.load(truncated)
