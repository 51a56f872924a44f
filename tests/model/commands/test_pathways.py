"""The page, the chart and the figures that the command writes, and what it refuses."""

import dataclasses
import json

import pytest

from moesaic.errors import UserError
from moesaic.model.commands.pathways import PathwaysCommand
from moesaic.model.recipes.recipe import DataConfiguration, Recipe
from moesaic.model.training.train import train
from tests.model.calling import call


def pathways(*words):
    return call(PathwaysCommand, *words)


@pytest.fixture
def checkpoint_of(small_recipe, tmp_path):
    def make(**changes):
        recipe = Recipe(
            dataclasses.replace(small_recipe.model, **changes), small_recipe.training, DataConfiguration(validation=4)
        )
        train(recipe, tmp_path / "model.safetensors")
        return tmp_path / "model.safetensors"

    return make


def test_command_writes_page_chart_and_figures(checkpoint_of, tmp_path, capsys):
    words = ("--checkpoint", checkpoint_of(), "--output", tmp_path / "out", "--integers", "--fine-tune", 1)
    assert pathways(*words, "--budgets", "6,3", "--top-k", "2,1", "--device", "cpu") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "pathways.html",
        "pathways.json",
        "pathways.svg",
    ]
    report = json.loads((tmp_path / "out" / "pathways.json").read_text())
    assert [p["budget"] for p in report["points"][:5]] == ["all", "6x2", "6x1", "3x2", "3x1"]
    assert report["fine_tuned_steps"] == 1 and report["samples"] == 4
    assert "rmse" in capsys.readouterr().out


def test_command_takes_budgets_over_a_task_and_has_its_own(checkpoint_of, tmp_path):
    assert pathways("--checkpoint", checkpoint_of(), "--output", tmp_path / "out", "--scope", "task") == 0
    report = json.loads((tmp_path / "out" / "pathways.json").read_text())
    assert [p["kept"] for p in report["points"][:4]] == [12, 12, 9, 6]
    assert len({len(experts) for p in report["points"] for experts in p["experts"].values()}) > 2


def test_command_refuses_what_is_not_there(checkpoint_of, tmp_path):
    words = ("--output", tmp_path / "out", "--checkpoint")
    with pytest.raises(UserError, match="does not exist"):
        pathways(*words, tmp_path / "none")
    path = checkpoint_of()
    with pytest.raises(UserError, match="cannot keep 7 experts of 6"):
        pathways(*words, path, "--budgets", 7)
    dense = checkpoint_of(experts=0, top_k=0, expert_hidden=0)
    with pytest.raises(UserError, match="has no experts"):
        pathways(*words, dense)
    assert not (tmp_path / "out").exists()
