"""The experiments behind docs/results.md: `python -m moesaic.model.experiments.results` trains what is missing and writes the page.

Every run is a recipe and a seed. Its checkpoint and its measurements are kept in the directory under the hash of its recipe, so
that a second start goes on where the first one stopped, and a recipe that changed is run anew. So are the times of
`moesaic.model.experiments.expert_timing`, which are taken when all trainings are done, alone.
"""

import argparse
import copy
import dataclasses
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from moesaic.argument_types import positive
from moesaic.errors import UserError
from moesaic.files import require_writable
from moesaic.model.data.image_sources import open_validation, training_scenes
from moesaic.model.evaluate import measure_float, measure_integer, top_k_agreement
from moesaic.model.experiments.expert_timing import Settings, measure_once
from moesaic.model.experiments.kept_measurements import content_key, keep_measurements, read_measurements
from moesaic.model.experiments.results_page import BUDGETED, BUDGETS, FINE_TUNING_STEPS, HALF, write_page
from moesaic.model.export import AGREEMENT_SCENES, CALIBRATION_SCENES, integer_network
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.alternatives import apply_pathways, current_pathways, pathways_within
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.pruning import fine_tune
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.recipes.recipe import Recipe, load_recipe
from moesaic.model.training.train import train
from moesaic.spec.cost import frame_macs

SEEDS = (0, 1, 2)
NETWORKS = ("multi-gate", "sampled-budgets", "single-gate", "task-conditioned", "dense")
"""Recipes in recipes/results that have every task."""
QUANTISED = ("multi-gate", "dense")
"""Those of them that are measured in integers too."""
MEASUREMENTS = 4
"""Number of what `measure` does; checkpoints that were measured otherwise are measured again, without training."""


@dataclass(frozen=True)
class Run:
    """One training."""

    name: str
    seed: int

    @property
    def recipe(self) -> Recipe:
        recipe = load_recipe(f"results/{self.name}")
        return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, seed=self.seed))

    @property
    def key(self) -> str:
        """Changes with every entry of the recipe."""
        return f"{self.name}-{self.seed}-{content_key(self.recipe.to_dict())}"


def every_run() -> list[Run]:
    """All runs of the page; those that take long come first."""
    single = [f"single-task-{task}" for task in load_recipe(f"results/{NETWORKS[0]}").model.task_names]
    return [Run(name, seed) for name in (*NETWORKS, *single) for seed in SEEDS]


def execute(run: Run, directory: Path) -> dict:
    """Train and measure, unless that is done already; the run's measurements, as they are in its JSON file."""
    result_path = directory / f"{run.key}.json"
    done = read_measurements(result_path)
    if done.get("measurements") == MEASUREMENTS:
        return done
    torch.set_num_threads(1)
    checkpoint, started = directory / f"{run.key}.safetensors", time.process_time()
    model = train(run.recipe, checkpoint, resume=checkpoint.is_file(), console=Console(quiet=True))
    seconds = done.get("training_seconds", round(time.process_time() - started))
    result = {"name": run.name, "seed": run.seed, "measurements": MEASUREMENTS, "training_seconds": seconds}
    result |= measure(run, model.eval())
    keep_measurements(result_path, result)
    return result


def measure(run: Run, model: M3ViT) -> dict:
    """By task: MACs, metric in float and, for some networks, in integers and with fewer experts. Changes the model."""
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
        result["agreement"] = top_k_agreement(model, network, held_out.images[:AGREEMENT_SCENES])
    if run.name in BUDGETED:
        usage, whole = measure_usage(model, seen), current_pathways(model)
        result["budgets"] = {}
        for text in BUDGETS:
            apply_pathways(model, pathways_within(model, usage, Budget.parse(text)))
            result["budgets"][text] = measure_float(model, held_out)
        if run.name == NETWORKS[0]:
            half = pathways_within(model, usage, Budget.parse(HALF))
            for name, pathways in (("all_trained_on", whole), ("half_trained_on", half)):
                one = copy.deepcopy(model)
                fine_tune(one, recipe, [pathways], FINE_TUNING_STEPS)
                result[name] = measure_float(one, held_out)
    return result


def execute_all(directory: Path, jobs: int, console: Console) -> list[dict]:
    """Every run's measurements; `jobs` processes work side by side, one thread each."""
    require_writable(directory)
    directory.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    results, runs = {}, every_run()
    processes = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress, processes:
        bar = progress.add_task("runs", total=len(runs))
        waiting = {processes.submit(execute, run, directory): run for run in runs}
        try:
            for future in as_completed(waiting):
                results[waiting[future]] = result = future.result()
                progress.console.print(f"{result['name']}, seed {result['seed']}: {result['float']}")
                progress.update(bar, advance=1)
        except BaseException:
            processes.shutdown(wait=False, cancel_futures=True)
            raise
    return [results[run] for run in runs]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m moesaic.model.experiments.results", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--jobs", type=positive, default=2, help="processes that train side by side (default 2)")
    parser.add_argument("--directory", type=Path, default=Path("build/results"), help="where runs are kept")
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"), help="what to write")
    arguments = parser.parse_args()
    console = Console()
    try:
        results = execute_all(arguments.directory, arguments.jobs, console)
        keep_measurements(arguments.directory / "results.json", results)
        experts = measure_once(Settings(), arguments.directory, console)
        write_page(arguments.page, results, experts)
    except UserError as error:
        print(f"results: {error}", file=sys.stderr)
        return 2
    console.print(f"results: {arguments.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
