"""Speed of what feeds and divides a training: reading samples by worker processes, experts in each form, steps on several processes."""

import dataclasses
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.data.rendered import RenderedScenes
from moesaic.model.data.samples import Batch
from moesaic.model.evaluation.evaluate import measure_float
from moesaic.model.evaluation.share import Share
from moesaic.model.experiments.expert_timing import TableOfFigures, interleaved
from moesaic.model.input_pipeline.held_out import open_validation
from moesaic.model.input_pipeline.loader import Loader
from moesaic.model.input_pipeline.training_batches import open_loader, open_training, require_divisible
from moesaic.model.input_pipeline.worker_processes import in_order
from moesaic.model.network.moe import MoE
from moesaic.model.network.static_experts import static_mixture
from moesaic.model.recipes.recipe import DataConfiguration, Recipe
from moesaic.model.training.distributed import DistributedModel, Ranks
from moesaic.model.training.local_processes import run_on_ranks
from moesaic.model.training.train import Run, training_step

_WRITTEN = 32  # scenes of a data set that is written to be read
_WARM = 2  # steps that are not counted


def reading_figures(
    recipe: Recipe, root: Path | None, workers: Sequence[int], batches: int, console: Console
) -> TableOfFigures:
    """Augmented images a second that the training batches of a recipe give, by the number of worker processes; start-up is not counted.

    root: the directory of its data set. If it is None, 32 rendered scenes of the network's size are written to files and read from there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if root is None:
            recipe, root = dataclasses.replace(recipe, data=DataConfiguration("folder")), Path(scratch)
            write_folder(recipe, root / "train", _WRITTEN)
        loader, found = open_loader(recipe, root), []
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("reading", total=len(workers))
            for count in workers:
                found.append(_read(loader, batches, count))
                progress.advance(bar)
    first = found[0][0]
    rows = [(str(count), speed, speed / first, of_core) for count, (speed, of_core) in zip(workers, found)]
    size, kinds = f"{recipe.model.image_height}x{recipe.model.image_width}", len(recipe.model.tasks_with_truth)
    title = f"Reading and augmenting {recipe.data.name}, {size}, {kinds} tasks"
    columns = ("worker processes", "images a second", "to the first", "images a second of a core's time")
    return TableOfFigures(title, columns, rows)


@dataclasses.dataclass(frozen=True)
class _Timed:
    """Makes a loader's batches and says which process did, and how many seconds of a core it has used so far."""

    loader: Loader

    def batch(self, step: int) -> tuple[Batch, int, float]:
        batch = self.loader.batch(step)
        return batch, os.getpid(), time.process_time()


def _read(loader: Loader, batches: int, workers: int) -> tuple[float, float]:
    """Images a second, and a second of one core, of so many batches after what the workers had read ahead of the start."""
    before = _WARM + 2 * workers
    given = in_order(_Timed(loader).batch, range(before + batches), workers)
    used: dict[int, list[float]] = {}
    made = taken = 0
    start = own = 0.0
    for number, (batch, process, seconds) in enumerate(given):
        if process in used:  # the first batch of each only starts its clock
            made += len(batch)
        used.setdefault(process, []).append(seconds)
        taken += len(batch) if number >= before else 0
        if number == before - 1:
            start, own = time.perf_counter(), time.process_time()
    wall, receiving = time.perf_counter() - start, (time.process_time() - own if workers else 0.0)
    making = sum(of[-1] - of[0] for of in used.values())
    return taken / wall, 1 / (making / max(made, 1) + receiving / taken)


def write_folder(recipe: Recipe, place: Path, count: int) -> None:
    """Write rendered scenes of the network's size as a split of the data set `folder`, with the truth of the recipe's tasks.

    UserError for a task that scenes have no ground truth for.
    """
    from PIL import Image

    model = recipe.model
    scenes = RenderedScenes.of_split("train", count, model.image_height, model.image_width, recipe.training.seed).scenes
    noise = np.random.default_rng(0)  # so that images are not much smaller than photographs
    (place / "images").mkdir(parents=True)
    for number, image in enumerate(scenes.images):
        grained = np.clip(image + noise.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(grained).save(place / "images" / f"{number:04}.jpg", quality=95)
    for kind in dict.fromkeys(task.kind for task in model.tasks_with_truth):
        if kind not in scenes.targets:
            raise UserError(f"scenes have no truth for {kind}: give --data-root with a data set that has")
        (place / kind).mkdir()
        for number, target in enumerate(scenes.targets[kind]):
            path = place / kind / f"{number:04}"
            if target.dtype == np.uint8:
                Image.fromarray(target).save(path.with_suffix(".png"))
            else:
                axes = np.array([1, -1, -1] if kind == "normals" else 1, np.float32)  # those of the files
                np.save(path.with_suffix(".npy"), target * axes)


def expert_figures(recipe: Recipe, batch: int, repeats: int, console: Console) -> TableOfFigures:
    """Milliseconds of a core for an expert layer, forward and backward, in the forms for CPUs and for accelerators, all on this CPU."""
    c = recipe.model
    torch.manual_seed(0)
    moe = MoE(c.width, c.expert_hidden, c.experts, c.top_k, ("task",))
    tokens = torch.randn(batch * c.tokens, c.width, requires_grad=True)
    scores, chosen, _ = (part.detach() for part in moe.route("task", tokens))
    experts = (moe.up_weight, moe.up_bias, moe.down_weight, moe.down_bias)

    def static(grouped: bool) -> Tensor:
        return static_mixture(tokens, scores, chosen, c.top_k, experts, lambda shape: None, grouped)

    ways: dict[str, Callable[[], Tensor]] = {
        "queue by queue": lambda: moe.mix_chosen(tokens, scores, chosen, None),
        "blocks": lambda: static(False),
        "grouped product": lambda: static(True),
    }

    def passes(way: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            way().sum().backward()
            moe.zero_grad(set_to_none=True)
            tokens.grad = None

        return run

    with Progress(console=console, transient=True) as progress:
        forms = {name: passes(way) for name, way in ways.items()}
        seconds = interleaved(forms, repeats, progress, time.process_time)
    rows = [(name, 1e3 * value, value / seconds["queue by queue"]) for name, value in seconds.items()]
    title = f"Expert layer, {len(tokens)} tokens, {c.top_k} of {c.experts} experts, forward and backward"
    return TableOfFigures(title, ("form", "ms", "to the first"), rows)


def scaling_figures(
    recipe: Recipe,
    root: Path | None,
    processes: Sequence[int],
    steps: int,
    device: str,
    console: Console,
) -> TableOfFigures:
    """Milliseconds of a training step and seconds of a validation, by the number of processes of one thread that share the batch.

    The time of all cores tells what the division costs on a machine that has other work, of which more processes get a larger part.
    steps: of which the median is taken. device: see `choose_device`. UserError unless the batch divides.
    """
    training = dataclasses.replace(recipe.training, pool=min(recipe.training.pool, 4 * recipe.training.batch))
    recipe = dataclasses.replace(recipe, training=training)
    for ranks in processes:
        require_divisible(recipe, ranks)
    found = []
    with tempfile.TemporaryDirectory() as scratch, Progress(console=console, transient=True) as progress:
        bar = progress.add_task("training", total=len(processes))
        for ranks in processes:
            path = Path(scratch) / f"{ranks}.json"
            run_on_ranks(_measure_rank, ranks, recipe, root, steps, path, device=device)
            found.append(json.loads(path.read_text()))
            progress.advance(bar)
    rows = [
        (
            str(ranks),
            1e3 * step,
            found[0][0] / step,
            1e3 * step_core,
            validation,
            found[0][2] / validation,
            validation_core,
        )
        for ranks, (step, step_core, validation, validation_core) in zip(processes, found)
    ]
    title = f"Training and validation on several processes, batch {training.batch}, {recipe.data.validation or 'all'} held-out samples"
    columns = (
        "processes",
        "ms a step",
        "speed-up",
        "ms of all cores",
        "validation, s",
        "speed-up of it",
        "s of all cores",
    )
    return TableOfFigures(title, columns, rows)


def _measure_rank(ranks: Ranks, recipe: Recipe, root: Path | None, steps: int, path: Path) -> None:
    """Write the median seconds of a step and those of a validation, each with the seconds of all cores; the first rank does."""
    run = Run.start(recipe, ranks)
    source = open_training(recipe, root, rank=ranks.rank, ranks=ranks.size)
    seconds, cores = [], []
    for step, batch in enumerate(source.batches(0, steps + _WARM)):
        with _clock(run.distributed, seconds, cores):
            training_step(
                run.model, run.optimizers, recipe, batch, step, distributed=run.distributed, precision=run.precision
            )
    held_out, share = open_validation(recipe, root), Share(ranks.rank, ranks.size)
    validation, validation_cores = [], []
    with _clock(run.distributed, validation, validation_cores):
        measure_float(run.model.eval(), held_out, share=share)
    if ranks.first:
        step = statistics.median(seconds[_WARM:]), statistics.median(cores[_WARM:])
        path.write_text(json.dumps((*step, *validation, *validation_cores)))


@contextmanager
def _clock(distributed: DistributedModel, seconds: list[float], cores: list[float]) -> Iterator[None]:
    """Append the seconds until all ranks have left the context, and those of a core that all of them together used in it."""
    distributed.ranks.wait()
    start, used = time.perf_counter(), time.process_time()
    yield
    distributed.ranks.wait()
    seconds.append(time.perf_counter() - start)
    cores.append(distributed.ranks.size * distributed.mean({"used": time.process_time() - used})["used"])
