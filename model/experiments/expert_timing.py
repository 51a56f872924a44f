"""Speed of the mixture of experts: compared with a dense network, with simpler implementations, and for one task against all.

Everything that is compared runs in one process, each form once per repeat in turn, so that other load on the machine affects all of
them alike; figures are medians. `moesaic bench-experts` measures anew and keeps the tables; `moesaic results` puts the kept tables
into docs/results.md, and measures first if there are none.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from moesaic.campaign.kept_results import keep_result, read_result
from moesaic.errors import UserError
from moesaic.files import require_writable
from moesaic.model.experiments.timing_settings import TimingSettings
from moesaic.model.experiments.timing_table import timing_table
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import ModelConfiguration, Recipe, load_recipe
from moesaic.model.training.optimizer import build_optimizers
from moesaic.pages.terminal import print_table
from moesaic.spec.bundle import Task, expected_tensors
from moesaic.spec.cost import frame_macs, weight_bytes

OPTIMIZERS = ("adamw", "muon")
MEASUREMENTS = 1
"""Version of `measure`; figures of another version are measured again."""


@dataclasses.dataclass(frozen=True)
class TableOfFigures:
    """A title, column names, and rows that start with text, followed by numbers in the units that title and columns name."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple]


def interleaved(
    forms: dict[str, Callable[[], None]],
    repeats: int,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each form by name; every repeat runs all forms once, after an uncounted warm-up round. clock: gives seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    bar = progress.add_task(", ".join(forms), total=(repeats + 1) * len(forms))
    for repeat in range(repeats + 1):
        for name, form in forms.items():
            start = clock()
            form()
            if repeat:
                seconds[name].append(clock() - start)
            progress.advance(bar)
    return {name: statistics.median(values) for name, values in seconds.items()}


def dense_of_equal_macs(configuration: ModelConfiguration) -> ModelConfiguration:
    """The dense network in which MLPs with as many hidden units as a token's experts together replace the experts.

    All MLPs of a network have the same size, so this must be that of the recipe's MLPs: UserError if it is not.
    """
    c = configuration
    if c.top_k * c.expert_hidden != c.mlp_hidden:
        sizes = f"{c.top_k} experts of {c.expert_hidden} units are not the MLP's {c.mlp_hidden}"
        raise UserError(f"{sizes}: choose a recipe in which they are, so that a dense network has as many MACs")
    return dataclasses.replace(c, experts=0, top_k=0, expert_hidden=0)


def specification_tasks(configuration: ModelConfiguration) -> dict[str, Task]:
    """The model's tasks with every expert, for the cost functions of `moesaic.spec.cost`."""
    return {name: configuration.bundle_task(name, whole) for name, whole in configuration.whole_pathways.items()}


class _TrainingStep:
    """A training step on random images in two parts: forward and backward pass, then clipping and the optimizers."""

    def __init__(self, recipe: Recipe, configuration: ModelConfiguration, batch: int, optimizer: str) -> None:
        torch.manual_seed(0)
        self.model = M3ViT(configuration)
        training = dataclasses.replace(recipe.training, optimizer=optimizer, precision="float32")
        self.optimizers = build_optimizers(self.model, training)
        self.images = torch.rand(batch, 3, configuration.image_height, configuration.image_width) * 2 - 1

    def passes(self) -> None:
        """Forward and backward pass."""
        noise = torch.Generator().manual_seed(0)
        tasks = self.model.configuration.task_names
        predictions, balance = self.model.training_forward(self.images, tasks, noise)
        (sum(p.square().mean() for p in predictions.values()) + 0.01 * balance).backward()

    def update(self) -> None:
        """Clip the gradients, run the optimizers and clear the gradients."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.model.zero_grad(set_to_none=True)

    def whole(self) -> None:
        self.passes()
        self.update()


def training_figures(recipe: Recipe, batch: int, repeats: int, progress: Progress) -> TableOfFigures:
    """Milliseconds of a training step for one task, with experts and dense at equal active MACs; batch: images per step.

    UserError as in `dense_of_equal_macs`.
    """
    one = dataclasses.replace(recipe.model, tasks=recipe.model.tasks[:1])
    dense = dense_of_equal_macs(one)
    macs = {
        "experts": frame_macs(one.architecture, next(iter(specification_tasks(one).values()))),
        "dense": frame_macs(dense.architecture, next(iter(specification_tasks(dense).values()))),
    }
    rows = []
    for optimizer in OPTIMIZERS:
        steps = {name: _TrainingStep(recipe, c, batch, optimizer) for name, c in (("experts", one), ("dense", dense))}
        forms = {f"{optimizer} {name}": step.whole for name, step in steps.items()}
        if optimizer == OPTIMIZERS[0]:

            def passes(step: _TrainingStep) -> Callable[[], None]:
                def run() -> None:
                    step.passes()
                    step.model.zero_grad(set_to_none=True)

                return run

            forms |= {f"passes {name}": passes(step) for name, step in steps.items()}
        seconds = interleaved(forms, repeats, progress)
        for part in dict.fromkeys(name.split()[0] for name in forms):
            experts, plain = seconds[f"{part} experts"], seconds[f"{part} dense"]
            what = "forward and backward pass" if part == "passes" else f"whole step with {part}"
            rows.append((what, 1e3 * experts, 1e3 * plain, experts / plain))
    rows.append(
        ("MACs of a frame, millions", macs["experts"] / 1e6, macs["dense"] / 1e6, macs["experts"] / macs["dense"])
    )
    title = f"One training step, one task, batch {batch} (ms)"
    return TableOfFigures(title, ("part", "experts", "dense", "ratio"), rows)


def loop_over_experts(moe: MoE, tokens: Tensor, scores: Tensor, chosen: Tensor) -> Tensor:
    """The mixture in its most obvious form: a mask and four autograd operations per expert.

    tokens: [N, D]. scores: [N, E]. chosen: bool [N, E]. Returns [N, D], in the dtype of the tokens.
    """
    result = torch.zeros_like(tokens)
    for e in range(len(moe.up_weight)):
        (token,) = chosen[:, e].nonzero(as_tuple=True)
        hidden = F.gelu(torch.addmm(moe.up_bias[e], tokens[token], moe.up_weight[e]))
        update = torch.addmm(moe.down_bias[e], hidden, moe.down_weight[e])
        result = result.index_add(0, token, update * scores[token, e, None])
    return result


def layer_figures(configuration: ModelConfiguration, batch: int, repeats: int, progress: Progress) -> TableOfFigures:
    """Tokens per second of the expert layer without routing, in three forms that give the same result; batch: images."""
    c = configuration
    torch.manual_seed(0)
    moe = MoE(c.width, c.expert_hidden, c.experts, c.top_k, ("task",))
    tokens = torch.randn(batch * c.tokens, c.width, requires_grad=True)
    scores, chosen, _ = (part.detach() for part in moe.route("task", tokens))
    ways: dict[str, Callable[[], Tensor]] = {
        "queue by queue": lambda: moe.mix_chosen(tokens, scores, chosen, None),
        "loop over experts": lambda: loop_over_experts(moe, tokens, scores, chosen),
        "all experts on all tokens": lambda: moe._mix_all(tokens, scores, chosen, None),
    }

    def inference(way: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode():
                way()

        return run

    def training(way: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            way().sum().backward()
            moe.zero_grad(set_to_none=True)
            tokens.grad = None

        return run

    forward = interleaved({name: inference(way) for name, way in ways.items()}, repeats, progress)
    both = interleaved({name: training(way) for name, way in ways.items()}, repeats, progress)
    best = both["queue by queue"]
    rows = [(name, len(tokens) / forward[name], len(tokens) / both[name], both[name] / best) for name in ways]
    title = f"Expert layer, {len(tokens)} tokens, {c.top_k} of {c.experts} experts (tokens / s)"
    return TableOfFigures(title, ("form", "forward", "forward and backward", "time to the first"), rows)


def task_figures(configuration: ModelConfiguration, repeats: int, progress: Progress) -> TableOfFigures:
    """Inference of one task against all tasks: MACs, the integer network's weights in MB, the float network's milliseconds per frame."""
    c = configuration
    torch.manual_seed(0)
    model, image = M3ViT(c).eval(), torch.rand(1, 3, c.image_height, c.image_width) * 2 - 1
    tasks, architecture = specification_tasks(c), c.architecture

    def inference(names: tuple[str, ...]) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode():
                model.training_forward(image, names)

        return run

    seconds = interleaved(
        {name: inference((name,)) for name in tasks} | {"all": inference(c.task_names)}, repeats, progress
    )
    first = min(architecture.moe_blocks, default=c.depth)
    shared = dataclasses.replace(architecture, depth=first, moe_blocks=())
    prefix = frame_macs(
        shared, Task("depth", 0, 1, 1.0, c.top_k, {})
    )  # up to the first choice of experts, computed once
    macs = {name: frame_macs(architecture, task) for name, task in tasks.items()}
    macs["all"] = sum(macs.values()) - (len(tasks) - 1) * prefix
    stored = {name: weight_bytes(architecture, task) for name, task in tasks.items()}
    stored["all"] = sum(
        math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in expected_tensors(architecture, tasks).values()
    )
    rows = [
        (name, macs[name] / 1e6, stored[name] / 1e6, 1e3 * seconds[name], seconds[name] / seconds["all"])
        for name in (*tasks, "all")
    ]
    columns = ("task", "million MACs", "weights, MB (int8)", "ms a frame", "time to all")
    return TableOfFigures("One task or all tasks, one image", columns, rows)


def measure(settings: TimingSettings, console: Console) -> dict:
    """The settings and the tables "training", "layer" and "tasks" in plain types, each table with the fields of `TableOfFigures`.

    The tables are also printed. UserError if a token's experts together are not as wide as the recipe's MLP.
    """
    recipe, batch, repeats = load_recipe(settings.recipe), settings.batch, settings.repeats
    torch.set_num_threads(settings.threads)
    with Progress(console=console, transient=True) as progress:
        tables = {
            "training": training_figures(recipe, batch, repeats, progress),
            "layer": layer_figures(recipe.model, batch, repeats, progress),
            "tasks": task_figures(recipe.model, repeats, progress),
        }
    plain = {name: dataclasses.asdict(table) for name, table in tables.items()}
    for figures in plain.values():
        print_table(console, timing_table(figures), figures["title"])
    made_by = {"measurements": MEASUREMENTS, "torch": torch.__version__}
    return made_by | dataclasses.asdict(settings) | plain


def measure_anew(settings: TimingSettings, directory: Path, console: Console) -> dict:
    """The result of `measure`, which replaces the one kept in the directory. UserError if the directory is not writable."""
    require_writable(directory)
    path = settings.path(directory)
    keep_result(path, measure(settings, console))
    return read_result(path)


def kept(settings: TimingSettings, directory: Path) -> dict | None:
    """The measurements of this version kept in the directory, None if there are none."""
    done = read_result(settings.path(directory)) or {}
    return done if done.get("measurements") == MEASUREMENTS else None


def measure_once(settings: TimingSettings, directory: Path, console: Console) -> dict:
    """The measurements kept in the directory; if there are none of this version, they are made and kept, see `measure_anew`."""
    return kept(settings, directory) or measure_anew(settings, directory, console)
