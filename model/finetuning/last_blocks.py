"""Training of a network's last blocks and heads on tokens that its frozen blocks have computed once."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.recipes.recipe import Recipe
from moesaic.model.training import checkpoint
from moesaic.model.training.optimizer import build_optimizers, set_learning_rate

Loss = Callable[[Tensor, Tensor], Tensor]
"""A scalar from a prediction [B, C, h, w] and its target; see `moesaic.model.tasks.losses`."""

_BATCH = 16  # of the frozen blocks
_SAVE_EVERY = 50  # steps


@dataclass(frozen=True)
class WeighedLoss:
    """A task's loss, its weight in the sum that training minimises, and its targets [N, ...] in the loss's form."""

    loss: Loss
    weight: float
    targets: np.ndarray


@dataclass(frozen=True)
class TrainingGroup:
    """Images with ground truth for the same tasks. tokens: inputs of the first trained block, float16 [N, T, D]. losses: by task."""

    tokens: np.ndarray
    losses: Mapping[str, WeighedLoss]


def frozen_tokens(
    model: M3ViT, images: np.ndarray, blocks: int, advance: Callable[[int], None] = lambda count: None
) -> np.ndarray:
    """The input of block number `blocks` for images uint8 [N, height, width, 3], as float16 [N, T, D].

    advance: called with the number of images that are done since the last call. None of the blocks before may have a router.
    """
    tokens = np.empty((len(images), model.configuration.tokens, model.configuration.width), np.float16)
    task = model.configuration.task_names[:1]
    with torch.inference_mode():
        for first in range(0, len(images), _BATCH):
            batch = images[first : first + _BATCH]
            x = model.embed(normalise(batch, model.configuration.input))
            for block in model.blocks[:blocks]:
                x = block(x, task)[0]
            tokens[first : first + _BATCH] = x.numpy()
            advance(len(batch))
    return tokens


def train_last_blocks(
    model: M3ViT,
    recipe: Recipe,
    first: int,
    groups: Sequence[TrainingGroup],
    path: Path,
    advance: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> None:
    """Train blocks `first` and later, the final norm and the heads as the recipe says; the model ends in evaluation mode.

    groups: every step draws equal shares of the recipe's batch from them at random, and runs each on its own tasks alone. path: of
    the checkpoint, which is written now and then and at the end; if it exists and has the same recipe, training goes on from it.
    advance: called after each step with its number, from 1, and the sum over the groups of each task's loss. UserError if training
    diverges.
    """
    training, share = recipe.training, recipe.training.batch // len(groups)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(_is_trained(name, first))
    optimizers, start = build_optimizers(model, training), 0
    if path.is_file():
        state = checkpoint.load(path)
        if state.recipe == recipe:
            checkpoint.load_weights(model, state.weights)
            checkpoint.restore_optimizers(model, optimizers, state.optimizer)
            start = state.step
    model.train()
    for step in range(start, training.steps):
        set_learning_rate(optimizers, training, step)
        rng = np.random.default_rng([training.seed, step])
        noise = torch.Generator()
        noise.manual_seed(int(rng.integers(1 << 62)))
        sums: dict[str, Tensor] = {}
        balance = torch.zeros(())
        for group in groups:
            chosen = rng.choice(len(group.tokens), share, replace=False)
            x = torch.from_numpy(group.tokens[chosen]).float()
            predictions, imbalance = model.forward_from(x, first, tuple(group.losses), noise)
            balance = balance + imbalance / len(groups)
            for task, one in group.losses.items():
                loss = one.weight * one.loss(predictions[task], torch.from_numpy(one.targets[chosen]))
                sums[task] = sums[task] + loss if task in sums else loss
        model.zero_grad(set_to_none=True)
        (torch.stack(list(sums.values())).sum() + training.balance_weight * balance).backward()
        if training.gradient_clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip)
        for optimizer in optimizers:
            optimizer.step()
        shown = {task: value.item() for task, value in sums.items()} | {"balance": balance.item()}
        if not all(map(math.isfinite, shown.values())):
            raise UserError(f"training diverged at step {step}: lower the learning rate")
        advance(step + 1, shown)
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == training.steps:
            moments = checkpoint.optimizer_tensors(model, optimizers)
            checkpoint.save(path, checkpoint.Checkpoint(recipe, step + 1, model.state_dict(), moments))
    model.eval()


def _is_trained(name: str, first: int) -> bool:
    """Whether a parameter belongs to block `first` or comes after it."""
    part, _, rest = name.partition(".")
    return part in ("norm", "heads") or (part == "blocks" and int(rest.split(".")[0]) >= first)
