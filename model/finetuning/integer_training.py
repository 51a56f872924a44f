"""Quantisation-aware training: further training of a trained model in the integers that the machine will run."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.data.samples import Batch
from moesaic.model.input_pipeline.training_batches import open_training
from moesaic.model.network.vit import M3ViT
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.scales import Scales
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration
from moesaic.model.tasks.definitions import find_task
from moesaic.model.training.optimizer import build_optimizers, set_learning_rate
from moesaic.model.training.train import require_trainable

RATE = 0.02
"""Default fraction of the recipe's learning rates; small, since rounding changes the network only a little."""
_WARMUP = 0.05  # of the steps


def fine_tune_in_integers(
    model: M3ViT,
    scales: Scales,
    recipe: Recipe,
    steps: int,
    *,
    rate: float = RATE,
    data_root: Path | None = None,
    advance: Callable[[float], None] = lambda loss: None,
) -> list[float]:
    """Train the whole network further as a `FakeQuantised`; returns the loss of each step. The model ends in evaluation mode.

    Uses the recipe's tasks, losses and optimizer on the batches that follow the recipe's own steps, with the fraction `rate` of its
    learning rates, decaying to 0. Routing has no noise, and the experts' load is no longer balanced. Every step derives the weights'
    integers, multipliers and shifts anew; the activations' scales stay fixed, so an export with them is exactly the network that was
    trained.

    steps: number of optimizer steps. data_root: directory of the data set's files, None for scenes. advance: called with the loss of
    each step. UserError if training diverges.
    """
    require_trainable(recipe)
    training = _short(recipe.training, steps, rate)
    network, optimizers = FakeQuantised(model, scales), build_optimizers(model, training)
    source, losses = open_training(recipe, data_root), []
    first = recipe.training.steps
    model.train()
    for step, batch in enumerate(source.batches(first, first + steps)):
        set_learning_rate(optimizers, training, step)
        try:
            loss = _loss(network, recipe, batch)
        except OverflowError:
            loss = torch.tensor(math.nan)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise UserError(f"training in integers diverged at step {step} of {steps}: lower the rate ({rate:g})")
        model.zero_grad(set_to_none=True)
        loss.backward()
        if training.gradient_clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip)
        for optimizer in optimizers:
            optimizer.step()
        advance(losses[-1])
    model.eval()
    return losses


def _short(training: TrainingConfiguration, steps: int, rate: float) -> TrainingConfiguration:
    return dataclasses.replace(
        training,
        steps=steps,
        warmup=min(math.ceil(_WARMUP * steps), steps - 1),
        learning_rate=rate * training.learning_rate,
        muon_learning_rate=rate * training.muon_learning_rate,
    )


def _loss(network: FakeQuantised, recipe: Recipe, batch: Batch) -> Tensor:
    """The sum of the tasks' weighted losses for a batch, a scalar."""
    images, parameters = torch.from_numpy(np.ascontiguousarray(batch.images)).to(network.device), network.derive()
    total = []
    for task in recipe.model.tasks_with_truth:
        definition = find_task(task.kind, task.channels, recipe.training.losses, task.output)
        prediction = network(images, task.name, parameters).float()
        target = torch.from_numpy(np.ascontiguousarray(definition.target(batch, prediction.shape)))
        total.append(definition.weight * definition.loss(prediction, target.to(network.device)))
    return torch.stack(total).sum()
