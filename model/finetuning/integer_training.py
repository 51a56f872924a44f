"""Quantisation-aware training: further training of a trained model in the integers that the machine will run."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moesaic.errors import UserError
from moesaic.model.data.samples import Batch
from moesaic.model.input_pipeline.training_batches import open_training
from moesaic.model.input_pipeline.worker_processes import usual_workers
from moesaic.model.network.heads import normalised
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.quantisation.fake_quantised import FakeQuantised
from moesaic.model.quantisation.scales import Scales
from moesaic.model.recipes.recipe import Recipe, TrainingConfiguration
from moesaic.model.training.optimizer import build_optimizers, set_learning_rate
from moesaic.model.training.train import require_trainable
from moesaic.spec.heads import final_norm

RATE = 0.02
"""Default fraction of the recipe's learning rates; small, since rounding changes the network only a little."""
DISTILLING_RATE = 2e-5
"""Default step of distillation, as a part of the root mean square of each tensor of weights."""
DISTILLED_PICTURES = 1024
"""The most pictures that `moesaic qat --distil` holds in memory."""
_WARMUP = 0.05  # of the steps
_CONTRAST, _BRIGHTNESS = (0.3, 1.2), (0.3, 1.3)  # factors of pictures to distil with
_UNCHANGED = 0.2  # of the pictures keep theirs
_LEAST_SIZE = 1e-6  # root mean square that a tensor of weights near zero counts as having, so that it can move


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
    first, source = recipe.training.steps, open_training(recipe, data_root, workers=usual_workers())
    network = FakeQuantised(model, scales)
    found = (lambda batch=batch: _loss(network, recipe, batch) for batch in source.batches(first, first + steps))
    training = _short(recipe.training, steps, rate)
    return _train(model, found, build_optimizers(model, training), training, rate, advance)


def distil_in_integers(
    model: M3ViT,
    scales: Scales,
    pictures: np.ndarray,
    recipe: Recipe,
    steps: int,
    *,
    teacher: M3ViT | None = None,
    rate: float = DISTILLING_RATE,
    advance: Callable[[float], None] = lambda loss: None,
) -> list[float]:
    """Train the network in integers, as `fine_tune_in_integers` does, to do on pictures what it does in float; no labels are needed.

    The loss is the natural logarithm of the squared error of a picture's tokens that a head reads, after the final norm, and of
    its result, each relative to the float network's own variance: the mean over pictures, summed over tasks. The logarithm keeps
    the few pictures that integers represent worst from directing every step. The optimizer is Adafactor (Shazeer and Stern 2018),
    whose steps are a part `rate` of the size of each tensor, not the recipe's: in a network of others that size differs by orders
    of magnitude, the more so where LayerScale is folded into a layer. pictures: uint8 [N, height, width, 3], of which each step
    draws a batch of the recipe's size, mirrored or not, each with a contrast and a brightness of its own: few pictures stand for
    many. teacher: the network in float; by default the model as it is. Returns the loss of each step. UserError
    if training diverges.
    """
    exact = copy.deepcopy(model if teacher is None else teacher).eval()  # it may be the model, which changes
    network = FakeQuantised(model, scales)
    found = (lambda step=step: _distance(exact, network, recipe, pictures, step) for step in range(steps))
    optimizer = torch.optim.Adafactor(model.parameters(), lr=rate, eps=(None, _LEAST_SIZE))
    optimizer.param_groups[0]["peak"] = rate
    return _train(model, found, [optimizer], _short(recipe.training, steps, rate), rate, advance)


def _train(
    model: M3ViT,
    batches: Iterable[Callable[[], Tensor]],
    optimizers: list[torch.optim.Optimizer],
    training: TrainingConfiguration,
    rate: float,
    advance: Callable[[float], None],
) -> list[float]:
    """Minimise the losses that `batches` computes, one a step, at the training's schedule. UserError if training diverges."""
    losses, steps = [], training.steps
    model.train()
    for step, batch in enumerate(batches):
        set_learning_rate(optimizers, training, step)
        try:
            loss = batch()
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


def _distance(teacher: M3ViT, network: FakeQuantised, recipe: Recipe, pictures: np.ndarray, step: int) -> Tensor:
    """The loss of a step of `distil_in_integers`, a scalar."""
    rng = np.random.default_rng([recipe.training.seed, step])
    batch = pictures[rng.choice(len(pictures), min(recipe.training.batch, len(pictures)), replace=False)]
    batch = _varied(batch[:, :, ::-1] if rng.integers(2) else batch, rng)
    images, parameters = torch.from_numpy(np.ascontiguousarray(batch)).to(network.device), network.derive()
    c, total = recipe.model, []
    for task in c.task_names:
        norm = network.scales.final_norms[name := final_norm(task, c.bundle_task(task, c.whole_pathways[task]))]
        integers: dict[str, Tensor] = {}
        result = network(images, task, parameters, integers.__setitem__)
        with torch.inference_mode():
            exact, tokens = _teach(teacher, batch, task)
        scale, offset = (torch.as_tensor(part, device=result.device) for part in (norm.scale, norm.offset))
        total += [_log_error(integers[name] * scale + offset, tokens.clone()), _log_error(result, exact.clone())]
    return torch.stack(total).sum().float()


def _varied(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pictures uint8 [N, height, width, 3], each with other contrast and brightness, but for some that stay as they are."""
    pictures = pictures.astype(np.float32)
    mean = pictures.mean((1, 2, 3), keepdims=True)
    contrast, brightness = (rng.uniform(*ends, mean.shape).astype(np.float32) for ends in (_CONTRAST, _BRIGHTNESS))
    varied = (pictures - mean) * contrast + mean * brightness
    chosen = np.where(rng.random(mean.shape) < _UNCHANGED, pictures, varied)
    return chosen.clip(0, 255).round().astype(np.uint8)


def _teach(teacher: M3ViT, batch: np.ndarray, task: str) -> tuple[Tensor, Tensor]:
    """The float network's result for a task, and the tokens [N, tokens, width] that its head reads."""
    c, seen = teacher.configuration, []
    head = teacher.heads[task]
    handle = head.register_forward_hook(
        lambda module, arguments, result: seen.append(normalised(module, arguments[0], result))
    )
    try:
        result = teacher(normalise(batch, c.input).to(teacher.device), task)
    finally:
        handle.remove()
    return result.double(), seen[0].double()


def _log_error(found: Tensor, exact: Tensor) -> Tensor:
    """The logarithm of each picture's mean squared error relative to its variance, then the mean; shapes are equal up to axes' order."""
    exact = exact.flatten(1)
    error = (found.reshape(exact.shape) - exact).square().mean(1) / exact.var(1).clamp(min=1e-12)
    return error.clamp(min=1e-12).log().mean()


def _loss(network: FakeQuantised, recipe: Recipe, batch: Batch) -> Tensor:
    """The sum of the tasks' weighted losses for a batch, a scalar."""
    images, parameters = torch.from_numpy(np.ascontiguousarray(batch.images)).to(network.device), network.derive()
    total = []
    for task in recipe.model.tasks_with_truth:
        definition = task.definition(recipe.training.losses, label_smoothing=recipe.training.label_smoothing)
        prediction = network(images, task.name, parameters).float()
        target = torch.from_numpy(np.ascontiguousarray(definition.target(batch, prediction.shape)))
        total.append(definition.weight * definition.loss(prediction, target.to(network.device)))
    return torch.stack(total).sum()
