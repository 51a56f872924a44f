"""A study whose figures are made up, for tests of its page."""

from collections.abc import Callable, Mapping

from moesaic.model.experiments.results_design import (
    BUDGETED,
    FACTORS,
    FURTHER,
    NETWORKS,
    QUANTISED,
    REFERENCE,
    SEEDS,
    SETTINGS,
    names_in,
)
from moesaic.model.experiments.results_records import Study
from moesaic.model.experiments.results_sections import BUDGETS, EXPERT_BITS, HALF
from moesaic.model.recipes.recipe import load_recipe

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
LOWER = {"depth": 0.8, "normals": 20.0}
HIGHER = {"segmentation": 0.5, "parts": 0.4, "saliency": 0.6, "edges": 0.3}


def metrics(tasks, gain, seed=0):
    """Metrics that are better than those of gain 1 by this factor in every task, and move with the seed alike for every network."""
    level = 1 + seed / 50
    return {task: HIGHER[task] * level * gain if task in HIGHER else LOWER[task] / level / gain for task in tasks}


def run(name, seed, gain=1.0):
    tasks = load_recipe(f"results/{name}").model.task_names
    return {
        "name": name, "seed": seed, "factor": 1.0, "training_seconds": 100, "macs": dict.fromkeys(tasks, 10_000_000),
        "parameters": 250_000, "float": metrics(tasks, gain, seed),
    }  # fmt: skip


def study(gains: Mapping[str, float | Callable[[int], float]] | None = None, seeds=SEEDS, further=True):
    """gains: by recipe name, how much better than the others, a factor or a function of the seed; 1 unless it says otherwise."""
    made = Study(tuning={name: {factor: -abs(factor - 1) for factor in FACTORS} for name in NETWORKS})
    for name in (name for setting in (None, *SETTINGS) for name in names_in(setting)):
        for seed in seeds:
            gain = (gains or {}).get(name, 1.0)
            made.runs[name, seed] = run(name, seed, gain if isinstance(gain, float | int) else gain(seed))
    for name in FURTHER if further else ():
        for seed in seeds:
            made.further[name, seed] = measured_further(name, made.runs[name, seed]["float"])
    return made


def measured_further(name, values):
    result = {"name": name, "float": values}
    if name in QUANTISED:
        result["integer"] = values | {"depth": values["depth"] * 1.002}
    if name == REFERENCE:
        result |= {"agreement": 0.99, "all_trained_on": values, "half_trained_on": values}
        four = {"integer": values, "four_bit_share": 0.625, "dram_bytes": 250_000.0, "lost": 0.875}
        result["expert_bits"] = dict.fromkeys(EXPERT_BITS, four) | {
            "4": four | {"integer": result["integer"], "lost": None, "four_bit_share": 1.0}
        }
    if name in BUDGETED:
        worse = 1.05 if name == REFERENCE else 1.02
        result["budgets"] = dict.fromkeys(BUDGETS, values) | {HALF: values | {"depth": values["depth"] * worse}}
    return result
