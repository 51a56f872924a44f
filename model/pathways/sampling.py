"""Training for all budgets at once: in each step, each task gets a number of experts and a top-k of its own.

Afterwards the network's budgets can be changed without further training, like the width of a slimmable network (Yu et al.,
ICLR 2019) or the parts of a once-for-all network (Cai et al., ICLR 2020).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from moesaic.errors import UserError
from moesaic.model.network.moe import MoE, top_k_mask
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.budgets import Budget, choose_experts
from moesaic.model.pathways.pathway import moe_blocks, on_pathways, pathway_of
from moesaic.model.pathways.usage import ExpertUsage
from moesaic.spec.bundle import Alternative

_FULL = 0.5  # probability that a task has the whole network in a step, so that this does not get worse
_MOMENTUM = 0.95
_STRIDE = 4  # one in this many tokens is enough for the estimate


class BudgetSampler:
    """Draws the budgets of training steps, and in the same steps estimates which experts each task uses most.

    In half of its steps a task has the whole network. In the others it has a number of experts from `least_experts` to all, the same
    in every MoE block, and a top-k from 1 to the model's, both drawn uniformly. The experts kept are the best by a running mean of the
    score mass (`ExpertUsage.mass`) that the router would give if all experts were available. In the first `warmup` steps every task
    has the whole network.

    A step's budgets depend on the seed, the step and the estimate, which `tensors` saves for a checkpoint and `restore` restores.
    """

    def __init__(self, model: M3ViT, least_experts: int, seed: int = 0, warmup: int = 0) -> None:
        """UserError unless `least_experts` is from 1 to the model's number of experts."""
        c = model.configuration
        if not 1 <= least_experts <= c.experts:
            raise UserError(f"least_experts ({least_experts}) must be from 1 to the number of experts ({c.experts})")
        self._model, self._least, self._seed, self._warmup = model, least_experts, seed, warmup
        self._layers = moe_blocks(model)
        shape = len(c.tasks), len(self._layers), c.experts
        self._mean = torch.zeros(shape, dtype=torch.float64)
        self._sum = torch.zeros(shape, dtype=torch.float64)
        self._tokens = torch.zeros(shape[:2], dtype=torch.float64)

    @contextmanager
    def step(self, step: int) -> Iterator[None]:
        """A context in which the tasks have the budgets drawn for a step; on exit the estimate is updated.

        All ranks must enter together; each sees its own part of the batch, and all have the same estimate.
        """
        handles = [moe.register_forward_pre_hook(self._observer(n, moe)) for n, moe in enumerate(self._layers.values())]
        try:
            with on_pathways(self._model, self._draw(step)):
                yield
        finally:
            for handle in handles:
                handle.remove()
        self._update()

    def tensors(self) -> dict[str, Tensor]:
        """The estimate: "usage", float64 [tasks, MoE blocks, E], each expert's mean score per token, 0..1."""
        return {"usage": self._mean.clone()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `tensors` returned. UserError if it belongs to another network."""
        found = tensors.get("usage")
        if found is None or found.shape != self._mean.shape:
            shape = "missing" if found is None else tuple(found.shape)
            raise UserError(
                f"the checkpoint's expert usage is {shape}, its recipe says {tuple(self._mean.shape)}: train again"
            )
        self._mean = found.to(torch.float64).clone()

    def _draw(self, step: int) -> dict[str, Alternative]:
        """The pathways, in a step, of those tasks that do not have the whole network."""
        c, drawn = self._model.configuration, {}
        rng = np.random.default_rng([self._seed, step])
        for t, task in enumerate(c.task_names):
            full, experts, top_k = (
                rng.random() < _FULL,
                int(rng.integers(self._least, c.experts + 1)),
                rng.integers(c.top_k),
            )
            if full or step < self._warmup or not self._mean[t].any():
                continue
            runs = range(c.last_block(task) + 1)
            usage = {i: _as_usage(self._mean[t, n]) for n, i in enumerate(self._layers) if i in runs}
            drawn[task] = pathway_of(choose_experts({task: usage}, Budget(experts))[task], 1 + int(top_k))
        return drawn

    def _observer(self, n: int, moe: MoE) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _, arguments: self._observe(n, moe, arguments[0], arguments[1])

    @torch.no_grad()
    def _observe(self, n: int, moe: MoE, x: Tensor, tasks: tuple[str, ...]) -> None:
        names, top_k = self._model.configuration.task_names, self._model.configuration.top_k
        here = tuple(moe.top_k_of)  # the tasks that run this block
        for task, part in zip(tasks, x.flatten(0, 1).chunk(len(tasks))):
            logits = moe.logits(task, part[::_STRIDE]).float()
            mass = (torch.softmax(logits, -1) * top_k_mask(logits, top_k)).sum(0)
            alike = len(tasks) == 1 and moe.routes_alike(here)  # then one pass serves all tasks
            for t in map(names.index, here if alike else (task,)):
                self._sum[t, n] += mass.double().cpu()
                self._tokens[t, n] += len(logits)

    def _update(self) -> None:
        """Move the estimate towards the usage by the step's tokens on all ranks."""
        seen = torch.cat([self._sum, self._tokens.unsqueeze(-1)], -1)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            shared = seen.float().to(self._model.device)
            torch.distributed.all_reduce(shared)
            seen = shared.double().cpu()
        mass, tokens = seen[..., :-1], seen[..., -1:]
        fresh = torch.where(tokens > 0, mass / tokens.clamp(min=1), self._mean)
        self._mean = _MOMENTUM * self._mean + (1 - _MOMENTUM) * fresh if self._mean.any() else fresh
        self._sum.zero_()
        self._tokens.zero_()


def _as_usage(mass: Tensor) -> ExpertUsage:
    return ExpertUsage(1, np.zeros(len(mass), np.int64), mass.numpy())
