"""An imported M3ViT scores what upstream's own code scores: its formulas, written down again here, on files with known answers."""

import argparse

import numpy as np
import pytest
import torch
from PIL import Image

from moesaic.model.commands.evaluate import EvaluateCommand
from moesaic.model.commands.import_ import ImportCommand
from moesaic.model.data.registry import open_dataset
from moesaic.model.evaluation.evaluate import evaluate
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.importing.m3vit import with_source_outputs
from moesaic.model.importing.source_input import source_input
from moesaic.model.recipes.recipe import ModelConfiguration, TaskConfiguration
from moesaic.model.training import checkpoint
from tests.model.importing.test_m3vit import HEADS, configuration, recipe_file, upstream_state

HEIGHT, WIDTH = 24, 32
TASKS = (TaskConfiguration("segmentation", 40), TaskConfiguration("depth", 1), TaskConfiguration("normals", 3))
INPUT = source_input(ForeignCheckpoint("x", {}), "m3vit", "nyud").description
NETWORK = with_source_outputs(
    ModelConfiguration(HEIGHT, WIDTH, 8, 16, 1, 2, 16, 0, 0, 0, TASKS, head="setr-pup", input=INPUT)
)


def write(root, sizes, labels=None, depths=None, vectors=None):
    """NYUD-v2 in upstream's files, with images of the given sizes; what is not given is random."""
    for directory in ("images", "segmentation", "depth", "normals", "gt_sets"):
        (root / directory).mkdir(parents=True)
    names = [f"{i:04}" for i in range(len(sizes))]
    for split in ("train", "val"):
        (root / "gt_sets" / f"{split}.txt").write_text("\n".join(names) + "\n")
    rng, truths = np.random.default_rng(0), []
    for i, (name, size) in enumerate(zip(names, sizes)):
        label = rng.integers(0, 41, size) if labels is None else labels[i]
        depth = rng.uniform(0.7, 9.9, size) * (rng.random(size) > 0.1) if depths is None else depths[i]
        vector = rng.normal(size=(*size, 3)) if vectors is None else vectors[i]
        vector = vector / np.linalg.norm(vector, axis=-1, keepdims=True)
        if vectors is None:
            vector[rng.random(size) < 0.1] = 0
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(root / "images" / f"{name}.png")
        Image.fromarray(label.astype(np.uint8)).save(root / "segmentation" / f"{name}.png")
        np.save(root / "depth" / f"{name}.npy", depth.astype(np.float32))
        np.save(root / "normals" / f"{name}.npy", vector.astype(np.float32))
        truths.append((label, depth.astype(np.float32), vector.astype(np.float32)))
    return truths


def cv2_linear(values, size):
    """cv2.resize with INTER_LINEAR, for [h, w, C]: centres aligned, no antialiasing, edges repeated."""
    for axis, wanted in enumerate(size):
        place = np.clip((np.arange(wanted) + 0.5) * values.shape[axis] / wanted - 0.5, 0, values.shape[axis] - 1)
        low = np.minimum(place.astype(int), values.shape[axis] - 1)
        high, share = np.minimum(low + 1, values.shape[axis] - 1), place - low
        share = share.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def upstream_scores(outputs, truths):
    """evaluation/evaluate_utils.py, lines 276-316, with eval_depth.py 32-56, eval_normals.py 32-56 and eval_semseg.py 54-78.

    Without the passage through 8 bits, and over the classes that occur, for which upstream's mean counts absent ones as 0.
    """
    squares = pixels = 0.0
    degrees, hits, union = [], np.zeros(40), np.zeros(40)
    for (logits, depth, normals), (label, metres, vectors) in zip(outputs, truths):
        size = label.shape
        shown = np.maximum(cv2_linear(depth.astype(np.float64), size)[..., 0], 1e-9)
        valid = metres != 0
        squares, pixels = squares + ((metres - shown)[valid] ** 2).sum(), pixels + valid.sum()
        unit = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
        shown = cv2_linear(unit.astype(np.float64), size)
        shown /= np.linalg.norm(shown, axis=-1, keepdims=True)
        valid = np.linalg.norm(vectors, axis=-1) != 0
        degrees.append(np.degrees(np.arccos(np.clip((shown * vectors).sum(-1), -1, 1)))[valid])
        rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(size, logits.shape))
        shown, truth = logits.argmax(-1)[rows[:, None], columns], label.astype(int) - 1
        for c in range(40):
            hits[c] += ((truth == c) & (shown == c)).sum()
            union[c] += (((truth == c) | (shown == c)) & (truth >= 0)).sum()
    return {
        "segmentation": (hits / np.maximum(union, 1))[union > 0].mean(),
        "depth": np.sqrt(squares / pixels),
        "normals": np.concatenate(degrees).mean(),
    }


def scores(root, outputs):
    """Of a network with these outputs, [h, w, C] for each image and task, in upstream's units."""
    names = [task.name for task in TASKS]
    data = open_dataset("nyud", root, "val", HEIGHT, WIDTH, tasks=names, description=INPUT)
    done = dict.fromkeys(names, 0)

    def predict(images, task):
        first = done[task]
        done[task] += len(images)
        found = [outputs[i][names.index(task)] for i in range(first, done[task])]
        return np.moveaxis(np.stack(found), -1, 1).astype(np.float32)

    return {task: values["float"] for task, values in evaluate({"float": predict}, NETWORK, data).items()}


def test_scores_are_upstreams_at_every_images_own_size(tmp_path):
    sizes = [(30, 37), (24, 32), (17, 60)]
    truths = write(tmp_path / "nyud", sizes)
    rng = np.random.default_rng(1)
    outputs = [
        (rng.normal(size=(24, 32, 40)), rng.uniform(-0.5, 9, (24, 32, 1)), rng.normal(size=(24, 32, 3))) for _ in sizes
    ]
    expected, found = upstream_scores(outputs, truths), scores(tmp_path / "nyud", outputs)
    for task, value in expected.items():
        assert found[task] == pytest.approx(value, rel=1e-4), task


def test_a_perfect_network_makes_no_error(tmp_path):
    """It outputs the files' own numbers: metres, and vectors in the files' axes."""
    truths = write(tmp_path / "nyud", [(HEIGHT, WIDTH)] * 3)
    outputs = []
    for label, depth, vectors in truths:
        logits = np.eye(41)[label][..., 1:]
        away = np.where(np.linalg.norm(vectors, axis=-1, keepdims=True) > 0, 2.5 * vectors, 1)
        outputs.append((logits, depth[..., None], away))
    found = scores(tmp_path / "nyud", outputs)
    assert found["depth"] == pytest.approx(0, abs=1e-6)
    assert found["normals"] == pytest.approx(0, abs=0.05)  # arccos of 1 - 1e-7 is 0.03 degrees
    assert found["segmentation"] == 1


def command(kind, *words):
    parser = argparse.ArgumentParser()
    kind.configure(parser)
    return kind.run(parser.parse_args([str(word) for word in words]))


def test_from_the_checkpoint_to_the_score(recipe, tmp_path, capsys):
    """A published checkpoint whose heads are constants: 2.5 metres, and one direction in the files' axes."""
    c = configuration(recipe, tasks=(TaskConfiguration("segmentation", 40), *TASKS[1:]))
    state = {
        n: v
        for n, v in upstream_state().items()
        if "human_parts" not in n and ".semseg." not in n and "gate.2" not in n
    }
    up = np.array([0.36, 0.48, 0.8])
    for name, channels, bias in (("semseg", 40, np.arange(40) == 7), ("depth", 1, [2.5]), ("normals", 3, 3 * up)):
        for entry, value in upstream_state().items():
            if ".decoders.depth." in entry:
                state[entry.replace(".depth.", f".{name}.")] = value
        state[f"module.decoders.{name}.conv_4.weight"] = torch.zeros(channels, 256, 1, 1)
        state[f"module.decoders.{name}.conv_4.bias"] = torch.tensor(np.array(bias, np.float32))
    state["module.backbone.blocks.1.mlp.gate.2.w_gate"] = state["module.backbone.blocks.1.mlp.gate.1.w_gate"]
    torch.save({"state_dict": state}, tmp_path / "published.pth")
    sizes = [(30, 37), (16, 16)]
    write(
        tmp_path / "nyud",
        sizes,
        [np.full(size, 8) for size in sizes],
        [np.full(size, 2.5) for size in sizes],
        [np.broadcast_to(up, (*size, 3)) for size in sizes],
    )
    path, out = recipe_file(tmp_path / "own.toml", c), tmp_path / "out.safetensors"
    path.write_text(path.read_text() + '\n[data]\nname = "nyud"\nvalidation = 0\n')
    words = (tmp_path / "published.pth", "--format", "m3vit", "--heads", HEADS, "--recipe", path, "--checkpoint", out)
    assert command(ImportCommand, *words) == 0
    assert "stretched" in capsys.readouterr().out
    assert checkpoint.load(out).recipe.model.input == INPUT
    assert command(EvaluateCommand, "--checkpoint", out, "--data-root", tmp_path / "nyud") == 0
    printed = capsys.readouterr().out
    found = {}
    for line in printed.splitlines():
        name, *values = line.split() or [""]
        numbers = [float(value) for value in values if value.replace(".", "").isdigit()]
        if name in c.task_names and numbers:
            found.setdefault(name, numbers[0])  # the metric comes before further figures
    assert found.keys() == set(c.task_names)
    assert found["depth"] == 0 and found["normals"] < 0.05 and found["segmentation"] == 1
