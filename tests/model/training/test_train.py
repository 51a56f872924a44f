"""Training repeats and resumes bit for bit, and learns."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from model.configuration import Recipe, load_recipe
from model.evaluate import measure_float
from model.network.vit import M3ViT
from model.training import checkpoint
from model.training.optimizer import learning_rate, orthogonalise
from model.training.sources import draw_batch, training_scenes, validation_scenes
from model.training.train import train
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


@pytest.mark.parametrize(
    "damage", ["shape", "missing", "unknown", "optimizer", "no recipe", "list", "not JSON", "step"]
)
def test_checkpoints_that_do_not_fit_are_named(recipe, tmp_path, damage):
    path, recipe = tmp_path / "model", short(recipe, steps=2)
    train(recipe, path, stop_after=1)
    with safe_open(path, framework="pt") as file:
        (kind, text), *_ = file.metadata().items()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file is no mapping)
    state = json.loads(text)
    if damage == "shape":
        tensors["model/position"] = torch.zeros(3)
    elif damage == "missing":
        del tensors["model/position"]
    elif damage == "unknown":
        tensors["surprise"] = torch.zeros(1)
    elif damage == "optimizer":
        tensors["optimizer/nothing/moment"] = torch.zeros(1)
    elif damage == "no recipe":
        del state["recipe"]
    elif damage == "list":
        state = []
    elif damage == "step":
        state["step"] = "one"
    save_file(tensors, path, {kind: "{" if damage == "not JSON" else json.dumps(state)})
    with pytest.raises(UserError, match=r"checkpoint"):
        train(recipe, path, resume=True)
    if damage in ("shape", "missing"):
        with pytest.raises(UserError, match=r"weight position is .*, its recipe says"):
            checkpoint.load(path).build_model()


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(recipe, tmp_path, monkeypatch):
    recipe = short(recipe, steps=1)
    (tmp_path / "directory").mkdir()
    with pytest.raises(UserError, match="is a directory"):
        train(recipe, tmp_path / "directory")
    with pytest.raises(UserError, match=r"directory cannot be written \(Is a directory\)"):
        checkpoint.save(tmp_path / "directory", checkpoint.Checkpoint(recipe, 0, {}, {}))

    def fill_the_disk(tensors: dict, path: Path, metadata: dict) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fill_the_disk)
    with pytest.raises(UserError, match=r"model cannot be written .*No space left"):
        train(recipe, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("training", {"seed": -1}),
        ("training", {"steps": "many"}),
        ("training", {"steps": 2.5}),
        ("training", {"learning_rate": float("nan")}),
        ("training", {"weight_decay": None}),
        ("model", {"depth": 0}),
        ("model", {"width": "wide"}),
        ("model", {"tasks": 5}),
        ("model", {"tasks": ["depth"]}),
        ("model", {"tasks": [{"name": "depth", "channels": "one"}]}),
        ("model", {"surprise": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_malformed_recipes(recipe, section, changes):
    data = recipe.to_dict()
    with pytest.raises(UserError):
        Recipe.from_dict({**data, section: {**data[section], **changes}})


def test_a_recipe_that_is_not_text(tmp_path):
    (tmp_path / "odd.toml").write_bytes(b"steps = \xff\xfe")
    with pytest.raises(UserError, match=r"odd.toml is not UTF-8 text \(.* at byte 8\)"):
        load_recipe(str(tmp_path / "odd.toml"))
