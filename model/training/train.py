"""Training on rendered scenes, every task on every batch, repeatable and resumable bit for bit on a CPU."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from model.configuration import Recipe, TrainingConfiguration
from model.data.scenes import Scenes, render
from model.network.vit import M3ViT
from model.tasks.definitions import find_task
from model.training import checkpoint
from model.training.optimizer import build_optimizers
from spec.errors import UserError
from spec.files import require_writable

_RENDER_CHUNK = 64
_TRAINING_SCENES, _VALIDATION_SCENES = 0, 1  # second part of the seed: the two sets never share a scene


def training_scenes(recipe: Recipe, first: int, count: int) -> Scenes:
    """Scenes `first` to `first + count - 1` of the recipe's training pool."""
    size = recipe.model.image_height, recipe.model.image_width
    return render(count, *size, seed=2 * recipe.training.seed + _TRAINING_SCENES, first=first)


def validation_scenes(recipe: Recipe, count: int) -> Scenes:
    """The first `count` held-out scenes."""
    size = recipe.model.image_height, recipe.model.image_width
    return render(count, *size, seed=2 * recipe.training.seed + _VALIDATION_SCENES)


def normalise(images: np.ndarray) -> torch.Tensor:
    """uint8 [B, h, w, 3] to what the model takes, float32 [B, 3, h, w] in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def learning_rate(training: TrainingConfiguration, step: int) -> float:
    """The part of the peak learning rate in use at a step: linear warm-up to 1, then half a cosine down to 0."""
    if step < training.warmup:
        return (step + 1) / training.warmup
    progress = (step - training.warmup) / max(1, training.steps - training.warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


def draw_batch(pool: Scenes, training: TrainingConfiguration, step: int) -> Scenes:
    """The batch of a step: scenes drawn without replacement, mirrored or not, their colours exchanged at random."""
    rng = np.random.default_rng([training.seed, step])
    batch = pool[rng.choice(len(pool), training.batch, replace=False)]
    batch = batch.flipped() if rng.integers(2) else batch
    return dataclasses.replace(batch, images=batch.images[..., rng.permutation(3)])


def training_step(
    model: M3ViT, optimizers: list[torch.optim.Optimizer], recipe: Recipe, batch: Scenes, step: int
) -> dict[str, float]:
    """One update of the weights. Returns each task's loss and the balance loss."""
    training = recipe.training
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate(training, step)
    noise = torch.Generator().manual_seed(training.seed * 1_000_003 + step)
    predictions, balance = model.training_forward(normalise(batch.images), recipe.model.task_names, noise)
    losses = {}
    for task in recipe.model.tasks:
        definition, prediction = find_task(task.name, task.channels), predictions[task.name]
        target = definition.target(batch, *prediction.shape[-2:])
        losses[task.name] = definition.loss(prediction, torch.from_numpy(np.ascontiguousarray(target)))
    total = torch.stack(list(losses.values())).sum() + training.balance_weight * balance
    model.zero_grad(set_to_none=True)
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip)
    for optimizer in optimizers:
        optimizer.step()
    return {name: loss.item() for name, loss in losses.items()} | {"balance": balance.item()}


def train(
    recipe: Recipe,
    path: Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    save_every: int = 200,
    console: Console | None = None,
) -> M3ViT:
    """Train the recipe's model and leave a checkpoint at `path`, also every `save_every` steps on the way.

    resume: go on from the checkpoint at `path`, whose recipe must be the same. stop_after: leave after that many steps
    of the recipe's schedule; a later resume continues as if there had been no break. UserError before the first step if
    `path` cannot be written.
    """
    console = console or Console()
    for task in recipe.model.tasks:
        find_task(task.name, task.channels)
    if recipe.training.batch > recipe.training.pool:
        sizes = f"batch ({recipe.training.batch}) is larger than the pool of scenes ({recipe.training.pool})"
        raise UserError(f"{sizes}: enlarge the pool")
    if path.is_dir():
        raise UserError(f"checkpoint {path} is a directory: name a file")
    require_writable(path.parent)
    torch.manual_seed(recipe.training.seed)
    model = M3ViT(recipe.model)
    optimizers = build_optimizers(model, recipe.training)
    first = 0
    if resume:
        state = checkpoint.load(path)
        if state.recipe != recipe:
            raise UserError(f"checkpoint {path} {_difference(state.recipe, recipe)}: resume with the same recipe")
        checkpoint.load_weights(model, state.weights)
        checkpoint.restore_optimizers(model, optimizers, state.optimizer)
        first = state.step
    last = min(recipe.training.steps, recipe.training.steps if stop_after is None else stop_after)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[losses]}"), console=console) as progress:
        pool = _render_pool(recipe, progress)
        bar = progress.add_task("training", total=recipe.training.steps, completed=first, losses="")
        for step in range(first, last):
            losses = training_step(model, optimizers, recipe, draw_batch(pool, recipe.training, step), step)
            if not all(map(math.isfinite, losses.values())):
                raise UserError(f"training diverged at step {step}: lower the learning rate")
            if (step + 1) % save_every == 0 and step + 1 < last:
                checkpoint.save(path, recipe, step + 1, model, optimizers)
            text = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            progress.update(bar, advance=1, losses=text)
    checkpoint.save(path, recipe, max(first, last), model, optimizers)
    return model


def _render_pool(recipe: Recipe, progress: Progress) -> Scenes:
    bar = progress.add_task("rendering", total=recipe.training.pool, losses="")
    parts = []
    for first in range(0, recipe.training.pool, _RENDER_CHUNK):
        parts.append(training_scenes(recipe, first, min(_RENDER_CHUNK, recipe.training.pool - first)))
        progress.update(bar, advance=len(parts[-1]))
    fields = [field.name for field in dataclasses.fields(Scenes)]
    return Scenes(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def _difference(found: Recipe, wanted: Recipe) -> str:
    """The first entry in which two recipes differ, in words."""
    for section in ("model", "training"):
        for name, value in found.to_dict()[section].items():
            other = wanted.to_dict()[section][name]
            if value != other:
                return f"was trained with {section}.{name} = {value}, the recipe has {other}"
    raise ValueError("the recipes are equal")
