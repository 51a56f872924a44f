"""The folder of a run: recipe, checkpoint, curves, and what it ran on."""

import json
import subprocess

import pytest

from moesaic.errors import UserError
from moesaic.model.commands.train import TrainCommand
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training import checkpoint
from moesaic.model.training.run_folder import git_state
from tests.model.calling import call

SMALL = (
    *("--set", "model.image_height=32", "--set", "model.image_width=32", "--set", "model.depth=2", "--set", "model.width=32"),
    *("--set", "model.heads=2", "--set", "training.batch=2", "--set", "training.pool=4"),
)  # fmt: skip


def test_a_run_is_kept_together_and_lengthened(tmp_path, capsys):
    folder = tmp_path / "run"
    assert call(TrainCommand, *SMALL, "--steps", "3", "--run", folder) == 0
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "recipe.json",
        "environment.json",
        "log.jsonl",
    }
    recipe = Recipe.from_dict(json.loads((folder / "recipe.json").read_text()))
    assert (recipe.training.batch, recipe.training.steps, recipe.model.depth) == (2, 3, 2)
    assert checkpoint.load(folder / "model.safetensors").recipe == recipe
    losses = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert {row["step"] for row in losses} == {3} and {"loss", "learning rate"} <= {row["group"] for row in losses}

    assert call(TrainCommand, *SMALL, "--steps", "5", "--run", folder, "--resume") == 0
    longer = checkpoint.load(folder / "model.safetensors")
    assert (longer.step, longer.recipe.training.steps) == (5, 5)
    assert [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()][-1] == 5
    first, second = json.loads((folder / "environment.json").read_text())
    assert first["packages"]["torch"] and first["processes"] == 1 and first["device"] == "cpu"
    assert first["git"]["moesaic"]["commit"] == second["git"]["moesaic"]["commit"]

    for words, message in (
        (("--steps", "4"), "was trained with training.steps = 5, the recipe has 4: resume with the same recipe"),
        (("--steps", "9", "--seed", "3"), "was trained with training.seed = 0, the recipe has 3|training.steps"),
        (("--checkpoint", tmp_path / "x"), "both say where to write: leave one out"),
    ):
        with pytest.raises(UserError, match=message):
            call(TrainCommand, *SMALL, "--run", folder, "--resume", *words)
        kept = Recipe.from_dict(json.loads((folder / "recipe.json").read_text()))
        assert kept == longer.recipe  # a refused run leaves it alone

    for content, message in ((b"[", "cannot be read"), (b"{}", "is no list of starts")):
        (folder / "environment.json").write_bytes(content)
        with pytest.raises(UserError, match=f"environment.json {message}.*: take its own copy, or delete it"):
            call(TrainCommand, *SMALL, "--steps", "7", "--run", folder, "--resume")
        kept = Recipe.from_dict(json.loads((folder / "recipe.json").read_text()))
        assert kept == longer.recipe and (folder / "environment.json").read_bytes() == content


def test_the_state_of_a_repository_names_what_differs_from_its_commit(tmp_path):
    assert git_state(tmp_path) is None
    commands = (
        ("init", "-q"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "first"),
    )
    for words in commands:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40 and clean["changed"] == []
    (tmp_path / "new file").write_text("")
    assert git_state(tmp_path) == {**clean, "changed": ['"new file"']}
