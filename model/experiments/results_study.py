"""The runs behind docs/results.md; `moesaic results` trains and measures those that are missing.

What is run is in `moesaic.model.experiments.results_design`. Checkpoints and measurements are kept in a directory under a hash of the
recipe, so that a second start resumes where the first one stopped, and a changed recipe is run anew.
"""

import copy
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import kept_result
from moesaic.campaign.progress import say
from moesaic.campaign.workers import OpenWorkers
from moesaic.errors import InternalError
from moesaic.model.data.samples import Dataset
from moesaic.model.evaluation.agreement import AGREEMENT_SCENES, top_k_agreement
from moesaic.model.evaluation.evaluate import measure_float, measure_integer
from moesaic.model.experiments.results_design import (
    BUDGETED,
    FURTHER,
    QUANTISED,
    REFERENCE,
    SEEDS,
    SETTINGS,
    TIERS,
    SeededRun,
    names_in,
)
from moesaic.model.experiments.results_records import Study, further_key, gather, read_tuning, run_key, tuning_runs
from moesaic.model.experiments.results_sections import BUDGETS, EXPERT_BITS, FINE_TUNING_STEPS, HALF
from moesaic.model.finetuning.pathway_training import fine_tune_on_pathways
from moesaic.model.input_pipeline.held_out import first_images, open_validation, training_scenes
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.alternatives import pathways_within
from moesaic.model.pathways.budgets import Budget
from moesaic.model.pathways.pathway import on_pathways, whole_network
from moesaic.model.pathways.usage import measure_usage
from moesaic.model.quantisation.post_training import CALIBRATION_SCENES, calibrated, integer_network
from moesaic.model.quantisation.settings import PtqSettings
from moesaic.model.training.train import train
from moesaic.spec.cost import dram_bytes, frame_macs


def execute(run: SeededRun, directory: Path) -> dict:
    """Train a run unless its checkpoint is there, and measure it in float.

    Returns the run ("name", "seed", "factor"), its metric by task ("float"), MACs of a frame by task ("macs"), the number of weights
    ("parameters"), and the seconds of processor time that training took, None if it was interrupted ("training_seconds"). directory: of
    checkpoints, on the machine that trains.
    """
    model, seconds = _trained(run, directory)
    c = model.configuration
    macs = {task: frame_macs(c.architecture, c.bundle_task(task, c.whole_pathways[task])) for task in c.task_names}
    say("measuring")
    return {
        "name": run.name,
        "seed": run.seed,
        "factor": run.factor,
        "training_seconds": seconds,
        "macs": macs,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "float": measure_float(model, open_validation(run.recipe, None)),
    }


def _trained(run: SeededRun, directory: Path) -> tuple[M3ViT, int | None]:
    torch.set_num_threads(1)
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint = directory / f"{run_key(run)}.safetensors"
    resumed, started = checkpoint.is_file(), time.process_time()
    say("training")
    model = train(run.recipe, checkpoint, resume=resumed, console=Console(quiet=True))
    seconds = kept_result(
        directory / f"{run_key(run)}-seconds.json",
        lambda: None if resumed else round(time.process_time() - started),
    )
    return model.eval(), seconds


def measure_further(run: SeededRun, directory: Path) -> dict:
    """What the page shows of a run beside `execute`: metrics in integers, with experts of 4 bits, and with fewer experts.

    The run is trained if its checkpoint is not in `directory`. "float" has its metrics in float.
    """
    model, _ = _trained(run, directory)
    say("measuring")
    recipe, held_out = run.recipe, open_validation(run.recipe, None)
    seen = training_scenes(recipe, 0, CALIBRATION_SCENES).images
    result: dict = {
        "name": run.name,
        "seed": run.seed,
        "factor": run.factor,
        "float": measure_float(model, held_out),
    }
    if run.name in QUANTISED:
        network = integer_network(model, seen)
        result["integer"] = measure_integer(network, recipe.model, held_out)
        if run.name == REFERENCE:
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
        if run.name == REFERENCE:
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


def execute_all(directory: Path, workers: OpenWorkers, console: Console) -> Study:
    """Make what is missing of the study, in the order of its plan, each run on one thread; returns all of it.

    directory: of checkpoints and measurements; those that are there are not made again. UserError if it is not writable.
    """

    def campaign(cases: Iterable[Case], title: str) -> None:
        cases = list(cases)
        for outcome in run_campaign(cases, workers, kept=directory, console=console, title=title, total=len(cases)):
            outcome.checked()
            if not outcome.kept:
                console.print(f"{outcome.case.title}: {outcome.result['float']}", highlight=False)

    def seeds_of(names: Iterable[str]) -> list[SeededRun]:
        factors = {name: _chosen_factor(name.rpartition("/")[2], directory) for name in names}
        return [SeededRun(name, seed, factor) for seed in SEEDS for name, factor in factors.items()]

    def trainings(runs: Iterable[SeededRun]) -> list[Case]:
        return [Case(run_key(run), run.title, execute, (run, directory)) for run in runs]

    for tier in TIERS:
        while not all(read_tuning(network, directory) for network in tier):
            campaign(trainings(run for network in tier for run in tuning_runs(network, directory)), "tuning")
        campaign(trainings(seeds_of(tier)), "runs")
    for setting in SETTINGS:
        campaign(trainings(seeds_of(names_in(setting))), setting)
    further = (Case(further_key(run), run.title, measure_further, (run, directory)) for run in seeds_of(FURTHER))
    campaign(further, "further measurements")
    return gather(directory)


def _chosen_factor(network: str, directory: Path) -> float:
    gains = read_tuning(network, directory)
    if gains is None:
        raise InternalError(f"the tuning of {network} is not in {directory}, although it has just been run")
    return max(gains, key=gains.__getitem__)
