"""A grid of settings of one recipe: a network trained and measured for each point, as a campaign that resumes."""

import csv
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib
import torch
from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key, keep_result
from moesaic.campaign.progress import say
from moesaic.campaign.workers import OpenWorkers
from moesaic.errors import UserError
from moesaic.files import write_file
from moesaic.model.evaluation.evaluate import compare
from moesaic.model.evaluation.figures_file import finite
from moesaic.model.input_pipeline.held_out import calibration_images, open_validation
from moesaic.model.quantisation.post_training import CALIBRATION_SCENES, integer_network
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.recipes.settings import load_recipe_with
from moesaic.model.training.run_folder import CHECKPOINT, LOG
from moesaic.model.training.train import train
from moesaic.pages.number_formats import decimals
from moesaic.pages.tables import Column, Table

MEASUREMENTS = 1
"""Version of `run_trial`; trials measured by another version are measured again without training."""


@dataclass(frozen=True)
class Trial:
    """A point of the grid. settings: what is special about it, as `--set` takes it. recipe: with these settings."""

    settings: tuple[str, ...]
    recipe: Recipe

    @property
    def title(self) -> str:
        """The settings in a row."""
        return ", ".join(self.settings) or "the recipe"


def axis(text: str) -> tuple[str, ...]:
    """The settings of SECTION.ENTRY=VALUE,VALUE,... or SECTION.ENTRY=[VALUE, ...], the second for values that contain commas.

    UserError if there are none, or one comes twice.
    """
    entry, equals, values = text.partition("=")
    if not equals or not values.strip():
        raise UserError(f"--vary {text}: state SECTION.ENTRY=VALUE,VALUE such as training.seed=0,1,2")
    settings = tuple(f"{entry.strip()}={value}" for value in _values(values.strip()))
    if twice := [setting for setting in settings if settings.count(setting) > 1]:
        raise UserError(f"--vary {text}: {twice[0]} comes {settings.count(twice[0])} times, once is enough")
    return settings


def _values(text: str) -> list[str]:
    if text.startswith("["):
        try:
            found = tomllib.loads(f"values = {text}")["values"]
        except tomllib.TOMLDecodeError:
            found = None
        if isinstance(found, list) and found:
            return [json.dumps(value) for value in found]
    return [value.strip() for value in text.split(",") if value.strip()]


def grid(recipe: str, settings: Sequence[str], axes: Sequence[Sequence[str]]) -> list[Trial]:
    """Every combination of a setting of each axis. recipe, settings: see `load_recipe_with`. UserError if one gives no recipe."""
    return [
        Trial(point, load_recipe_with(recipe, [*settings, *point]))
        for point in (tuple(point) for point in itertools.product(*axes))
    ]


def run_trial(recipe: Recipe, folder: Path, integers: bool, data_root: Path | None) -> dict:
    """Train unless the folder has the finished checkpoint, and measure on held-out images. What `compare` gives, with all figures; one that
    was not measured is None.

    folder: of the run, see `moesaic.model.training.run_folder`, on the machine that trains. integers: also measure the network that
    post-training quantisation gives.
    """
    torch.set_num_threads(1)
    checkpoint = folder / CHECKPOINT
    folder.mkdir(parents=True, exist_ok=True)
    say("training")
    model = train(
        recipe, checkpoint, resume=checkpoint.is_file(), console=Console(quiet=True), data_root=data_root,
        table=folder / LOG, folder=folder,
    ).eval()  # fmt: skip
    say("measuring")
    network = None
    if integers and recipe.model.has_integer_form:
        network = integer_network(model, calibration_images(recipe, data_root, CALIBRATION_SCENES))
    return finite(compare(model, network, open_validation(recipe, data_root), everything=True))


def sweep(
    trials: Sequence[Trial],
    directory: Path,
    workers: OpenWorkers,
    console: Console,
    *,
    integers: bool = False,
    data_root: Path | None = None,
) -> list[dict[str, dict]]:
    """The figures of every trial, in their order; sweep.json and sweep.csv have them, too, and are written anew after each.

    directory: of a folder for each trial, named by its key, and of kept figures. UserError if it cannot be written or a recipe cannot run.
    """
    keys = [
        content_key({"recipe": trial.recipe.to_dict(), "integers": integers, "measurements": MEASUREMENTS})
        for trial in trials
    ]
    cases = [
        Case(key, trial.title, run_trial, (trial.recipe, directory / _folder(trial), integers, data_root))
        for key, trial in zip(keys, trials)
    ]
    found: dict[str, dict] = {}
    outcomes = run_campaign(
        cases, workers, kept=directory / "figures", console=console, title="trials", total=len(cases)
    )
    for outcome in outcomes:
        found[outcome.case.key] = outcome.checked()
        values = ", ".join(f"{task} {metric} {value:.4f}" for task, metric, value in _main(outcome.result))
        console.print(f"{outcome.case.title}: {values}", highlight=False)
        _write(directory, trials, keys, found)
    return [found[key] for key in keys]


def _folder(trial: Trial) -> str:
    return f"run-{content_key(trial.recipe.to_dict())}"


def _main(figures: Mapping[str, Mapping]) -> list[tuple[str, str, float]]:
    """Task, metric and value in float of the main metric of every task that has one."""
    return [(task, one["metric"], one["float"]) for task, one in figures.items() if one.get("float") is not None]


def _write(directory: Path, trials: Sequence[Trial], keys: Sequence[str], found: Mapping[str, dict]) -> None:
    done = [(trial, found[key]) for key, trial in zip(keys, trials) if key in found]
    entries = [
        {"settings": list(trial.settings), "folder": _folder(trial), "tasks": figures, "recipe": trial.recipe.to_dict()}
        for trial, figures in done
    ]
    keep_result(directory / "sweep.json", entries)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [*(setting.partition("=")[0] for setting in trials[0].settings), "task", "metric", "float", "integer"]
    )
    for trial, figures in done:
        values = [setting.partition("=")[2] for setting in trial.settings]
        for task, main in figures.items():
            for one in (main, *main.get("further", ())):
                writer.writerow([*values, task, one["metric"], one.get("float"), one.get("integer")])
    write_file(directory / "sweep.csv", text.getvalue().encode())


def sweep_table(trials: Sequence[Trial], figures: Sequence[Mapping[str, Mapping]]) -> Table:
    """A row for each trial: the values of its settings, and the main metric of every task, in float and, if measured, in integers."""
    columns = [Column(setting.partition("=")[0]) for setting in trials[0].settings]
    shown: list[tuple[str, str]] = []
    for task, values in figures[0].items():
        arrow = "↑" if values["higher_is_better"] else "↓"
        for network in ("float", "integer"):
            if network in values:
                shown.append((task, network))
                columns.append(Column(f"{task}, {values['metric']} {arrow}, {network}", decimals(4)))
    rows = [
        [
            *(setting.partition("=")[2] for setting in trial.settings),
            *(values[task].get(network) for task, network in shown),
        ]
        for trial, values in zip(trials, figures)
    ]
    return Table(columns, rows)
