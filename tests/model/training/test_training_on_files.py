"""A network trains, validates and resumes on the data sets that lie in files, with all their tasks."""

import dataclasses

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.data.registry import open_dataset
from moesaic.model.recipes.recipe import DataConfiguration, Recipe, TaskConfiguration
from moesaic.model.training import checkpoint
from moesaic.model.training.train import train
from tests.model.data import test_cityscapes_mtan, test_nyud, test_pascal_context


@pytest.fixture(params=["nyud", "pascal-context", "cityscapes-mtan"])
def data(request, tmp_path):
    root = tmp_path / "data"
    if request.param == "nyud":
        test_nyud.write(root, "MTI-Net")
    elif request.param == "cityscapes-mtan":
        test_cityscapes_mtan.write(root)
    else:
        test_pascal_context.write(root)
        (root / "ImageSets/Context/val.txt").write_text("2008_000003\n")
    return request.param, root


def on(recipe, name, root):
    tasks = open_dataset(name, root, "train", 40, 56).tasks
    tasks = tuple(TaskConfiguration(*task) for task in tasks.items())
    training = dataclasses.replace(recipe.training, steps=3, batch=2, warmup=1, validate_every=2, losses="papers")
    return Recipe(dataclasses.replace(recipe.model, tasks=tasks), training, DataConfiguration(name, validation=0))


def test_training_on_files_resumes_bit_identically(recipe, data, tmp_path):
    name, root = data
    recipe = on(recipe, name, root)
    train(recipe, tmp_path / "whole", data_root=root)
    train(recipe, tmp_path / "parts", data_root=root, stop_after=1)
    train(recipe, tmp_path / "parts", data_root=root, resume=True)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    weights = checkpoint.load(tmp_path / "whole").weights
    assert all(torch.isfinite(weight).all() for weight in weights.values() if weight.is_floating_point())


def test_training_needs_the_directory_and_the_tasks(recipe, data, tmp_path):
    name, root = data
    with pytest.raises(UserError, match=f"{name} lies in files"):
        train(on(recipe, name, root), tmp_path / "none")
    missing = "depth" if name == "pascal-context" else "parts"
    wanted = on(recipe, name, root)
    model = dataclasses.replace(wanted.model, tasks=(TaskConfiguration(missing, 1 if missing == "depth" else 9),))
    with pytest.raises(UserError, match=f"{name} has no truth for task '{missing}'"):
        train(dataclasses.replace(wanted, model=model), tmp_path / "none", data_root=root)
