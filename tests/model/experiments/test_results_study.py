"""The runner keeps what is done, and the page says what was measured."""

import dataclasses
import io

import pytest
from rich.console import Console

from moesaic.campaign.workers import in_this_process
from moesaic.errors import UserError
from moesaic.model.experiments import results_study
from moesaic.model.experiments.results_page import BUDGETS, EXPERT_BITS, HALF, results_markdown
from moesaic.model.experiments.results_study import BUDGETED, NETWORKS, QUANTISED, SeededRun, every_run, execute_all
from moesaic.model.recipes.recipe import load_recipe


def measurements() -> list[dict]:
    made = []
    for run in every_run():
        tasks, multi = run.recipe.model.task_names, not run.name.startswith("single-task")
        gain = 1.1 if multi and run.name != "dense" else 1.0
        values = {"segmentation": 0.5 * gain, "depth": 0.8 / gain, "normals": 20 / gain}
        result = {
            "name": run.name,
            "seed": run.seed,
            "training_seconds": 100,
            "macs": dict.fromkeys(tasks, 10_000_000),
            "parameters": 250_000,
            "float": {task: values[task] for task in tasks},
        }
        if run.name in QUANTISED:
            result["integer"] = result["float"] | {"depth": result["float"]["depth"] * 1.002}
        if run.name == NETWORKS[0]:
            result |= {"agreement": 0.99, "all_trained_on": result["float"], "half_trained_on": result["float"]}
            four = {"integer": result["float"], "four_bit_share": 0.625, "dram_bytes": 250_000.0, "lost": 0.875}
            result["expert_bits"] = dict.fromkeys(EXPERT_BITS, four) | {
                "4": four | {"integer": result["integer"], "lost": None, "four_bit_share": 1.0}
            }
        if run.name in BUDGETED:
            half = result["float"] | {"depth": result["float"]["depth"] * 1.05}
            result["budgets"] = dict.fromkeys(BUDGETS, result["float"]) | {HALF: half}
        made.append(result)
    return made


EXPERTS = {
    "recipe": "m3vit_tiny",
    "batch": 4,
    "repeats": 7,
    "threads": 2,
    "torch": "9.9",
    "training": {"title": "A step (ms)", "columns": ["part", "ratio"], "rows": [["passes", 1.154]]},
    "layer": {"title": "A layer (tokens / s)", "columns": ["form", "forward"], "rows": [["a loop", 46739.7]]},
    "tasks": {
        "title": "Tasks, one image",
        "columns": ["task", "time to all"],
        "rows": [["depth", 0.5117], ["all", 1.0]],
    },
}


def test_every_network_and_every_single_task_has_three_runs():
    runs = every_run()
    assert len(runs) == len({run.key for run in runs}) == 24
    assert {run.seed for run in runs} == {0, 1, 2}


def test_the_key_is_of_the_whole_recipe(monkeypatch):
    key = SeededRun("dense", 0).key
    changed = load_recipe("results/dense")
    changed = dataclasses.replace(changed, training=dataclasses.replace(changed.training, weight_decay=0.5))
    monkeypatch.setattr(results_study, "load_recipe", lambda name: changed)
    assert SeededRun("dense", 0).key != key


def test_the_page_compares_with_single_tasks_and_with_float():
    text = results_markdown(measurements(), EXPERTS)
    gain = 100 * (0.1 + 2 * (1 - 1 / 1.1)) / 3
    row = next(line for line in text.splitlines() if line.startswith("| M³ViT, multi-gate | 10.00 M"))
    assert f"**{gain:.2f} ± 0.00**" in row
    assert "**0.00 ± 0.00**" in next(
        line for line in text.splitlines() if line.startswith("| dense multi-task ViT | 10.00")
    )
    depth = [line for line in text.splitlines() if line.startswith("| M³ViT, multi-gate | depth")]
    assert depth[0].endswith("| 0.20 ± 0.00 |")
    assert "99.00 ± 0.00 %" in text


def test_the_page_compares_half_of_the_experts_with_all():
    lines = results_markdown(measurements(), EXPERTS).splitlines()
    assert next(line for line in lines if line.startswith("| all, 8 experts | depth")).endswith("| 5.00 ± 0.00 |")
    assert next(line for line in lines if line.startswith("| 8, 4 |")).startswith("| 8, 4 | 1.67 ± 0.00 |")


def test_the_page_compares_bits_of_experts():
    lines = results_markdown(measurements(), EXPERTS).splitlines()
    found = [line for line in lines if line.startswith(tuple(f"| {name} |" for name in EXPERT_BITS))]
    assert len(found) == len(EXPERT_BITS)
    assert found[1] == "| 4 | 100 ± 0 | 250 ± 0 | – | 0.00 ± 0.00 | 0.20 ± 0.00 | 0.00 ± 0.00 |"
    assert found[2].startswith("| auto, 0.5 dB | 62 ± 0 | 250 ± 0 | 0.88 ± 0.00 | 0.00")


def test_the_page_has_what_experts_cost_and_how_it_was_timed():
    text = results_markdown(measurements(), EXPERTS)
    assert "`m3vit_tiny`, weights not trained, 2 threads of PyTorch 9.9, the median of 7" in text
    sections = text.split("\n## ")[-3:]
    assert [section.partition("\n")[0] for section in sections] == [
        "What experts cost in training",
        "The expert layer and simpler forms of it",
        "One task alone",
    ]
    for section, title, row in zip(
        sections,
        ("A step (ms)", "A layer (tokens / s)", "Tasks, one image"),
        ("| passes | 1.15 |", "| a loop | 46,740 |", "| depth | 0.51 |\n| all | 1.00 |"),
    ):
        assert f"\n{title}" in section and row in section


@pytest.fixture
def tiny(monkeypatch):
    recipe = load_recipe("results/multi-gate")
    model = dataclasses.replace(
        recipe.model, image_height=16, image_width=16, width=16, depth=2, mlp_hidden=32, expert_hidden=8
    )
    training = dataclasses.replace(recipe.training, steps=2, batch=2, warmup=1, pool=4)
    data = dataclasses.replace(recipe.data, validation=4)
    recipe = dataclasses.replace(recipe, model=model, training=training, data=data)
    monkeypatch.setattr(results_study, "load_recipe", lambda name: recipe)
    monkeypatch.setattr(results_study, "FINE_TUNING_STEPS", 1)
    return recipe


def test_runs_that_are_done_are_not_done_again(tiny, tmp_path, monkeypatch):
    run, console = SeededRun("multi-gate", 0), Console(file=io.StringIO())
    monkeypatch.setattr(results_study, "every_run", lambda: [run])
    (first,) = execute_all(tmp_path, in_this_process(), console)
    assert first["macs"]["depth"] > 0
    assert first.keys() >= {"float", "integer", "agreement", "budgets", "half_trained_on", "parameters"}
    bits = first["expert_bits"]
    assert bits["8"]["integer"] == first["integer"] and not bits["8"]["four_bit_share"]
    assert bits["4"]["four_bit_share"] == 1 and bits["4"]["dram_bytes"] < bits["8"]["dram_bytes"]
    for loss in (0.5, 1, 2):
        found = bits[f"auto, {loss} dB"]
        assert found["lost"] <= loss and bits["4"]["dram_bytes"] <= found["dram_bytes"] <= bits["8"]["dram_bytes"]
    with monkeypatch.context() as patch:
        patch.setattr(results_study, "train", None)
        assert execute_all(tmp_path, in_this_process(), console) == [first]
    # Measured in another way, it is measured again, and the seconds stay those of its training.
    (tmp_path / f"{run.key}-seconds.json").write_text("77")
    monkeypatch.setattr(results_study, "MEASUREMENTS", results_study.MEASUREMENTS + 1)
    assert execute_all(tmp_path, in_this_process(), console) == [first | {"training_seconds": 77}]


def test_a_run_that_fails_ends_all(tiny, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise UserError("no room")

    monkeypatch.setattr(results_study, "train", refuse)
    with pytest.raises(UserError, match="no room"):
        execute_all(tmp_path, in_this_process(), Console(file=io.StringIO()))
