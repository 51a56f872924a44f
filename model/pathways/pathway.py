"""Which experts each task uses, and keeping only the most used: the task's pathway."""

import numpy as np
import torch

from model.network.moe import MoE
from model.network.vit import M3ViT
from model.training.train import normalise
from spec.errors import UserError

_BATCH = 32

Usage = dict[str, dict[int, np.ndarray]]
Pathway = dict[str, dict[int, tuple[int, ...]]]


def moe_blocks(model: M3ViT) -> dict[int, MoE]:
    """The MoE layers by block index."""
    return {i: block.mlp for i, block in enumerate(model.blocks) if isinstance(block.mlp, MoE)}


def chosen_experts(model: M3ViT, images: np.ndarray, task: str) -> dict[int, np.ndarray]:
    """By MoE block: which experts each token of images uint8 [N, height, width, 3] goes to, bool [N * T, experts]."""
    choices: dict[int, np.ndarray] = {}

    def note(i: int, moe: MoE, x: torch.Tensor) -> None:
        choices[i] = moe.route(task, x.flatten(0, 1))[1].numpy()

    handles = [
        moe.register_forward_pre_hook(lambda moe, arguments, i=i: note(i, moe, arguments[0]))
        for i, moe in moe_blocks(model).items()
    ]
    with torch.inference_mode():
        model(normalise(images), task)
    for handle in handles:
        handle.remove()
    return choices


def measure_usage(model: M3ViT, images: np.ndarray) -> Usage:
    """By task and block: the share of all routed tokens that each expert received, float64 [experts], summing to 1.

    images: uint8 [N, height, width, 3].
    """
    usage: Usage = {}
    for task in model.configuration.task_names:
        counts = {i: np.zeros(model.configuration.experts) for i in moe_blocks(model)}
        for first in range(0, len(images), _BATCH):
            for i, chosen in chosen_experts(model, images[first : first + _BATCH], task).items():
                counts[i] += chosen.sum(0)
        usage[task] = {i: count / count.sum() for i, count in counts.items()}
    return usage


def choose_pathway(usage: Usage, experts_kept: int) -> Pathway:
    """By task and block: the `experts_kept` most used experts, ascending; ties to the lowest index."""
    pathway: Pathway = {}
    for task, blocks in usage.items():
        pathway[task] = {}
        for i, share in blocks.items():
            if not 1 <= experts_kept <= len(share):
                raise UserError(f"cannot keep {experts_kept} experts of {len(share)}: choose from 1 to {len(share)}")
            most_used = np.argsort(-share, kind="stable")[:experts_kept]
            pathway[task][i] = tuple(sorted(int(e) for e in most_used))
    return pathway


def apply_pathway(model: M3ViT, pathway: Pathway) -> None:
    """Restrict the model's routers to the experts kept."""
    for task, blocks in pathway.items():
        for i, experts in blocks.items():
            kept = torch.zeros(model.configuration.experts, dtype=torch.bool)
            kept[list(experts)] = True
            model.blocks[i].mlp.kept[task] = kept


def current_pathway(model: M3ViT) -> Pathway:
    """The experts that the model's routers keep, by task and block."""
    return {
        task: {i: tuple(int(e) for e in moe.kept[task].nonzero().flatten()) for i, moe in moe_blocks(model).items()}
        for task in model.configuration.task_names
    }
