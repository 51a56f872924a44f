"""A task's pathway: the experts that its routers may choose in each MoE block, and how many of them a token goes to."""

import torch

from moesaic.errors import UserError
from moesaic.model.network.moe import MoE
from moesaic.model.network.vit import M3ViT

Pathway = dict[str, dict[int, tuple[int, ...]]]
"""By task and MoE block: the experts kept, ascending."""


def moe_blocks(model: M3ViT) -> dict[int, MoE]:
    """The MoE layers by block index."""
    return {i: block.mlp for i, block in enumerate(model.blocks) if isinstance(block.mlp, MoE)}


def apply_pathway(model: M3ViT, pathway: Pathway, top_k: int | None = None) -> None:
    """Restrict routers to the experts kept, and let each token go to `top_k` of them (default: the model's top-k).

    Where a block of a task keeps fewer experts, the task's top-k is that number, since a token cannot go to more. UserError for a
    block without an expert.
    """
    layers = moe_blocks(model)
    for task, blocks in pathway.items():
        if not all(blocks.values()):
            raise UserError(f"the pathway of task {task} has a block with 0 experts: keep at least 1 in each")
        most = model.configuration.top_k if top_k is None else top_k
        for i, experts in blocks.items():
            kept = torch.zeros(model.configuration.experts, dtype=torch.bool)
            kept[list(experts)] = True
            layers[i].kept[task] = kept
            layers[i].top_k_of[task] = min([most, *(len(others) for others in blocks.values())])


def open_pathway(model: M3ViT) -> None:
    """Let every task use every expert again, with the model's top-k."""
    apply_pathway(model, full_pathway(model))


def full_pathway(model: M3ViT) -> Pathway:
    """Every expert, for every task."""
    every = tuple(range(model.configuration.experts))
    return {task: dict.fromkeys(moe_blocks(model), every) for task in model.configuration.task_names}


def current_pathway(model: M3ViT) -> Pathway:
    """The experts that the model's routers keep, by task and block."""
    return {
        task: {i: tuple(int(e) for e in moe.kept[task].nonzero().flatten()) for i, moe in moe_blocks(model).items()}
        for task in model.configuration.task_names
    }


def current_top_k(model: M3ViT, task: str) -> int:
    """Experts per token of a task: the least of its blocks, or the configuration's for a model without experts."""
    return min((moe.top_k_of[task] for moe in moe_blocks(model).values()), default=model.configuration.top_k)
