"""A backbone with experts is pre-trained on a classification, and networks of several tasks start from it: tiny, from end to end."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from moesaic.model.recipes.recipe import DataConfiguration, Recipe, TaskConfiguration, load_recipe
from moesaic.model.tasks.registry import find_task
from moesaic.model.training import checkpoint
from moesaic.model.training.train import train

CLASSES = ("bright", "dark")
COUNTS = {"train": 6, "val": 2}


def write(root, data, seed):
    """Pictures with noise, in the layout of ImageNet's folders or beside a list of their classes."""
    rng, lines = np.random.default_rng(seed), {"train": [], "val": []}
    for split, count in COUNTS.items():
        for number, (name, level) in enumerate(zip(CLASSES, (190, 60))):
            folder = root / split / (name if data == "imagefolder" else "images")
            folder.mkdir(parents=True, exist_ok=True)
            for n in range(count):
                pixels = rng.integers(level - 50, level + 50, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}{n}.png")
                lines[split].append(f"{number} {name}{n}")
        if data == "folder":
            (root / split / "classification.txt").write_text("\n".join(lines[split]))


def tiny(name, data, **sizes):
    """A recipe of the package with a tiny network and few steps, everything else as it stands."""
    recipe = load_recipe(name)
    small = {
        "patch": 8,
        "width": 16,
        "depth": 4,
        "heads": 2,
        "mlp_hidden": 32,
        "experts": 4,
        "top_k": 2,
        "expert_hidden": 16,
    }
    model = dataclasses.replace(recipe.model, **(small | sizes))
    training = dataclasses.replace(recipe.training.in_steps(6), batch=4, validate_every=3, pool=8)
    return Recipe(model, training, DataConfiguration(data, validation=2))


@pytest.mark.parametrize("gate", ["multi", "task-conditioned"])
@pytest.mark.parametrize(("data", "seed"), [("imagefolder", 0), ("folder", 1)])
def test_several_tasks_start_from_a_pretrained_backbone(data, seed, gate, tmp_path):
    write(tmp_path / "pictures", data, seed)
    tasks = (TaskConfiguration("classification", len(CLASSES)),)
    pretraining = tiny("pretraining/m3vit-small", data, image_height=16, image_width=16, tasks=tasks)
    assert (pretraining.training.label_smoothing, pretraining.model.drop_path, pretraining.training.ema_decay) == (
        0.1,
        0.1,
        0.99996,
    )
    train(pretraining, tmp_path / "backbone.safetensors", data_root=tmp_path / "pictures")
    backbone = checkpoint.load(tmp_path / "backbone.safetensors")
    assert backbone.finished and backbone.trained

    tasks = (TaskConfiguration("segmentation", 6), TaskConfiguration("depth", 1))
    own = tiny("nyud/m3vit-small", "scenes", image_height=16, image_width=24, gate=gate, tasks=tasks)
    training = dataclasses.replace(
        own.training, initialise_from=str(tmp_path / "backbone.safetensors"), learning_rate=0.0, validate_every=0
    )
    train(dataclasses.replace(own, training=training), tmp_path / "tasks.safetensors")
    found = checkpoint.load(tmp_path / "tasks.safetensors").weights
    compared = [name for name in backbone.weights if name.startswith("blocks.") and ".routers." not in name]
    assert len(compared) == 4 * 12 and any(name.endswith("up_weight") for name in compared)
    for name in compared:
        assert torch.equal(found[name], backbone.weights[name]), name
    for block in (1, 3):
        router = backbone.weights[f"blocks.{block}.mlp.routers.all.linear.weight"]
        for name in ("segmentation", "depth") if gate == "multi" else ("all",):
            weight = found[f"blocks.{block}.mlp.routers.{name}.linear.weight"]
            assert torch.equal(weight[:, : router.shape[1]], router) and not weight[:, router.shape[1] :].any()
    assert len(found["position"]) == 1 + 2 * 3


@pytest.mark.parametrize("seed", [2])
def test_smoothed_labels_are_szegedys(seed):
    torch.manual_seed(seed)
    prediction, target, smoothing = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, -1]), 0.1
    wanted = torch.full((5, 5), smoothing / 5) + (1 - smoothing) * torch.eye(5)
    expected = -(wanted * prediction[:5].log_softmax(-1)).sum(-1).mean()
    loss = find_task("classification", 5, label_smoothing=smoothing).loss(prediction, target)
    assert torch.allclose(loss, expected, atol=1e-6)
    assert find_task("classification", 5).loss(prediction, target) != loss
