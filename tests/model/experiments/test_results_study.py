"""The runner keeps what is done, tunes before it compares, and measures what the page shows."""

import dataclasses
import io

import pytest
from rich.console import Console

from moesaic.campaign.kept_results import keep_result
from moesaic.campaign.workers import in_this_process
from moesaic.errors import UserError
from moesaic.model.experiments import results_design, results_study
from moesaic.model.experiments.results_design import FACTORS, REFERENCE, SEEDS, TUNING_SEEDS, SeededRun
from moesaic.model.experiments.results_records import further_key, gather, run_key, tuning_runs
from moesaic.model.experiments.results_study import execute, execute_all, measure_further
from moesaic.model.recipes.recipe import load_recipe


@pytest.fixture
def tiny(monkeypatch):
    def shrunk(name):
        recipe = load_recipe(name)
        hidden = {"expert_hidden": 8} if recipe.model.experts else {}
        model = dataclasses.replace(
            recipe.model, image_height=16, image_width=16, width=16, depth=2, mlp_hidden=32, **hidden
        )
        training = dataclasses.replace(recipe.training, steps=2, batch=2, warmup=1, pool=4)
        return dataclasses.replace(
            recipe, model=model, training=training, data=dataclasses.replace(recipe.data, validation=4)
        )

    monkeypatch.setattr(results_design, "load_recipe", shrunk)
    monkeypatch.setattr(results_study, "FINE_TUNING_STEPS", 1)


def test_a_training_that_is_done_is_not_done_again(tiny, tmp_path, monkeypatch):
    run = SeededRun(REFERENCE, 0)
    first = execute(run, tmp_path)
    assert first.keys() == {"name", "seed", "factor", "training_seconds", "macs", "parameters", "float"}
    assert first["macs"]["depth"] > 0 and first["float"].keys() == {"segmentation", "depth", "normals"}
    # Measured again, it keeps its weights, and the seconds are those of its training.
    (tmp_path / f"{run_key(run)}-seconds.json").write_text("77")
    assert execute(run, tmp_path) == first | {"training_seconds": 77}


def test_the_time_of_an_interrupted_training_is_not_stated(tiny, tmp_path, monkeypatch):
    run, whole = SeededRun("dense", 0), results_study.train
    monkeypatch.setattr(results_study, "train", lambda *a, **k: whole(*a, **k, stop_after=1))
    execute(run, tmp_path)
    (tmp_path / f"{run_key(run)}-seconds.json").unlink()  # as if it had been interrupted
    monkeypatch.setattr(results_study, "train", whole)
    assert execute(run, tmp_path)["training_seconds"] is None


def test_more_is_measured_of_a_trained_run(tiny, tmp_path):
    run = SeededRun(REFERENCE, 0)
    found = execute(run, tmp_path)["float"]
    further = measure_further(run, tmp_path)
    assert further["float"] == found and 0 <= further["agreement"] <= 1
    assert further["all_trained_on"] != found and further["half_trained_on"].keys() == found.keys()
    assert further["budgets"]["16x4"] == found
    bits = further["expert_bits"]
    assert bits["8"]["integer"] == further["integer"] and not bits["8"]["four_bit_share"]
    assert bits["4"]["four_bit_share"] == 1 and bits["4"]["dram_bytes"] < bits["8"]["dram_bytes"]
    for loss in (0.5, 1, 2):
        chosen = bits[f"auto, {loss} dB"]
        assert chosen["lost"] <= loss and bits["4"]["dram_bytes"] <= chosen["dram_bytes"] <= bits["8"]["dram_bytes"]
    assert measure_further(SeededRun("dense", 0), tmp_path).keys() == {"name", "seed", "factor", "float", "integer"}
    assert measure_further(SeededRun("sampled-budgets", 0), tmp_path).keys() == {
        "name",
        "seed",
        "factor",
        "float",
        "budgets",
    }


@pytest.fixture
def small_study(monkeypatch):
    """Two networks in the main setting, one other setting, and one network that is measured further."""
    monkeypatch.setattr(results_study, "TIERS", ((REFERENCE, "dense"),))
    monkeypatch.setattr(results_study, "FURTHER", ("dense",))
    monkeypatch.setattr(results_study, "SETTINGS", ("longer",))
    monkeypatch.setattr(results_study, "names_in", lambda setting: [f"{setting}/dense"])


def stand_in(run, directory):
    """A result whose depth says how good a factor of the rates is: 2 is best for dense, 1 for any other network."""
    best = 2.0 if run.network == "dense" else 1.0
    depth = 0.5 + abs(run.factor - best) + run.seed / 1000
    return {
        "name": run.name, "seed": run.seed, "factor": run.factor, "training_seconds": 10, "macs": {"depth": 1},
        "parameters": 1, "float": {"depth": depth},
    }  # fmt: skip


def test_networks_are_tuned_before_they_are_run_with_every_seed(small_study, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(results_study, "execute", lambda run, to: order.append(run) or stand_in(run, to))
    monkeypatch.setattr(results_study, "measure_further", lambda run, to: order.append(run) or stand_in(run, to))
    console = Console(file=io.StringIO())
    study = execute_all(tmp_path, in_this_process(), console)
    tunings = 2 * len(TUNING_SEEDS) * len(FACTORS) + 2
    tuning, rest = order[:tunings], order[tunings:]
    assert {(run.name, run.seed, run.factor) for run in tuning[:-2]} == {
        (name, seed, factor) for name in (REFERENCE, "dense") for seed in TUNING_SEEDS for factor in FACTORS
    }
    # dense is best at the greatest of these, so twice of it is tried
    assert [(run.name, run.seed, run.factor) for run in tuning[-2:]] == [("dense", seed, 4.0) for seed in TUNING_SEEDS]
    assert not set(TUNING_SEEDS) & set(SEEDS) and len(SEEDS) == 10
    assert [(run.name, run.factor) for run in rest[:2]] == [(REFERENCE, 1.0), ("dense", 2.0)]  # seed by seed
    assert [run.seed for run in rest[:20]] == [seed for seed in SEEDS for _ in range(2)]
    assert {(run.name, run.factor) for run in rest[20:30]} == {("longer/dense", 2.0)}
    assert [run.name for run in rest[30:]] == ["dense"] * 10
    assert study.factor("dense") == 2.0 and study.factor(REFERENCE) == 1.0
    assert study.seeds(REFERENCE, "dense") == list(SEEDS) == study.further_of("dense")
    monkeypatch.setattr(results_study, "execute", None)
    monkeypatch.setattr(results_study, "measure_further", None)
    again = execute_all(tmp_path, in_this_process(), console)
    assert (again.runs, again.further, again.tuning) == (study.runs, study.further, study.tuning)


def test_what_is_done_is_gathered_without_running(tmp_path):
    assert not gather(tmp_path).runs
    for run in tuning_runs("dense", tmp_path):
        keep_result(tmp_path / f"{run_key(run)}.json", stand_in(run, None))
    beyond = tuning_runs("dense", tmp_path)[-2:]
    assert [run.factor for run in beyond] == [4.0, 4.0]
    keep_result(tmp_path / f"{run_key(beyond[0])}.json", stand_in(beyond[0], None))
    for run in (SeededRun("dense", 3, 2.0), SeededRun("dense", 4, 1.0)):
        keep_result(tmp_path / f"{run_key(run)}.json", stand_in(run, None))
        keep_result(tmp_path / f"{further_key(run)}.json", stand_in(run, None))
    assert not gather(tmp_path).tuning and not gather(tmp_path).runs  # not tuned yet, so it is open which runs count
    keep_result(tmp_path / f"{run_key(beyond[1])}.json", stand_in(beyond[1], None))
    study = gather(tmp_path)
    assert study.seeds("dense") == [3] == study.further_of("dense")  # the other one has rates that were not chosen


def test_a_run_that_fails_ends_all(tiny, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise UserError("no room")

    monkeypatch.setattr(results_study, "train", refuse)
    with pytest.raises(UserError, match="no room"):
        execute_all(tmp_path, in_this_process(), Console(file=io.StringIO()))
