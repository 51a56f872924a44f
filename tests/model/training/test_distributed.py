"""Two and four processes make the step that one makes, with whole and with divided experts, and their checkpoints are the same kind."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from moesaic.errors import UserError
from moesaic.model.input_pipeline.held_out import training_scenes
from moesaic.model.input_pipeline.training_batches import draw_batch
from moesaic.model.network.moe import MoE
from moesaic.model.recipes.recipe import (
    DataConfiguration,
    ModelConfiguration,
    Recipe,
    TaskConfiguration,
    TrainingConfiguration,
)
from moesaic.model.training import checkpoint
from moesaic.model.training import train as training_module
from moesaic.model.training.distributed import (
    SHARDED,
    DistributedModel,
    Ranks,
    choose_device,
    join_expert_group,
    shard_experts,
)
from moesaic.model.training.local_processes import run_on_ranks
from moesaic.model.training.scalar_log import ScalarLog
from moesaic.model.training.train import Run, train, training_step
from tests.model.training.processes import load, save

TASKS = (TaskConfiguration("segmentation", 6), TaskConfiguration("depth", 1))
MODEL = ModelConfiguration(
    image_height=16, image_width=24, patch=8, width=24, depth=2, heads=3, mlp_hidden=32, experts=4, top_k=2, expert_hidden=16,
    tasks=TASKS,
)  # fmt: skip
DATA = DataConfiguration(validation=2)
RECIPE = Recipe(
    MODEL, TrainingConfiguration(steps=3, batch=4, learning_rate=1e-2, warmup=1, pool=8, optimizer="sgd"), DATA
)


def changed(**training: object) -> Recipe:
    return dataclasses.replace(RECIPE, training=dataclasses.replace(RECIPE.training, **training))


# The balance loss of a part of the batch is another one than that of the whole, so parts are compared without.
STEPS = {
    "whole": changed(),
    "whole-accumulate2": changed(accumulate=2, balance_weight=0.0),
    "sharded": changed(experts_sharded=True),
    "sharded-accumulate2": changed(experts_sharded=True, accumulate=2, balance_weight=0.0),
}
SHARDED_RECIPE = changed(experts_sharded=True, optimizer="muon", validate_every=2)


def work(ranks: Ranks, directory: Path, name: str, recipe: Recipe, expert_ranks: int = 0) -> None:
    """Weights and losses after two steps on this rank's part of the batches, experts gathered.

    Without the routers' noise, which each rank draws for its own tokens.
    """
    run, pool = Run.start(recipe, ranks, None, expert_ranks), training_scenes(recipe, 0, recipe.training.pool)
    share = recipe.training.batch // ranks.size
    losses, original = [], torch.randn
    torch.randn = lambda shape, **options: torch.zeros(shape)
    try:
        for step in range(2):
            batch = draw_batch(pool, recipe.training, step)[ranks.rank * share : (ranks.rank + 1) * share]
            losses.append(training_step(run.model, run.optimizers, recipe, batch, step, distributed=run.distributed))
    finally:
        torch.randn = original
    table = torch.tensor([list(values.values()) for values in losses], dtype=torch.float64)
    save(directory, name, ranks, {"losses": table} | run.distributed.gathered(run.model.state_dict()))


def work_on_everything(ranks: Ranks, directory: Path) -> None:
    for name, recipe in STEPS.items():
        work(ranks, directory, name, recipe)
    train(SHARDED_RECIPE, directory / "whole-run", ranks=ranks)
    train(SHARDED_RECIPE, directory / "parts", ranks=ranks, stop_after=1)
    if ranks.first:
        (directory / "first-part").write_bytes((directory / "parts").read_bytes())
    train(SHARDED_RECIPE, directory / "parts", ranks=ranks, resume=True)
    send_all_to_the_last_expert(ranks)
    save(directory, "validated", ranks, validate_differently(ranks))
    save(directory, "overflowed", ranks, overflow_on_the_last_rank(ranks))


def validate_differently(ranks: Ranks) -> dict[str, torch.Tensor]:
    """The steps that were saved as the best, where each rank measures something else."""
    run, saved = Run.start(SHARDED_RECIPE, ranks), []
    run.save = lambda path: saved.append(run.step)
    with pytest.MonkeyPatch.context() as patch:
        for run.step, depths in enumerate(((1.0, 1.0), (0.5, 2.0), (2.0, 0.1)), start=1):
            metrics = {"segmentation": 0.2, "depth": depths[ranks.rank]}
            patch.setattr(training_module, "measure_float", lambda model, data, share, workers, found=metrics: found)
            training_module._validate(run, None, Path("model"), ScalarLog(None))
    return {"saved": torch.tensor(saved), "best": torch.tensor([run.selection.step, run.selection.score])}


def overflow_on_the_last_rank(ranks: Ranks) -> dict[str, torch.Tensor]:
    """Weights, gathered, and the scale of losses after a step in float16 with a gradient in one expert that is infinite."""
    recipe = changed(experts_sharded=True, optimizer="muon", precision="float16")
    run = Run.start(recipe, ranks)
    before = run.distributed.gathered(run.model.state_dict())["blocks.1.mlp.up_weight"]
    average = run.distributed.average_experts

    def average_and_overflow() -> None:
        average()
        if ranks.rank == 1:
            run.model.blocks[1].mlp.up_weight.grad[0, 0, 0] = torch.inf

    run.distributed.average_experts = average_and_overflow
    share = recipe.training.batch // ranks.size
    batch = draw_batch(training_scenes(recipe, 0, recipe.training.pool), recipe.training, 0)
    part = batch[ranks.rank * share : (ranks.rank + 1) * share]
    training_step(run.model, run.optimizers, recipe, part, 0, distributed=run.distributed, precision=run.precision)
    after = run.distributed.gathered(run.model.state_dict())
    name = "blocks.1.mlp.up_weight"
    moved, scale = (after[name] - before).abs().max(), torch.tensor(run.precision.state()["scale"])
    return after | {"moved": moved, "scale": scale}


def send_all_to_the_last_expert(ranks: Ranks) -> None:
    torch.manual_seed(0)
    moe, tokens = MoE(8, 6, 4, 1, ("a",)), torch.randn(1, 5, 8)
    moe.kept["a"] = torch.tensor([False, False, False, True])
    expected, _ = moe(tokens, ("a",))
    assert shard_experts(torch.nn.ModuleDict({"layer": moe}), join_expert_group(ranks)) == {
        f"layer.{name}" for name in SHARDED
    }
    found, _ = moe(tokens, ("a",))
    torch.testing.assert_close(found, expected)


GROUPS = (1, 2, 4)
"""Sizes of the groups of four ranks that share experts."""


def work_in_groups(ranks: Ranks, directory: Path) -> None:
    for size in GROUPS:
        work(ranks, directory, f"groups-of-{size}", STEPS["sharded"], size)
    train(SHARDED_RECIPE, directory / "grouped", ranks=ranks, expert_ranks=2)
    joined = join_expert_group(ranks, 2)
    members = [dist.get_process_group_ranks(group) for group in (joined.group, joined.replicas)]
    save(directory, "members", ranks, {"members": torch.tensor(members), "place": torch.tensor(joined.place)})
    with pytest.raises(UserError, match="4 ranks cannot be divided into groups of 3 that share experts"):
        join_expert_group(ranks, 3)
    with pytest.raises(UserError, match="4 ranks cannot be divided into groups of 2 and 4 that share experts"):
        join_expert_group(ranks, 2 if ranks.first else 4)


@pytest.fixture(scope="module")
def four_ranks(tmp_path_factory) -> Path:
    """What four processes leave whose experts are divided among groups of them."""
    directory = tmp_path_factory.mktemp("four")
    run_on_ranks(work_in_groups, 4, directory)
    return directory


@pytest.mark.parametrize("size", GROUPS)
def test_groups_that_share_experts_make_the_step_of_one(four_ranks, tmp_path, size):
    work(Ranks(), tmp_path, "alone", RECIPE)
    expected = load(tmp_path, "alone")
    for rank in range(4):
        found = load(four_ranks, f"groups-of-{size}", rank)
        assert found.keys() == expected.keys()
        for key, value in found.items():
            torch.testing.assert_close(
                value, expected[key], rtol=1e-4, atol=1e-6, msg=lambda text, k=key: f"{k}: {text}"
            )


def test_groups_follow_one_another_and_replicas_have_the_same_place(four_ranks, tmp_path):
    found = [load(four_ranks, "members", rank) for rank in range(4)]
    assert [one["members"].tolist() for one in found] == [
        [[0, 1], [0, 2]],
        [[0, 1], [1, 3]],
        [[2, 3], [0, 2]],
        [[2, 3], [1, 3]],
    ]
    assert [int(one["place"]) for one in found] == [0, 1, 0, 1]
    assert checkpoint.load(four_ranks / "grouped").weights["blocks.1.mlp.up_weight"].shape == (4, 24, 16)
    with pytest.raises(UserError, match="--expert-ranks 2 is for experts_sharded = true"):
        train(RECIPE, tmp_path / "model", expert_ranks=2)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> Path:
    """What two processes leave that do all there is to compare; one start, because starting takes longest."""
    directory = tmp_path_factory.mktemp("two")
    run_on_ranks(work_on_everything, 2, directory)
    return directory


@pytest.mark.parametrize("name", STEPS)
def test_two_ranks_make_the_step_of_one(two_ranks, tmp_path, name):
    work(
        Ranks(),
        tmp_path,
        name,
        dataclasses.replace(STEPS[name], training=changed(balance_weight=STEPS[name].training.balance_weight).training),
    )
    expected, compared = load(tmp_path, name), 0
    if STEPS[name].training.accumulate > 1:
        expected["losses"] = expected["losses"][:, :-1]
    for rank in (0, 1):
        found = load(two_ranks, name, rank)
        assert found.keys() == expected.keys()
        found["losses"] = found["losses"][:, : expected["losses"].shape[1]]
        for key, value in found.items():
            torch.testing.assert_close(
                value, expected[key], rtol=1e-4, atol=1e-6, msg=lambda text, k=key: f"{k}: {text}"
            )
            compared += 1
    assert compared == 2 * len(expected)


def test_ranks_that_resume_end_where_ranks_without_a_break_end(two_ranks):
    assert (two_ranks / "whole-run").read_bytes() == (two_ranks / "parts").read_bytes()


def test_a_checkpoint_of_two_ranks_is_gone_on_with_by_one(two_ranks, tmp_path):
    path = tmp_path / "model"
    path.write_bytes((two_ranks / "first-part").read_bytes())
    state = checkpoint.load(path)
    assert state.step == 1
    assert state.weights["blocks.1.mlp.up_weight"].shape == (4, 24, 16)
    assert state.optimizer["blocks.1.mlp.down_weight/average"].shape == (4, 16, 24)
    state.build_model()
    train(SHARDED_RECIPE, path, resume=True)
    assert checkpoint.load(path).step == 3
    assert (two_ranks / "parts.best").is_file()


def test_ranks_that_measure_differently_save_the_same_checkpoints(two_ranks):
    for rank in (0, 1):
        found = load(two_ranks, "validated", rank)
        assert found["saved"].tolist() == [1, 2]
        assert found["best"].tolist() == [2, 25]


def test_a_step_that_overflows_on_one_rank_is_left_out_on_all(two_ranks):
    first, second = (load(two_ranks, "overflowed", rank) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert first["moved"] == 0 and first["scale"] == 2**15


def test_experts_that_do_not_divide_are_named():
    with pytest.raises(UserError, match=r"4 experts cannot be divided among 3 ranks.*start a number of processes"):
        DistributedModel(Run.start(RECIPE, Ranks()).model, Ranks(0, 3), experts_sharded=True)


def test_a_batch_that_does_not_divide_is_named(tmp_path):
    with pytest.raises(UserError, match=r"batch \(4\) is not a multiple of 3 ranks x 1"):
        train(RECIPE, tmp_path / "model", ranks=Ranks(0, 3))


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", 1) == torch.device("cuda", 1)
    assert choose_device("cpu", 7) == torch.device("cpu")
    with pytest.raises(UserError, match="process 2 of this machine has no GPU, there are 2"):
        choose_device("cuda", 2)
