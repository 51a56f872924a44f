"""Training repeats and resumes bit for bit, and learns."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from moesaic.errors import UserError
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.evaluation.evaluate import measure_float
from moesaic.model.input_pipeline.held_out import training_scenes, validation_scenes
from moesaic.model.input_pipeline.training_batches import draw_batch
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.recipes.recipe import (
    OPTIMIZERS,
    DataConfiguration,
    Recipe,
    TrainingConfiguration,
    load_recipe,
)
from moesaic.model.tasks.loss_sets import LOSS_SETS
from moesaic.model.tasks.registry import find_task
from moesaic.model.training import checkpoint
from moesaic.model.training.distributed import Ranks
from moesaic.model.training.optimizer import build_optimizers, learning_rate, orthogonalise
from moesaic.model.training.selection import Selection
from moesaic.model.training.train import Run, best_path, train, training_step


def short(recipe: Recipe, steps: int = 6, **changes) -> Recipe:
    training = dataclasses.replace(recipe.training, steps=steps, pool=12, warmup=min(2, steps - 1), **changes)
    return Recipe(recipe.model, training)


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
    before, after = (measure_float(model, RenderedScenes(scenes)) for model in (M3ViT(recipe.model), trained))
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


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_accumulated_parts_are_the_step_of_the_whole_batch(recipe, optimizer):
    # Without router noise, which is drawn part by part, and the balance loss, which is another one of a part.
    weights = []
    for accumulate in (1, 3):
        changed = short(recipe, optimizer=optimizer, accumulate=accumulate, balance_weight=0.0)
        run, pool = Run.start(changed, Ranks()), training_scenes(changed, 0, 12)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn", lambda shape, **options: torch.zeros(shape))
            batch = draw_batch(pool, changed.training, 0)
            losses = training_step(run.model, run.optimizers, changed, batch, 0)
        gradients = {name: parameter.grad for name, parameter in run.model.named_parameters()}
        weights.append((losses, gradients))
    (losses, whole), (losses_of_parts, parts) = weights
    assert set(losses) == {"segmentation", "depth", "normals", "balance"}
    for task in ("segmentation", "depth", "normals"):
        assert losses_of_parts[task] == pytest.approx(losses[task], rel=1e-5)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("losses", LOSS_SETS)
def test_what_is_minimised_is_the_weighted_sum_of_the_losses(recipe, losses, monkeypatch):
    changed = short(recipe, losses=losses, gradient_clip=0.0)
    run, minimised = Run.start(changed, Ranks()), []
    monkeypatch.setattr(run.precision, "backward", lambda loss: (minimised.append(loss.item()), loss.backward()))
    batch = training_scenes(changed, 0, changed.training.batch)
    with torch.no_grad():
        noise = torch.Generator()
        noise.manual_seed(0)  # of seed 0 and step 0
        predictions, balance = run.model.training_forward(
            normalise(batch.images, recipe.model.input), recipe.model.task_names, noise
        )
    found = training_step(run.model, run.optimizers, changed, batch, 0, precision=run.precision)
    weights = {"papers": {"segmentation": 1, "depth": 1, "normals": 10}, "scenes": {}}.get(
        losses, {"segmentation": 1, "depth": 1, "normals": 1}
    )
    expected = 0.01 * balance.item()
    for task in recipe.model.tasks:
        definition = find_task(task.name, task.channels, losses)
        target = definition.target(batch, predictions[task.name].shape)
        loss = definition.loss(predictions[task.name], torch.from_numpy(np.ascontiguousarray(target))).item()
        assert definition.weight == weights.get(task.name, definition.weight)
        assert found[task.name] == pytest.approx(loss, rel=1e-5)
        expected += definition.weight * loss
    assert found["balance"] == pytest.approx(balance.item(), rel=1e-5) and balance > 0.1
    assert minimised == [pytest.approx(expected, rel=1e-6)]


def test_accumulated_training_with_validation_resumes_bit_for_bit(recipe, tmp_path):
    recipe = dataclasses.replace(
        short(recipe, accumulate=2, validate_every=2, select="depth"), data=DataConfiguration(validation=4)
    )
    train(recipe, tmp_path / "whole", log=tmp_path / "log")
    train(recipe, tmp_path / "parts", stop_after=3)
    train(recipe, tmp_path / "parts", resume=True)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    best = [checkpoint.load(best_path(tmp_path / name)) for name in ("parts", "whole")]
    last = checkpoint.load(tmp_path / "whole")
    assert best[0].step == best[1].step == last.selection.step
    assert best[0].finished
    assert last.finished
    assert -last.selection.score <= last.selection.reference["depth"]
    measured = measure_float(best[1].build_model().eval(), RenderedScenes(validation_scenes(recipe, 4)))
    assert measured["depth"] == pytest.approx(-last.selection.score, abs=1e-9)
    scalars = read_scalars(tmp_path / "log")
    assert [step for step, _ in scalars["metric/depth"]] == [2, 4, 6]
    assert scalars["metric/depth"][0][1] == pytest.approx(last.selection.reference["depth"], rel=1e-6)
    assert {"loss/normals", "loss/balance", "learning rate/part of peak"} < scalars.keys()
    assert all(1 <= value <= 5 for _, value in scalars["largest expert load/depth/block 1"])


def test_a_log_changes_nothing_of_the_training(recipe, tmp_path):
    model = dataclasses.replace(recipe.model, head="setr-pup", depth=2, tasks=recipe.model.tasks[:2])
    recipe = dataclasses.replace(short(recipe, steps=3, batch=2), model=model)  # with batch norms
    train(recipe, tmp_path / "whole", log=tmp_path / "log")
    train(recipe, tmp_path / "without", stop_after=2)
    train(recipe, tmp_path / "without", resume=True)
    assert (tmp_path / "without").read_bytes() == (tmp_path / "whole").read_bytes()
    assert read_scalars(tmp_path / "log").keys() >= {"largest expert load/depth/block 1"}


def read_scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_the_best_checkpoint_is_the_one_with_the_best_mean_gain(recipe):
    selection, start = Selection(), {"segmentation": 0.2, "depth": 1.0, "normals": 40.0}
    assert selection.update(recipe, start, 10)
    assert not selection.update(recipe, {"segmentation": 0.3, "depth": 2.0, "normals": 40.0}, 20)
    assert selection.update(recipe, {"segmentation": 0.21, "depth": 1.0, "normals": 40.0}, 30)
    assert (selection.step, selection.score) == (30, pytest.approx(5 / 3))
    by_task = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, select="segmentation"))
    selection = Selection()
    assert [selection.update(by_task, {"segmentation": iou}, 0) for iou in (0.2, 0.1, 0.3)] == [True, False, True]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_resumes(recipe, tmp_path, precision):
    losses = {}
    for name in ("float32", precision):
        changed = short(recipe, precision=name)
        run, pool = Run.start(changed, Ranks()), training_scenes(changed, 0, 12)
        batch = draw_batch(pool, changed.training, 0)
        for step in range(2):  # the second has weights that a gradient of this precision has changed
            losses[name] = training_step(run.model, run.optimizers, changed, batch, step, precision=run.precision)
    assert losses[precision] != losses["float32"]
    for task, loss in losses["float32"].items():
        assert losses[precision][task] == pytest.approx(loss, rel=0.1)
    changed = short(recipe, steps=3, precision=precision)
    train(changed, tmp_path / "whole")
    train(changed, tmp_path / "parts", stop_after=2)
    train(changed, tmp_path / "parts", resume=True)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert all(value.dtype == torch.float32 for value in checkpoint.load(tmp_path / "whole").weights.values())
    assert bool(checkpoint.load(tmp_path / "whole").scale) == (precision == "float16")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_weight_has_one_optimizer(recipe, optimizer):
    run = Run.start(short(recipe, optimizer=optimizer), Ranks())
    owned = [id(p) for o in run.optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(owned) == sorted(id(parameter) for parameter in run.model.parameters())
    assert len(run.optimizers) == (2 if optimizer == "muon" else 1)


def test_fewer_steps_keep_the_warm_up_if_there_is_room_for_it():
    training = TrainingConfiguration(steps=1000, batch=1, learning_rate=1.0, warmup=100)
    assert {steps: training.in_steps(steps).warmup for steps in (2000, 101, 100, 10, 1)} == {
        2000: 100,
        101: 100,
        100: 10,
        10: 1,
        1: 0,
    }


def test_polynomial_decay():
    training = TrainingConfiguration(steps=10, batch=1, learning_rate=1.0, warmup=0, schedule="poly")
    assert [learning_rate(training, step) for step in (0, 5, 10)] == [1, 0.5**0.9, 0]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_moments_are_put_back_where_the_weights_are(recipe, optimizer):
    run = Run.start(short(recipe, optimizer=optimizer), Ranks())
    batch = training_scenes(recipe, 0, run.recipe.training.batch)
    training_step(run.model, run.optimizers, run.recipe, batch, 0)
    moments = checkpoint.optimizer_tensors(run.model, run.optimizers)
    elsewhere = M3ViT(recipe.model).to("meta")  # stands for a GPU: not where the checkpoint was read
    optimizers = build_optimizers(elsewhere, run.recipe.training)
    checkpoint.restore_optimizers(elsewhere, optimizers, moments)
    found = checkpoint.optimizer_tensors(elsewhere, optimizers)
    assert found.keys() == moments.keys()
    assert all(value.device.type == "meta" for value in found.values())


def test_training_starts_from_a_dense_checkpoint(recipe, tmp_path):
    dense = dataclasses.replace(recipe.model, experts=0, top_k=0, expert_hidden=0)
    train(dataclasses.replace(short(recipe, steps=2), model=dense), tmp_path / "dense")
    changed = short(recipe, steps=1, initialise_from=str(tmp_path / "dense"), learning_rate=0.0, muon_learning_rate=0.0)
    train(changed, tmp_path / "upcycled")
    dense, upcycled = (checkpoint.load(tmp_path / name).weights for name in ("dense", "upcycled"))
    assert torch.equal(upcycled["blocks.0.mlp.up.weight"], dense["blocks.0.mlp.up.weight"])
    assert torch.equal(upcycled["position"], dense["position"])
    with pytest.raises(UserError, match="none does not exist"):
        train(short(recipe, initialise_from=str(tmp_path / "none")), tmp_path / "model")


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
    with pytest.raises(UserError, match=r"other is no moesaic-checkpoint.*`moesaic import`"):
        checkpoint.load(tmp_path / "other")
    truncated = tmp_path / "truncated"
    truncated.write_bytes(checkpoint_path.read_bytes()[:-100])
    with pytest.raises(UserError, match="truncated is damaged"):
        checkpoint.load(truncated)
    torch.save({"x": torch.zeros(1)}, tmp_path / "of_torch")
    with pytest.raises(UserError, match=r"of_torch is damaged or in another format.*`moesaic import`"):
        checkpoint.load(tmp_path / "of_torch")


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
    with pytest.raises(UserError, match="Is a directory"):
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
        ("training", {"warmup": 160}),
        ("training", {"momentum": 1.0}),
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


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002], ids=oct)
def test_a_checkpoint_follows_the_umask(recipe, tmp_path, mask):
    before = os.umask(mask)
    try:
        checkpoint.save(tmp_path / "model.safetensors", checkpoint.Checkpoint(recipe, 0, {}, {}))
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~mask
