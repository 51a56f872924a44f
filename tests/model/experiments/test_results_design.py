"""The design fits its budget, and its networks are what their names say."""

import pytest
import torch

from moesaic.model.experiments import results_design
from moesaic.model.experiments.results_design import (
    FACTORS,
    NETWORKS,
    SEEDS,
    SETTINGS,
    TIERS,
    TUNING_SEEDS,
    SeededRun,
    names_in,
    plan,
)
from moesaic.model.experiments.results_records import tuning_runs
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import load_recipe
from moesaic.spec.cost import frame_macs

EVERY = (None, *SETTINGS)


def weights(name):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in M3ViT(load_recipe(f"results/{name}").model).parameters())


def macs(name):
    model = load_recipe(f"results/{name}").model
    return {
        task: frame_macs(model.architecture, model.bundle_task(task, model.whole_pathways[task]))
        for task in model.task_names
    }


def test_all_runs_fit_twenty_hours_of_a_core():
    assert sum(row.runs * row.seconds for row in plan()) < 20 * 3600
    rows = [(row.name, row.kind) for row in plan()]
    assert len(rows) == len(set(rows))
    assert (
        {name for tier in TIERS for name in tier} == set(NETWORKS) == {name for name, kind in rows if kind == "tuning"}
    )
    assert {name for name, kind in rows if kind == "runs"} == {name for setting in EVERY for name in names_in(setting)}


@pytest.mark.parametrize("setting", EVERY)
def test_networks_are_of_equal_work_or_equal_weights(setting):
    prefix = "" if setting is None else f"{setting}/"
    names = {name.removeprefix(prefix) for name in names_in(setting)}
    assert names >= {"multi-gate", "dense", "dense-time", "dense-weights", "position"}
    for name in names - {"dense-weights"}:
        for task, found in macs(prefix + name).items():
            assert found == macs(f"{prefix}multi-gate")[task]
    assert weights(f"{prefix}dense-weights") == pytest.approx(weights(f"{prefix}multi-gate"), rel=1e-3)
    assert weights(f"{prefix}position") == weights(f"{prefix}multi-gate")
    recipes = {name: load_recipe(f"results/{prefix}{name}") for name in names}
    multi = recipes["multi-gate"]
    for name, recipe in recipes.items():
        assert recipe.data == multi.data and recipe.training.pool == multi.training.pool
        if not name.startswith("single-task"):
            assert recipe.model.tasks == multi.model.tasks
        assert (recipe.training.steps == multi.training.steps) == (name != "dense-time")
    assert recipes["dense-time"].training.steps > multi.training.steps
    assert recipes["dense-time"].model == recipes["dense"].model


def test_tuning_changes_both_rates_alike_and_nothing_else(tmp_path):
    recipe = load_recipe("results/dense")
    for run in tuning_runs("dense", tmp_path):
        found = run.recipe.training
        assert found.learning_rate == run.factor * recipe.training.learning_rate
        assert found.muon_learning_rate == run.factor * recipe.training.muon_learning_rate
        assert run.recipe.model == recipe.model and found.steps == recipe.training.steps
    assert SeededRun("dense", recipe.training.seed).recipe == recipe
    assert FACTORS[0] == 1 and len({run.key for run in tuning_runs("dense", tmp_path)}) == len(FACTORS) * len(
        TUNING_SEEDS
    )


def test_the_key_is_of_the_whole_recipe(monkeypatch):
    import dataclasses

    key = SeededRun("dense", 0).key
    assert len({SeededRun("dense", seed, factor).key for seed in SEEDS for factor in FACTORS}) == len(FACTORS) * len(
        SEEDS
    )
    changed = load_recipe("results/dense")
    changed = dataclasses.replace(changed, training=dataclasses.replace(changed.training, weight_decay=0.5))
    monkeypatch.setattr(results_design, "load_recipe", lambda name: changed)
    assert SeededRun("dense", 0).key != key
