"""A grid of settings: what its points are, that they are trained once, and what is written about them."""

import csv
import io
import json

import pytest
from rich.console import Console

from moesaic.campaign.workers import in_this_process, local_processes
from moesaic.command_line import EXIT_USER_ERROR, main
from moesaic.errors import UserError
from moesaic.model.commands.sweep import SweepCommand
from moesaic.model.experiments import sweep as sweeping
from moesaic.model.experiments.sweep import axis, grid, sweep, sweep_table
from moesaic.model.recipes.recipe import Recipe
from tests.model.calling import call


def test_axes():
    assert axis("training.seed=0, 1,2") == ("training.seed=0", "training.seed=1", "training.seed=2")
    assert axis("data.name=scenes") == ("data.name=scenes",)
    assert axis("model.moe_blocks=[[1], [1, 2]]") == ("model.moe_blocks=[1]", "model.moe_blocks=[1, 2]")
    for text in ("training.seed", "training.seed=", "training.seed= "):
        with pytest.raises(UserError, match="state SECTION"):
            axis(text)
    with pytest.raises(UserError, match="comes 2 times"):
        axis("training.seed=1,0,1")


def test_grid(own_recipe):
    axes = [axis("training.seed=3,4"), axis("training.batch=2,4,8")]
    trials = grid(str(own_recipe), ["training.steps=3"], axes)
    points = [(trial.recipe.training.seed, trial.recipe.training.batch) for trial in trials]
    assert points == [(3, 2), (3, 4), (3, 8), (4, 2), (4, 4), (4, 8)]
    assert all(trial.recipe.training.steps == 3 for trial in trials)
    assert trials[1].title == "training.seed=3, training.batch=4"
    with pytest.raises(UserError, match="there is no entry 'sed'"):
        grid(str(own_recipe), [], [axis("training.sed=1")])


@pytest.fixture
def trials(own_recipe):
    settings = ["training.steps=2", "training.warmup=1", "training.pool=4", "data.validation=4"]
    return grid(str(own_recipe), settings, [axis("training.seed=3,4")])


def test_trials_are_trained_once_and_written(trials, tmp_path, monkeypatch):
    console = Console(file=io.StringIO(), width=200)
    figures = sweep(trials, tmp_path, in_this_process(), console, integers=True)
    tasks = trials[0].recipe.model.task_names
    assert all(set(one) == set(tasks) for one in figures) and figures[0] != figures[1]
    written = json.loads((tmp_path / "sweep.json").read_text())
    assert [entry["settings"] for entry in written] == [["training.seed=3"], ["training.seed=4"]]
    assert [entry["tasks"] for entry in written] == figures
    for entry, trial in zip(written, trials):
        assert Recipe.from_dict(json.loads((tmp_path / entry["folder"] / "recipe.json").read_text())) == trial.recipe
        assert (tmp_path / entry["folder"] / "model.safetensors").is_file()
    rows = list(csv.DictReader((tmp_path / "sweep.csv").open()))
    main_rows = [row for row in rows if row["task"] == tasks[0] and row["metric"] == figures[0][tasks[0]]["metric"]]
    assert [row["training.seed"] for row in main_rows] == ["3", "4"]
    assert [float(row["float"]) for row in main_rows] == [one[tasks[0]]["float"] for one in figures]
    assert all(row["integer"] for row in main_rows)
    table = sweep_table(trials, figures)
    assert [row[0] for row in table.rows] == ["3", "4"] and len(table.columns) == 1 + 2 * len(tasks)
    monkeypatch.setattr(sweeping, "train", None)
    assert sweep(trials, tmp_path, in_this_process(), console, integers=True) == figures


@pytest.mark.slow
def test_processes_give_the_same_figures(trials, tmp_path):
    console = Console(file=io.StringIO())
    here = sweep(trials, tmp_path / "here", in_this_process(), console)
    assert sweep(trials, tmp_path / "there", local_processes(2), console) == here


def test_the_command(own_recipe, tmp_path, capsys):
    words = (
        "--recipe",
        own_recipe,
        "--vary",
        "training.seed=3,4",
        "--set",
        "training.steps=2",
        "--set",
        "training.warmup=1",
    )
    words += ("--set", "training.pool=4", "--set", "data.validation=4", "--output", tmp_path / "sweep")
    assert call(SweepCommand, *words) == 0
    assert "2 trials of" in capsys.readouterr().out and (tmp_path / "sweep" / "sweep.csv").is_file()
    assert main(["sweep", "--vary", "training.seed=1", "--vary", "training.seed=2"]) == EXIT_USER_ERROR
    assert "--vary training.seed is given 2 times: name all its values in one" in capsys.readouterr().err
