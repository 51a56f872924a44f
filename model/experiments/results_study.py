"""The runs behind docs/results.md; `moesaic results` trains and measures those that are missing.

A run is a recipe and a seed. Its checkpoint and measurements are kept in a directory under a hash of its recipe, so that a second
start resumes where the first one stopped, and a changed recipe is run anew.
"""

import copy
import dataclasses
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key, kept_result
from moesaic.campaign.progress import say
from moesaic.campaign.workers import OpenWorkers
from moesaic.model.data.samples import Dataset
from moesaic.model.evaluation.agreement import AGREEMENT_SCENES, top_k_agreement
from moesaic.model.evaluation.evaluate import measure_float, measure_integer
from moesaic.model.experiments.results_page import BUDGETED, BUDGETS, EXPERT_BITS, FINE_TUNING_STEPS, HALF
from moesaic.model.finetuning.pathway_training import fine_tune_on_pathways
from moesaic.model.input_pipeline.held_out import first_images, open_validation, training_scenes
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.alternatives import pathways_within
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.pathway import on_pathways, whole_network
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.quantisation.post_training import CALIBRATION_SCENES, calibrated, integer_network
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.recipes.recipe import Recipe, load_recipe
from moesaic.model.training.train import train
from moesaic.spec.cost import dram_bytes, frame_macs

SEEDS = (0, 1, 2)
NETWORKS = ("multi-gate", "sampled-budgets", "single-gate", "task-conditioned", "dense")
"""Recipes in recipes/results that have every task."""
QUANTISED = ("multi-gate", "dense")
"""Those that are also measured in integers."""
MEASUREMENTS = 5
"""Version of `measure`; checkpoints measured by another version are measured again without training."""


@dataclass(frozen=True)
class SeededRun:
    """One run. name: of a recipe in recipes/results; seed: replaces the recipe's."""

    name: str
    seed: int

    @property
    def recipe(self) -> Recipe:
        """The named recipe with this run's seed."""
        recipe = load_recipe(f"results/{self.name}")
        return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, seed=self.seed))

    @property
    def key(self) -> str:
        """File name stem for the run's results; it depends on every entry of the recipe."""
        return f"{self.name}-{self.seed}-{content_key(self.recipe.to_dict())}"


def every_run() -> list[SeededRun]:
    """All runs of the page, the slow ones first."""
    single = [f"single-task-{task}" for task in load_recipe(f"results/{NETWORKS[0]}").model.task_names]
    return [SeededRun(name, seed) for name in (*NETWORKS, *single) for seed in SEEDS]


def execute(run: SeededRun, directory: Path) -> dict:
    """Train a run unless its checkpoint is there, and measure it; see `measure`. directory: of checkpoints, on the machine that trains."""
    torch.set_num_threads(1)
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint, started = directory / f"{run.key}.safetensors", time.process_time()
    say("training")
    model = train(run.recipe, checkpoint, resume=checkpoint.is_file(), console=Console(quiet=True))
    seconds = kept_result(directory / f"{run.key}-seconds.json", lambda: round(time.process_time() - started))
    say("measuring")
    return {"name": run.name, "seed": run.seed, "training_seconds": seconds} | measure(run, model.eval())


def measure(run: SeededRun, model: M3ViT) -> dict:
    """MACs and float metrics by task, the number of parameters, and for some networks what else the page shows.

    That is metrics in integers, with experts of 4 bits, and with fewer experts.
    """
    recipe = run.recipe
    held_out = open_validation(recipe, None)
    seen = training_scenes(recipe, 0, CALIBRATION_SCENES).images
    network = integer_network(model, seen)
    result = {
        "macs": {
            task: frame_macs(network.architecture, network.tasks[task]) for task in model.configuration.task_names
        },
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "float": measure_float(model, held_out),
    }
    if run.name in QUANTISED:
        result["integer"] = measure_integer(network, recipe.model, held_out)
    if run.name == NETWORKS[0]:
        result["agreement"] = top_k_agreement(model, network, first_images(held_out, AGREEMENT_SCENES))
        result["expert_bits"] = {
            name: measure_bits(model, seen, held_out, settings) for name, settings in EXPERT_BITS.items()
        }
    if run.name in BUDGETED:
        usage = measure_usage(model, seen)
        result["budgets"] = {}
        for text in BUDGETS:
            with on_pathways(model, pathways_within(model, usage, Budget.parse(text))):
                result["budgets"][text] = measure_float(model, held_out)
        if run.name == NETWORKS[0]:
            half = pathways_within(model, usage, Budget.parse(HALF))
            for name, pathways in (("all_trained_on", whole_network(model)), ("half_trained_on", half)):
                one = copy.deepcopy(model)
                fine_tune_on_pathways(one, recipe, [pathways], FINE_TUNING_STEPS)
                with on_pathways(one, pathways):
                    result[name] = measure_float(one, held_out)
    return result


def measure_bits(model: M3ViT, seen: np.ndarray, held_out: Dataset, settings: PtqSettings) -> dict:
    """One choice of bits for the experts: the metrics by task ("integer"), and what it costs and saves.

    "four_bit_share": of all experts. "dram_bytes": of a frame, the mean over the tasks. "lost": decibels on calibration pictures, if the
    choice was made by measuring them. seen: calibration pictures, uint8 [N, height, width, 3].
    """
    rounded, scales = calibrated(model, seen, settings)
    network = integer_network(rounded, seen, scales=scales)
    four, every = (
        sum(map(len, experts.values())) for experts in (scales.four_bit_experts, network.architecture.all_experts)
    )
    measured = scales.measured_bits
    return {
        "integer": measure_integer(network, model.configuration, held_out),
        "four_bit_share": four / every,
        "dram_bytes": statistics.mean(dram_bytes(network.architecture, task) for task in network.tasks.values()),
        "lost": None if measured is None else measured.lost,
    }


def execute_all(directory: Path, workers: OpenWorkers, console: Console) -> list[dict]:
    """Every run's measurements, in the order of `every_run`, each made by one thread.

    directory: of checkpoints and measurements; those that are there are not made again. UserError if it is not writable.
    """
    runs = {f"{run.key}-{MEASUREMENTS}": run for run in every_run()}
    cases = [Case(key, f"{run.name}, seed {run.seed}", execute, (run, directory)) for key, run in runs.items()]
    results = {}
    for outcome in run_campaign(cases, workers, kept=directory, console=console, title="runs", total=len(cases)):
        results[outcome.case.key] = outcome.checked()
        console.print(f"{outcome.case.title}: {outcome.result['float']}")
    return [results[key] for key in runs]
