"""How much each task uses each expert of each MoE block, measured on calibration images."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT, normalise
from moesaic.model.pathways.pathway import moe_blocks_of

_BATCH = 32


@dataclass(frozen=True)
class ExpertUsage:
    """One router's choices. tokens: number of tokens routed.

    counts: int64 [E], number of tokens that went to each expert; the sum is tokens * top-k. mass: float64 [E], sum of the router
    scores with which they did, which weight the expert's contribution to the result.
    """

    tokens: int
    counts: np.ndarray
    mass: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """Each expert's share of all choices, float64 [E], with sum 1."""
        return self.counts / self.counts.sum()


Usage = dict[str, dict[int, ExpertUsage]]
"""By task and MoE block."""


def measure_usage(model: M3ViT, images: np.ndarray) -> Usage:
    """The usage of the experts on the model's current pathways. images: uint8 [N, height, width, 3], N >= 1."""
    experts = model.configuration.experts
    usage: Usage = {}
    for task in model.configuration.task_names:
        tokens = dict.fromkeys(moe_blocks_of(model, task), 0)
        counts = {i: np.zeros(experts, np.int64) for i in tokens}
        mass = {i: np.zeros(experts) for i in tokens}

        def add(i: int, scores: Tensor, chosen: Tensor, tokens=tokens, counts=counts, mass=mass) -> None:
            tokens[i] += len(chosen)
            counts[i] += chosen.sum(0).cpu().numpy()
            mass[i] += scores.double().sum(0).cpu().numpy()

        for first in range(0, len(images), _BATCH):
            _observe_routers(model, images[first : first + _BATCH], task, add)
        usage[task] = {i: ExpertUsage(tokens[i], counts[i], mass[i]) for i in tokens}
    return usage


def chosen_experts(model: M3ViT, images: np.ndarray, task: str) -> dict[int, np.ndarray]:
    """By MoE block: which experts each token of a task goes to, bool [N * T, E], for images uint8 [N, height, width, 3]."""
    choices: dict[int, np.ndarray] = {}
    _observe_routers(model, images, task, lambda i, scores, chosen: choices.update({i: chosen.cpu().numpy()}))
    return choices


def _observe_routers(model: M3ViT, images: np.ndarray, task: str, see: Callable[[int, Tensor, Tensor], None]) -> None:
    """Run a task and call `see` with each MoE block's index, scores [N * T, E] and choices, bool [N * T, E]."""

    def router_of(i: int) -> Callable[[MoE, tuple[Any, ...]], None]:
        def route(moe: MoE, arguments: tuple[Any, ...]) -> None:
            scores, chosen, _ = moe.route(task, arguments[0].flatten(0, 1))
            see(i, scores, chosen)

        return route

    handles = [moe.register_forward_pre_hook(router_of(i)) for i, moe in moe_blocks_of(model, task).items()]
    try:
        with torch.inference_mode():
            model(normalise(images, model.configuration.input).to(model.device), task)
    finally:
        for handle in handles:
            handle.remove()
