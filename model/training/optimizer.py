"""Optimizers and the learning rate schedule: Muon for the blocks' matrices with AdamW for the rest, or one optimizer for all."""

import math

import torch
from torch import Tensor

from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import TrainingConfiguration
from moesaic.model.training.distributed import SHARDED

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5

POLY_POWER = 0.9
"""Exponent of the polynomial decay, as in DeepLab (Chen et al. 2018) and later multi-task papers."""


def orthogonalise(matrices: Tensor) -> Tensor:
    """Replace all singular values of matrices [..., rows, columns] by values near 1, by a quintic Newton-Schulz iteration."""
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates (Jordan et al. 2024), here also for stacks of matrices such as the experts'.

    parameters: [..., rows, columns], or groups of such. In a few minutes of training, a small transformer gets clearly further than with
    AdamW.
    """

    def __init__(
        self, parameters: list[Tensor] | list[dict], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters from their gradients; those without a gradient keep their values."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"].lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonalise(parameter.grad.lerp(average, group["momentum"]))  # Nesterov
                rows, columns = update.shape[-2:]
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def build_optimizers(model: M3ViT, training: TrainingConfiguration) -> list[torch.optim.Optimizer]:
    """The recipe's optimizers, with disjoint parameters; each group's "peak" is its learning rate after warm-up.

    With "muon", AdamW takes routers, embeddings and heads. Biases, norms, positions and the class token have no weight decay unless
    `decayed` is "all". There is a group for each factor of the learning rate, see `rate_factor`.
    """
    hidden: dict[float, list[Tensor]] = {}
    decayed: dict[float, list[Tensor]] = {}
    rest: dict[float, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        matrix = name.endswith("weight") and parameter.ndim > 1
        of_muon = matrix and training.optimizer == "muon" and name.startswith("blocks.") and ".routers." not in name
        part = hidden if of_muon else decayed if matrix else rest
        part.setdefault(rate_factor(training, name, model.configuration.depth), []).append(parameter)
    rate, decay = training.learning_rate, training.weight_decay
    groups = _groups(decayed, rate, decay) + _groups(rest, rate, decay if training.decayed == "all" else 0.0)
    if training.optimizer == "sgd":
        optimizers: list[torch.optim.Optimizer] = [torch.optim.SGD(groups, lr=rate, momentum=training.momentum)]
    elif training.optimizer == "adamw":
        optimizers = [torch.optim.AdamW(groups, lr=rate, fused=True)]
    else:
        muon = Muon(_groups(hidden, training.muon_learning_rate, decay))
        optimizers = [muon, torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def _groups(parts: dict[float, list[Tensor]], rate: float, decay: float) -> list[dict]:
    """A parameter group for each factor of the learning rate."""
    return [{"params": own, "lr": factor * rate, "weight_decay": decay} for factor, own in parts.items()]


def rate_factor(training: TrainingConfiguration, name: str, depth: int) -> float:
    """The factor of the learning rate of the parameter called `name` in a network of `depth` blocks.

    It is that of the parameter's part in `rates`, times `layer_decay` for each block between the parameter and the heads: none for heads
    and the final norm, one for the last block, depth + 1 for embedding, positions and class token (Bao et al., "BEiT", ICLR 2022).
    """
    first, *path = name.split(".")
    above = depth - int(path[0]) if first == "blocks" else 0 if first in ("norm", "heads") else depth + 1
    part = "heads" if first == "heads" else "routers" if "routers" in path else "backbone"
    if part == "backbone" and name.endswith(SHARDED):
        part = "experts"
    return training.rate_of(part) * training.layer_decay**above


def learning_rate(training: TrainingConfiguration, step: int) -> float:
    """The learning rate at a step as a fraction of its peak, 0..1: linear warm-up to 1, then the schedule down to 0.

    After the warm-up it stays for `schedule_period` steps at a time.
    """
    if step < training.warmup:
        return (step + 1) / training.warmup
    after = (step - training.warmup) // training.schedule_period * training.schedule_period
    progress = after / max(1, training.steps - training.warmup)
    if training.schedule == "poly":
        return (1 - progress) ** POLY_POWER
    return 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizers: list[torch.optim.Optimizer], training: TrainingConfiguration, step: int) -> None:
    """Set the learning rate of every parameter group for a step."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate(training, step)
